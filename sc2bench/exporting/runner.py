"""Runs an exported device half: what a device needs to send packets, with neither PyTorch nor CompressAI.

    runner = DeviceRunner("exported")
    write_session(stream, runner.session, runner.encode(images))

An exported folder holds:

    device.onnx        uint8 images (N, C, H, W) to int32 symbols (N, B, ...)
    device_int8.onnx   the same with a quantized encoder; only if it was asked for
    tables.npz         the integer tables of the symbols
    session.bin        the session header that the server expects
    about.json         where it is from, and the shape of its images
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sc2bench.coding import IntegerTables, SymbolCoder
from sc2bench.errors import CheckpointError, ConfigError
from sc2bench.packet import Packet, PacketError, SessionHeader

FORMAT_VERSION = 1
GRAPH, INT8_GRAPH, TABLES, SESSION, ABOUT = (
    "device.onnx", "device_int8.onnx", "tables.npz", "session.bin", "about.json",
)  # fmt: skip
IMAGES, SYMBOLS = "images", "symbols"
TABLE_PARTS = ("cumulative", "lengths", "offsets", "precision")


class DeviceRunner:
    """The device's half of a split model, on ONNX Runtime.

    Args:
        folder: what `sc2bench export` wrote.
        int8: runs the graph with the quantized encoder.
        threads: of ONNX Runtime.

    Raises:
        CheckpointError: the folder is incomplete, unreadable or of another version.
        ConfigError: ONNX Runtime is not installed.
    """

    def __init__(self, folder: str | Path, *, int8: bool = False, threads: int = 1):
        folder = Path(folder)
        try:
            self.about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.session = SessionHeader.from_bytes((folder / SESSION).read_bytes())
            with np.load(folder / TABLES) as stored:
                tables = {name: stored[name] for name in TABLE_PARTS}
        except (OSError, ValueError, KeyError, PacketError) as error:
            raise CheckpointError(f"{folder} is no exported device half ({error}); export it again") from error
        if self.about.get("format_version") != FORMAT_VERSION:
            raise CheckpointError(
                f"{folder} has format version {self.about.get('format_version')}, but this is a reader of version "
                f"{FORMAT_VERSION}; export it again"
            )
        precision = int(tables.pop("precision"))
        self._coder = SymbolCoder(IntegerTables(**tables, precision=precision))
        self._graph = _open_graph(folder / (INT8_GRAPH if int8 else GRAPH), threads)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        channels, height, width = self.about["image_shape"]
        return channels, height, width

    def symbols(self, images: np.ndarray) -> np.ndarray:
        """Runs the network: uint8 images (N, C, H, W) to int32 symbols (N, B, ...); raises `ValueError` for others."""
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise ValueError(
                f"images of type {images.dtype} and shape {images.shape} are no uint8 images of shape "
                f"(N, {', '.join(map(str, self.image_shape))})"
            )
        (symbols,) = self._graph.run([SYMBOLS], {IMAGES: images})
        return symbols

    def code(self, symbols: np.ndarray) -> list[Packet]:
        """Codes int32 symbols (N, B, ...) to one packet a sample."""
        return [Packet(payload) for payload in self._coder.encode(symbols)]

    def encode(self, images: np.ndarray) -> list[Packet]:
        """Turns uint8 images (N, C, H, W) into one packet a sample, in order."""
        return self.code(self.symbols(images))


def _open_graph(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"an exported device half needs the library 'onnxruntime', which can't be imported ({error}); "
            "run pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if not path.exists():
        raise CheckpointError(f"{path} is missing; export it again, for a quantized encoder with --int8")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no base of its errors
        raise CheckpointError(f"{path} can't be read ({error}); export it again") from error
