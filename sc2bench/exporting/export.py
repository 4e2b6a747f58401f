"""Writes device halves as ONNX."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sc2bench.core import digests
from sc2bench.core.errors import ConfigError
from sc2bench.core.files import write_atomic, write_json
from sc2bench.entropy import AffineQuantizer, FactorizedPrior, Hyperprior
from sc2bench.exporting.runner import (
    ABOUT,
    FILES,
    FORMAT_VERSION,
    GRAPH,
    IMAGES,
    SCALE,
    SCALED,
    SESSION,
    SYMBOLS,
    TABLE_PARTS,
    TABLES,
    ZERO_POINT,
)  # fmt: skip
from sc2bench.methods import SplitModel
from sc2bench.methods.latent import LatentDevice
from sc2bench.methods.tiled_codec import TiledCodec
from sc2bench.wire.inputs import ImageSpec

# Sides of the images that a graph for all sizes is traced with; unlike each other, and nothing is special about them.
_TRACED_SIZE = (150, 118)
_TRACED_SCALED = (214, 170)


class DeviceGraph(nn.Module):
    """What is exported of a device half: preprocessing, encoder, and rounding to symbols as the prior does it.

    Args:
        device: with a factorized prior or a quantizer.
    """

    def __init__(self, device: LatentDevice):
        super().__init__()
        self.device = device

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the graph gives."""
        return (SYMBOLS, SCALE, ZERO_POINT) if isinstance(self.device.prior, AffineQuantizer) else (SYMBOLS,)

    def forward(self, images: Tensor, scaled: Tensor | None = None) -> tuple[Tensor, ...]:
        """Runs on images of one size.

        Args:
            images: uint8, (N, C, H, W).
            scaled: empty, (0, H', W'): H' and W' are what images are scaled to; `None`: as the teacher's sizing says.

        Returns:
            Symbols, int32 (N, B, ...); with a quantizer also scale and zero point of each sample, float32 (N,).
        """
        size = None if scaled is None else (scaled.shape[1], scaled.shape[2])
        prior: Any = self.device.prior
        symbols = prior.symbols(self.device.encoder(self.device.preprocess(images, size)))
        if isinstance(symbols, Tensor):
            return (symbols.to(torch.int32),)
        return symbols[0].to(torch.int32), *symbols[1:]


def exportable(model: SplitModel) -> bool:
    """Whether `export_device` supports a model."""
    return not _obstacle(model)


def export_device(model: SplitModel, folder: Path, origin: Mapping[str, Any] | None = None) -> Path:
    """Writes the device half of a model into a folder, from which `DeviceRunner` runs it.

    Args:
        model: trained, with its tables.
        folder: made if it is missing; what is in it is replaced.
        origin: what `about.json` says of where the model is from.

    Returns:
        The path of the graph.

    Raises:
        ConfigError: the method or its prior are not supported, or ONNX is not installed.
        EntropyTablesMissing: before `update_tables()`.
        OutputError: a file can't be written.
    """
    obstacle = _obstacle(model)
    if obstacle:
        raise ConfigError(f"the device half can't be exported: {obstacle}")
    header = model.session.to_bytes()
    prior: Any = model.device.prior
    program = _traced(model)
    path = folder / GRAPH
    write_atomic(path, lambda temporary: program.save(str(temporary)))
    if isinstance(prior, FactorizedPrior):
        tables = {name: np.asarray(getattr(prior.tables, name)) for name in TABLE_PARTS}
        write_atomic(folder / TABLES, lambda temporary: np.savez(temporary, **tables))
    write_atomic(folder / SESSION, lambda temporary: temporary.write_bytes(header))
    written = [GRAPH, SESSION] + [TABLES] * isinstance(prior, FactorizedPrior)
    about = {
        "format_version": FORMAT_VERSION,
        "image_shape": _spec(model).to_list(),
        "symbols_shape": list(model.shape),
        "sizing": asdict(_sizing(model)),
        "integer_bits": prior.bits if isinstance(prior, AffineQuantizer) else None,
        **(origin or {}),
        FILES: {name: digests.of_file(folder / name) for name in written},
    }
    write_json(folder / ABOUT, digests.sealed(about))
    return path


def _obstacle(model: SplitModel) -> str:
    """Why a model can't be exported; empty if it can."""
    if not isinstance(model.device, LatentDevice) or isinstance(model.device.prior, TiledCodec):
        return f"{type(model).__name__} sends no latents of an encoder; choose a method such as entropic_student"
    if not isinstance(model.spec, ImageSpec):
        return "its inputs are no images; only devices that take images can be exported"
    prior = model.device.prior
    if isinstance(prior, Hyperprior):
        # Single precision would choose other tables than the server now and then, and such packets are lost.
        return (
            "its prior is Hyperprior, whose tables are chosen in double precision on both sides, but ONNX Runtime has "
            "no such convolutions; choose method.prior=factorized"
        )
    if not isinstance(prior, FactorizedPrior | AffineQuantizer):
        return f"its prior is {type(prior).__name__}, which is not supported; choose method.prior=factorized"
    return ""


def _spec(model: SplitModel) -> ImageSpec:
    assert isinstance(model.spec, ImageSpec)
    return model.spec


def _sizing(model: SplitModel) -> Any:
    device: Any = model.device
    return device.preprocess.sizing


@torch.no_grad()
def _traced(model: SplitModel) -> Any:
    """The ONNX program of a device half, for batches of any number and, where images vary, of any size."""
    device: Any = model.device
    graph = DeviceGraph(device).eval()
    spec = _spec(model)
    place = device.preprocess.mean.device
    sides = spec.size or _TRACED_SIZE
    batch = torch.export.Dim("batch")
    # Of one image, the number of images would be taken for fixed.
    inputs = {IMAGES: torch.zeros(2, spec.channels, *sides, dtype=torch.uint8, device=place)}
    dynamic: dict[str, dict[int, Any]] = {IMAGES: {0: batch}}
    if spec.varies:
        dynamic[IMAGES] |= {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
        if _sizing(model).shorter is not None:
            inputs[SCALED] = torch.zeros(0, *_TRACED_SCALED, dtype=torch.uint8, device=place)
            dynamic[SCALED] = {1: torch.export.Dim("scaled_height"), 2: torch.export.Dim("scaled_width")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            return torch.onnx.export(
                graph,
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes=dynamic,
                input_names=list(inputs),
                output_names=list(graph.outputs),
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise ConfigError(
            f"exporting needs ONNX, which can't be imported ({error}); run pip install 'sc2bench[export]'"
        ) from error
