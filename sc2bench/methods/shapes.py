"""What shapes follow from an image's shape: both halves work them out for themselves, so that packets need not say."""

from copy import deepcopy
from functools import lru_cache
from typing import TypeVar

import torch
from torch import nn

from sc2bench.entropy import LatentCodec, Shape

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

    def __call__(self, image_shape: tuple[int, int, int]) -> Shape:
        """The shape of one sample's result for an image of (C, H, W)."""
        return self._known(image_shape)

    @torch.no_grad()
    def _run(self, image_shape: tuple[int, int, int]) -> Shape:
        values = torch.zeros(1, *image_shape, dtype=torch.uint8, device="meta")
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

    def __call__(self, image_shape: tuple[int, int, int]) -> tuple[Shape, ...]:
        """The shapes for an image of (C, H, W)."""
        return self._known(self._latents(image_shape))


def _hollow(module: AnyModule) -> AnyModule:
    return deepcopy(module).eval().to("meta")
