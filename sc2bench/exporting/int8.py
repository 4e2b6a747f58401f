"""Static quantization of an exported encoder to 8 bits.

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sc2bench.core import digests
from sc2bench.core.errors import ConfigError
from sc2bench.core.files import scratch_folder, write_atomic, write_json
from sc2bench.exporting.runner import ABOUT, FILES, GRAPH, INT8_GRAPH, DeviceRunner

_BATCH = 50


def quantize_encoder(folder: Path, images: Sequence[np.ndarray] | np.ndarray) -> Path:
    """Writes the graph whose convolutions have weights and activations of 8 bits beside that of an exported folder.

    Weights have a scale for each channel of their output, activations one scale and zero point, from their ranges on
    the calibration images. Preprocessing and rounding stay as they are.

    Args:
        folder: with an exported device half.
        images: to calibrate with, uint8 (N, C, H, W), or N of (C, H, W) where they vary; none of the test split.

    Returns:
        The path of the graph.

    Raises:
        ConfigError: ONNX or ONNX Runtime is not installed.
        OutputError: the graph can't be written.
    """
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise ConfigError(
            f"quantization needs ONNX, which can't be imported ({error}); run pip install 'sc2bench[export]'"
        ) from error

    runner = DeviceRunner(folder)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = _batches(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else runner.inputs(batch)

    path = folder / INT8_GRAPH
    with _without_warnings(), scratch_folder("sc2bench-int8-") as temporary:
        prepared = temporary / GRAPH
        quant_pre_process(str(folder / GRAPH), str(prepared), skip_symbolic_shape=True)
        write_atomic(
            path,
            lambda target: quantize_static(
                str(prepared),
                str(target),
                Reader(),
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            ),
        )
    about = runner.about
    if FILES in about:
        about[FILES][INT8_GRAPH] = digests.of_file(path)
        write_json(folder / ABOUT, digests.sealed(about))
    return path


@contextmanager
def _without_warnings() -> Iterator[None]:
    """The library warns, to the root logger, of what was asked for, such as operators that stay in floating point."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def _batches(images: Sequence[np.ndarray] | np.ndarray) -> Iterator[np.ndarray]:
    if isinstance(images, np.ndarray):
        return iter(images[i : i + _BATCH] for i in range(0, len(images), _BATCH))
    return (image[None] for image in images)
