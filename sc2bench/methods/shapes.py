"""What shapes follow from an image's shape: both halves work them out for themselves, so that packets need not say."""

from copy import deepcopy
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor, nn

from sc2bench.core.errors import ConfigError
from sc2bench.entropy import LatentCodec, Shape
from sc2bench.teachers import Teacher
from sc2bench.wire.inputs import InputShape, InputSpec

AnyModule = TypeVar("AnyModule", bound=nn.Module)
# Sizes; as many as data sets of photographs have. What arrives at a server names millions, if it wants to.
_REMEMBERED = 4096


class ShapeOf:
    """The shape of what modules make of an image, without computing it.

    Args:
        modules: run one after the other on uint8 images; copied without their weights.
    """

    def __init__(self, *modules: nn.Module):
        self._modules = [_hollow(module) for module in modules]
        self._known = lru_cache(_REMEMBERED)(self._run)

    def __call__(self, shape: InputShape) -> Shape:
        """The shape of one sample's result for an image of (C, H, W)."""
        return self._known(shape)

    @torch.no_grad()
    def _run(self, shape: InputShape) -> Shape:
        values = torch.zeros(1, *shape, dtype=torch.uint8, device="meta")
        for module in self._modules:
            values = module(values)
        return tuple(values.shape[1:])


class SymbolShapes:
    """The shapes that a prior wants to know to decompress an image's latents.

    Args:
        latents: gives the shape of the latents.
        prior: of the latents.
    """

    def __init__(self, latents: ShapeOf, prior: LatentCodec):
        self._latents = latents
        prior = _hollow(prior)
        self._known = lru_cache(_REMEMBERED)(prior.shapes)

    def __call__(self, shape: InputShape) -> tuple[Shape, ...]:
        """The shapes for an image of (C, H, W)."""
        return self._known(self._latents(shape))


def probe_of(spec: InputSpec, teacher: Teacher) -> Tensor:
    """An input of zeros to try shapes with, (1, ...), where the teacher is."""
    return torch.from_numpy(spec.probe()).to(teacher.preprocess.mean.device)


@torch.no_grad()
def output_shape(module: nn.Module, inputs: Tensor, what: str) -> Shape:
    """The shape of one sample of a module's output; raises `ConfigError` if the inputs are too small for it.

    Args:
        module: put in evaluation mode.
        inputs: one sample, (1, ...).
        what: how errors name the module.
    """
    try:
        return tuple(module.eval()(inputs).shape[1:])
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{what} can't take inputs of shape {tuple(inputs.shape[1:])} ({reason}); use larger images or another one"
        ) from error


def _hollow(module: AnyModule) -> AnyModule:
    return deepcopy(module).eval().to("meta")
