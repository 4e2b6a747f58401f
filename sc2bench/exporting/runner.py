"""Runs an exported device half: what a device needs to send packets, with neither PyTorch nor CompressAI.

    runner = DeviceRunner("exported")
    write_session(stream, runner.session, runner.encode(images))

An exported folder holds:

    device.onnx        uint8 images (N, C, H, W) to int32 symbols (N, B, ...)
    device_int8.onnx   the same with a quantized encoder; only if it was asked for
    tables.npz         the integer tables of the symbols; not for integers of fixed width, which need none
    session.bin        the session header that the server expects
    about.json         where it is from, the shape of its images, how they are scaled, and the digests of all files

A graph for integers of fixed width also gives each sample's scale and zero point. One that scales images of any size
has a second input, an empty array whose last two sides are those to scale to: they follow from an image's size in
double precision, which is not the graph's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sc2bench.core import digests
from sc2bench.core.errors import CheckpointError, ConfigError, InputError
from sc2bench.wire.coding import IntegerCoder, IntegerTables, SymbolCoder
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import Packet, SessionHeader
from sc2bench.wire.sizing import Sizing

FORMAT_VERSION = 2
GRAPH, INT8_GRAPH, TABLES, SESSION, ABOUT = (
    "device.onnx", "device_int8.onnx", "tables.npz", "session.bin", "about.json",
)  # fmt: skip
IMAGES, SCALED = "images", "scaled"
SYMBOLS, SCALE, ZERO_POINT = "symbols", "scale", "zero_point"
TABLE_PARTS = ("cumulative", "lengths", "offsets", "precision")
# Under which key of `about.json` the digests of the other files are, by name.
FILES = "files"


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
        graph = INT8_GRAPH if int8 else GRAPH
        try:
            self.about = _read_about(folder)
            self.spec = ImageSpec.from_list(self.about["image_shape"])
            self._sizing = Sizing(**self.about["sizing"])
            names = [SESSION, graph] + [TABLES] * (self.about["integer_bits"] is None)
            _compare_digests(folder, self.about.get(FILES), names)
            self.session = SessionHeader.from_bytes((folder / SESSION).read_bytes())
            self._coder = _open_coder(folder, self.about["integer_bits"])
        except CheckpointError:
            raise
        except Exception as error:  # damaged files raise errors of many unrelated classes
            raise CheckpointError(f"{folder} is no exported device half ({error}); export it again") from error
        self._graph = _open_graph(folder / graph, threads)
        inputs, outputs = (
            {given.name for given in side} for side in (self._graph.get_inputs(), self._graph.get_outputs())
        )
        wanted = {SYMBOLS} if isinstance(self._coder, SymbolCoder) else {SYMBOLS, SCALE, ZERO_POINT}
        if not inputs <= {IMAGES, SCALED} or outputs != wanted:
            raise CheckpointError(f"{folder / graph} takes {inputs} and gives {outputs}; export it again")
        self._scales = SCALED in inputs

    def inputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the graph takes for uint8 images of one size (N, C, H, W); raises `InputError` for others."""
        self.spec.check(images)
        inputs = {IMAGES: images}
        if self._scales:
            inputs[SCALED] = np.empty((0, *self._sizing.scaled((images.shape[2], images.shape[3]))), np.uint8)
        return inputs

    def analyze(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the network.

        Args:
            images: uint8, (N, C, H, W).

        Returns:
            `SYMBOLS`, int32 (N, B, ...); for integers of fixed width also `SCALE` and `ZERO_POINT`, float32 (N,).

        Raises:
            InputError: for other images, and for sizes that the network does not take.
        """
        names = [given.name for given in self._graph.get_outputs()]
        inputs = self.inputs(images)
        try:
            return dict(zip(names, self._graph.run(names, inputs), strict=True))
        except Exception as error:  # ONNX Runtime has no base of its errors
            raise InputError(
                f"the exported network can't take images of {images.shape[2]}x{images.shape[3]} pixels ({error}); use "
                "larger ones"
            ) from error

    def code(self, values: dict[str, np.ndarray]) -> list[Packet]:
        """Codes what `analyze` gives to one packet a sample, which does not say how large its image is.

        Raises:
            InputError: latents that were not finite.
            CodingError: the same, for integers of fixed width.
        """
        if isinstance(self._coder, SymbolCoder):
            # What is no number, or beyond 32 bits, is cast to this one.
            if (values[SYMBOLS] == np.iinfo(np.int32).min).any():
                raise InputError("the latents are not finite, so they can't be coded; export a sound model again")
            return [Packet(payload) for payload in self._coder.encode(values[SYMBOLS])]
        return [Packet(*coded) for coded in self._coder.encode(*(values[n] for n in (SYMBOLS, SCALE, ZERO_POINT)))]

    def encode(self, images: Sequence[np.ndarray] | np.ndarray) -> list[Packet]:
        """Turns uint8 images (N, C, H, W), or N of (C, H, W) where they vary, into one packet a sample, in order.

        Raises:
            InputError: no image, or another type, rank, number of channels or size than the model takes.
        """
        self.spec.check(images)
        if not self.spec.varies:
            return self.code(self.analyze(self.spec.collate(images, range(len(images)), np.stack)))
        return [
            replace(packet, size=size)
            for image, size in zip(images, self.spec.sizes(images), strict=True)
            for packet in self.code(self.analyze(image[None]))
        ]


def _read_about(folder: Path) -> dict[str, Any]:
    """What `about.json` says.

    Raises:
        CheckpointError: of another version.
        OSError, ValueError: unreadable, damaged, or values that can't be.
    """
    values = digests.read_object(folder / ABOUT)
    version = values.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has format version {version}, but this is a reader of version {FORMAT_VERSION}; export it again"
        )
    about = digests.unsealed(values)
    shape, sizing, bits = about.get("image_shape"), about.get("sizing"), about["integer_bits"]
    if not (isinstance(shape, list) and len(shape) == 3 and all(map(_is_count, shape))):
        raise ValueError(f"image_shape is {shape}")
    if not isinstance(sizing, dict) or not all(
        (_is_count(value) and value >= (key != "margin")) or (value is None and key in ("shorter", "longer"))
        for key, value in sizing.items()
    ):
        raise ValueError(f"sizing is {sizing}")
    if bits is not None and bits not in IntegerCoder.DTYPES:
        raise ValueError(f"integer_bits is {bits}")
    return about


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _compare_digests(folder: Path, known: Mapping[str, str] | None, names: Sequence[str]) -> None:
    """Raises `CheckpointError` for a file that is not as it was written; older folders have no digests."""
    for name in names:
        if known is None or not (folder / name).exists():
            continue
        if known.get(name) != digests.of_file(folder / name):
            raise CheckpointError(
                f"{folder / name} has another digest than {ABOUT} says; it is damaged, or of another export: export it "
                "again"
            )


def _open_coder(folder: Path, integer_bits: int | None) -> SymbolCoder | IntegerCoder:
    if integer_bits is not None:
        return IntegerCoder(integer_bits)
    with np.load(folder / TABLES) as stored:
        tables = {name: stored[name] for name in TABLE_PARTS}
    precision = int(tables.pop("precision"))
    return SymbolCoder(IntegerTables(**tables, precision=precision))


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
