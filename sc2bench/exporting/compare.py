"""What exporting changes: the exported device half in place of the model's own, measured as any other model."""

from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sc2bench.data import ImageSet
from sc2bench.evaluation import evaluate_all, measure_latency
from sc2bench.exporting.runner import GRAPH, INT8_GRAPH, DeviceRunner
from sc2bench.methods import SplitModel
from sc2bench.methods.latent import LatentDevice
from sc2bench.packet import Packet
from sc2bench.tasks.base import Task

_LATENCY_IMAGES, _LATENCY_SECONDS = 16, 3.0


class ExportedDevice(LatentDevice):
    """A device's half that runs on ONNX Runtime.

    Args:
        device: what was exported.
        runner: of the exported folder.
    """

    def __init__(self, device: LatentDevice, runner: DeviceRunner):
        super().__init__(device.preprocess, device.encoder, device.prior)
        self.runner = runner

    def analyze(self, images: Tensor) -> Tensor:
        """The symbols of uint8 images (N, C, H, W), int32 (N, B, ...)."""
        return torch.from_numpy(self.runner.symbols(images.cpu().numpy()))

    def code(self, values: Tensor) -> list[Packet]:
        """Codes symbols."""
        return self.runner.code(values.numpy())

    def estimate_bits(self, values: Tensor) -> Tensor | None:
        """The prior's estimate for symbols, float (N,)."""
        prior: Any = self.prior
        return super().estimate_bits(prior.dequantize(values.numpy()))


def on_runner(model: SplitModel, runner: DeviceRunner) -> SplitModel:
    """The model with its exported device half in place of its own; all else is shared.

    Raises:
        PacketError: the exported folder is another model's.
    """
    model.session.require(runner.session)
    exported = copy(model)
    # A shallow copy has the same dictionary, and the model must keep its device.
    exported._modules = dict(model._modules)
    device: Any = model.device
    exported.device = ExportedDevice(device, runner)
    return exported


@dataclass(frozen=True)
class Compared:
    """What was measured of a device half.

    Attributes:
        name: "PyTorch", "ONNX Runtime", "ONNX Runtime, int8".
        bytes_mean: of the packets.
        quality: in percent, by the metric's name.
        equal_packets: how many of the packets are, byte for byte, those of PyTorch.
        other_symbols: how many of all symbols differ from those of PyTorch.
        network_ms: median time of the device's network for one image.
        graph_bytes: size of the ONNX file; `None` for PyTorch.
    """

    name: str
    bytes_mean: float
    quality: dict[str, float]
    equal_packets: int
    other_symbols: int
    network_ms: float
    graph_bytes: int | None


def compare(model: SplitModel, folder: Path, dataset: ImageSet, task: Task, *, batch_size: int = 250) -> list[Compared]:
    """Measures a model with its own device half, the exported one, and the quantized one, where there is one.

    Args:
        model: on the CPU.
        folder: where it was exported to.
        dataset: what is measured on.
        task: brings the metric.
        batch_size: samples that are coded together.

    Raises:
        PacketError: the folder is another model's.
        CheckpointError: the folder is no exported device half.
    """
    models: dict[str, tuple[SplitModel, Path | None]] = {"PyTorch": (model, None)}
    for name, graph in (("ONNX Runtime", GRAPH), ("ONNX Runtime, int8", INT8_GRAPH)):
        if graph == GRAPH or (folder / graph).exists():
            runner = DeviceRunner(folder, int8=graph == INT8_GRAPH)
            models[name] = (on_runner(model, runner), folder / graph)
    measured = evaluate_all([model for model, _ in models.values()], dataset, task, batch_size=batch_size)
    images = dataset.sample(len(dataset))
    expected = [_symbols(model, images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
    rows = []
    for (name, (other, graph_path)), measurement in zip(models.items(), measured, strict=True):
        differing = np.concatenate(
            [
                (_symbols(other, images[i * batch_size : (i + 1) * batch_size]) != symbols).reshape(len(symbols), -1)
                for i, symbols in enumerate(expected)
            ]
        )
        times = measure_latency(other, images[:_LATENCY_IMAGES], seconds=_LATENCY_SECONDS)
        rows.append(
            Compared(
                name,
                float(measurement.bytes.mean()),
                measurement.quality,
                int((~differing.any(axis=1)).sum()),
                int(differing.sum()),
                times["device_network_ms_p50"],
                None if graph_path is None else graph_path.stat().st_size,
            )
        )
    return rows


@torch.inference_mode()
def _symbols(model: SplitModel, images: Tensor) -> np.ndarray:
    """The symbols that are coded, int32 (N, B, ...); equal symbols give equal packets."""
    device: Any = model.device
    values = device.analyze(images)
    return values.numpy() if isinstance(device, ExportedDevice) else device.prior.quantize(values)
