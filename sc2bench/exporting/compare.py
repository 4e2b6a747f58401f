"""What exporting changes: the exported device half in place of the model's own, measured as any other model."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from sc2bench.config import EvaluationConfig
from sc2bench.core.files import write_atomic
from sc2bench.data import ImageSet, PixelLimit
from sc2bench.evaluation import LATENCY_IMAGES, evaluate_all, measure_latency
from sc2bench.exporting.export import DeviceGraph
from sc2bench.exporting.runner import GRAPH, INT8_GRAPH, SYMBOLS, DeviceRunner
from sc2bench.methods import SplitModel
from sc2bench.methods.latent import LatentDevice
from sc2bench.tasks.base import Task
from sc2bench.teachers import Images
from sc2bench.wire.packet import Packet


class ExportedDevice(LatentDevice):
    """A device's half that runs on ONNX Runtime.

    Args:
        device: what was exported.
        runner: of the exported folder.
    """

    def __init__(self, device: LatentDevice, runner: DeviceRunner):
        super().__init__(device.preprocess, device.encoder, device.prior)
        self.runner = runner

    def analyze(self, images: Tensor) -> Any:
        """What the graph gives for uint8 images (N, C, H, W); see `DeviceRunner.analyze`."""
        return self.runner.analyze(images.cpu().numpy())

    def code(self, values: Any) -> list[Packet]:
        """Codes what the graph gives."""
        return self.runner.code(values)

    def estimate_bits(self, values: Any) -> Tensor | None:
        """None: what a prior estimates is no part of what is exported."""
        return None


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
        symbols: how many there are.
        network_ms: median time of the device's network for one image.
        graph_bytes: size of the ONNX file; `None` for PyTorch.
    """

    name: str
    bytes_mean: float
    quality: dict[str, float]
    equal_packets: int
    other_symbols: int
    symbols: int
    network_ms: float
    graph_bytes: int | None


def compare(
    model: SplitModel, folder: Path, dataset: ImageSet, task: Task, *, batch_size: int = 250, seconds: float = 3.0
) -> list[Compared]:
    """Measures a model with its own device half, the exported one, and the quantized one, where there is one.

    Args:
        model: on the CPU.
        folder: where it was exported to.
        dataset: what is measured on.
        task: brings the metric.
        batch_size: samples that are coded together.
        seconds: as long each device half is timed, at least once.

    Raises:
        PacketError: the folder is another model's.
        CheckpointError: the folder is no exported device half.
    """
    models: dict[str, tuple[SplitModel, Path | None]] = {"PyTorch": (model, None)}
    for name, graph in (("ONNX Runtime", GRAPH), ("ONNX Runtime, int8", INT8_GRAPH)):
        if graph == GRAPH or (folder / graph).exists():
            runner = DeviceRunner(folder, int8=graph == INT8_GRAPH)
            models[name] = (on_runner(model, runner), folder / graph)
    every = [model for model, _ in models.values()]
    measured = evaluate_all(every, dataset, task, batch_size=batch_size, estimate=False)
    differences = [_Difference() for _ in models]
    limit = PixelLimit(EvaluationConfig.batch_pixels, model.network_size)
    for images, _ in dataset.loader(batch_size, limit=limit):
        expected = model.encode(images), _symbols(model, images)
        for difference, (other, _) in zip(differences, models.values(), strict=True):
            difference.add(expected, (other.encode(images), _symbols(other, images)))
    timed = dataset.sample(LATENCY_IMAGES)
    return [
        Compared(
            name,
            float(measurement.bytes.mean()),
            measurement.quality,
            difference.equal_packets,
            difference.other_symbols,
            difference.symbols,
            measure_latency(other, timed, seconds=seconds)["device_network_ms_p50"],
            None if graph is None else graph.stat().st_size,
        )
        for (name, (other, graph)), measurement, difference in zip(models.items(), measured, differences, strict=True)
    ]


def write_comparison(path: Path, rows: Sequence[Compared], about: Mapping[str, Any]) -> Path:
    """Writes what was compared as CSV, a row a device half; raises `OutputError`.

    Args:
        path: the file to make or replace.
        rows: what `compare` gives.
        about: stands in front of each row, such as the model's method and rate.
    """
    table = pd.DataFrame([{**about, **asdict(row), **row.quality} for row in rows]).drop(columns="quality")
    write_atomic(path, lambda temporary: table.to_csv(temporary, index=False))
    return path


_Sent = tuple[list[Packet], list[Tensor]]


@dataclass
class _Difference:
    """Counts what is not as it was expected."""

    equal_packets: int = 0
    other_symbols: int = 0
    symbols: int = 0

    def add(self, expected: _Sent, found: _Sent) -> None:
        """Takes in the packets and the symbols of some images."""
        self.equal_packets += sum(one == other for one, other in zip(expected[0], found[0], strict=True))
        for one, other in zip(expected[1], found[1], strict=True):
            self.other_symbols += int((one != other).sum())
            self.symbols += one.numel()


@torch.inference_mode()
def _symbols(model: SplitModel, images: Images) -> list[Tensor]:
    """The symbols that are coded, int32, a tensor for each batch of one size."""
    device: Any = model.device
    batches: list[Any] = [image[None] for image in images] if model.varies else [images]
    if isinstance(device, ExportedDevice):
        return [torch.from_numpy(device.analyze(batch)[SYMBOLS]) for batch in batches]
    return [DeviceGraph(device)(batch)[0] for batch in batches]
