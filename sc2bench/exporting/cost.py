"""What an exported device half costs: the fields of a record that say so."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sc2bench.core.files import scratch_folder
from sc2bench.evaluation import measure_latency
from sc2bench.exporting.compare import on_runner
from sc2bench.exporting.export import export_device, exportable
from sc2bench.exporting.int8 import quantize_encoder
from sc2bench.exporting.runner import DeviceRunner
from sc2bench.measures import EXPORT_SPANS, STATISTICS
from sc2bench.methods import SplitModel
from sc2bench.records import EXPORT_FIELDS
from sc2bench.teachers import Images


def measure_export(
    model: SplitModel,
    images: Images,
    *,
    repeats: int,
    threads: int,
    calibration: Callable[[], Sequence[np.ndarray] | np.ndarray] | None = None,
) -> dict[str, Any]:
    """Exports the device half to a place of a moment's, and measures its file and its time on ONNX Runtime.

    Args:
        model: in evaluation mode, with its tables.
        images: as for `measure_latency`; they take turns.
        repeats: how often the device half is timed.
        threads: of ONNX Runtime.
        calibration: gives the images that 8 bits are calibrated with; `None`: the graph is not quantized.

    Returns:
        All of `EXPORT_FIELDS`; `None` for what was not measured or can't be exported.
    """
    fields: dict[str, Any] = dict.fromkeys(EXPORT_FIELDS)
    if not exportable(model):
        return fields
    with scratch_folder("sc2bench-export-") as folder:
        graphs = {"onnx": export_device(model, folder)}
        if calibration is not None:
            graphs["int8"] = quantize_encoder(folder, calibration())
        for kind, graph in graphs.items():
            runner = DeviceRunner(folder, int8=kind == "int8", threads=threads)
            times = measure_latency(on_runner(model, runner), images, repeats=repeats, threads=threads)
            fields["device_export_bytes" if kind == "onnx" else "device_int8_export_bytes"] = graph.stat().st_size
            for span, own in EXPORT_SPANS[kind].items():
                fields |= {f"{span}_ms_{statistic}": times[f"{own}_ms_{statistic}"] for statistic in STATISTICS}
    return fields
