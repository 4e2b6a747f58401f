"""Writes device halves as ONNX."""

import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sc2bench.entropy import FactorizedPrior
from sc2bench.errors import ConfigError
from sc2bench.exporting.runner import ABOUT, FORMAT_VERSION, GRAPH, IMAGES, SESSION, SYMBOLS, TABLE_PARTS, TABLES
from sc2bench.files import write_atomic, write_json
from sc2bench.methods import SplitModel
from sc2bench.methods.latent import LatentDevice


class DeviceGraph(nn.Module):
    """What is exported of a device half: preprocessing, encoder, and rounding to symbols as the prior does it.

    Args:
        device: with a factorized prior.
    """

    def __init__(self, device: LatentDevice):
        super().__init__()
        self.device = device

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 images (N, C, H, W); returns symbols, int32 (N, B, ...)."""
        prior: Any = self.device.prior
        return prior.symbols(self.device(images)).to(torch.int32)


def graph_bytes(model: SplitModel) -> int | None:
    """The size of the file that `export_device` would write for a model; `None` if it can't be exported."""
    if _obstacle(model):
        return None
    with tempfile.TemporaryDirectory(prefix="sc2bench-export-") as folder:
        return export_device(model, Path(folder)).stat().st_size


def export_device(model: SplitModel, folder: Path, origin: Mapping[str, Any] | None = None) -> Path:
    """Writes the device half of a model into a folder, from which `DeviceRunner` runs it.

    Args:
        model: trained, with its tables.
        folder: made if it is missing; what is in it is replaced.
        origin: what `about.json` says of where the model is from.

    Returns:
        The path of the graph.

    Raises:
        ConfigError: the method, its prior or its images are not supported, or ONNX is not installed.
        EntropyTablesMissing: before `update_tables()`.
        OutputError: a file can't be written.
    """
    obstacle = _obstacle(model)
    if obstacle:
        raise ConfigError(f"the device half can't be exported: {obstacle}")
    header = model.session.to_bytes()
    prior: Any = model.device.prior
    tables = prior.tables
    program = _traced(model)
    path = folder / GRAPH
    write_atomic(path, lambda temporary: program.save(str(temporary)))
    stored = {name: np.asarray(getattr(tables, name)) for name in TABLE_PARTS}
    write_atomic(folder / TABLES, lambda temporary: np.savez(temporary, **stored))
    write_atomic(folder / SESSION, lambda temporary: temporary.write_bytes(header))
    about = {
        "format_version": FORMAT_VERSION,
        "image_shape": list(model.image_shape),
        "symbols_shape": list(model.shape),
        **(origin or {}),
    }
    write_json(folder / ABOUT, about)
    return path


def _obstacle(model: SplitModel) -> str:
    """Why a model can't be exported; empty if it can."""
    if not isinstance(model.device, LatentDevice):
        return f"{type(model).__name__} sends no latents of an encoder; choose a method such as entropic_student"
    prior = model.device.prior
    if not isinstance(prior, FactorizedPrior):
        return f"its prior is {type(prior).__name__}, but fixed tables are needed; choose method.prior=factorized"
    if model.varies:
        return "its images vary in size; choose a data set, or task.crop, with images of one size"
    return ""


@torch.no_grad()
def _traced(model: SplitModel) -> Any:
    """The ONNX program of a device half, for batches of any size."""
    device: Any = model.device
    # Of one image, the number of images would be taken for fixed.
    images = torch.zeros(2, *model.image_shape, dtype=torch.uint8, device=next(device.parameters()).device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            return torch.onnx.export(
                DeviceGraph(device).eval(),
                (images,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[IMAGES],
                output_names=[SYMBOLS],
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise ConfigError(
            f"exporting needs ONNX, which can't be imported ({error}); run pip install 'sc2bench[export]'"
        ) from error
