"""HEVC intra pictures (ITU-T H.265) as elementary streams, through PyAV and libx265: what BPG and HEIC carry, bare."""

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from sc2bench.codecs.base import REMEMBERED_SHAPES, ImageCodec, first_alone, import_optional
from sc2bench.codecs.colour import from_planes, pad, padded_size, to_planes
from sc2bench.core.errors import InputError
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.inputs import check_coded_image
from sc2bench.wire.packet import PacketError

# libx265 takes no smaller picture, and codes whole units of 8x8.
_LEAST_SIDE, _UNIT = 16, 8
# The decoder aligns its buffers, and counts what that adds to a row.
_ALIGNMENT = 64
_FORMATS = {"400": "gray", "420": "yuv420p", "444": "yuv444p"}
_PARAMETERS = {
    "log-level": "none",
    # One thread an image, for the batch is spread already; threads of its own would cost more than a small image.
    "pools": "none",
    "frame-threads": "1",
    "wpp": "0",
    "keyint": "1",
    "bframes": "0",
    "rc-lookahead": "0",
    # Sharp edges fill much of a small image; blocks that skip the transform save 3 % there.
    "tskip": "1",
    # Nothing that decoding does not need: no text about the encoder, no clock.
    "info": "0",
    "no-vui-timing-info": "1",
    "repeat-headers": "1",
}
_START = b"\x00\x00\x01"
_VPS, _PPS = 32, 34


@IMAGE_CODECS.register("hevc")
class Hevc(ImageCodec):
    """HEVC intra; quality is the constant rate factor 0..51, LOWER is better. Grey images are coded as 4:0:0.

    Sides are padded to multiples of 8, at least 16, and cropped to the session's shape after decoding. x265 is tuned
    for PSNR: its psychovisual tools serve eyes, not models.

    Options:
        chroma: of images in colour, "420" or "444".
        preset: x265's effort.
        parameter_sets: where those that all images of a session have in common are sent (they tell size, format and
            tools, about 65 bytes): in every "packet", so that each is a whole stream, or in the "session".
    """

    name = "hevc"
    quality_range = (0, 51)
    # Of a single picture x265 drops the fraction.
    whole_quality = True
    option_choices = {
        "chroma": ("420", "444"),
        "preset": ("slow", "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slower", "veryslow"),
        "parameter_sets": ("packet", "session"),
    }

    def __init__(self, quality: float | None = None, **options: str):
        super().__init__(quality, **options)
        self._av: Any = import_optional("av", self.name)
        self._session_sets = lru_cache(REMEMBERED_SHAPES)(self._parameter_sets)

    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W) with 1 or 3 channels to an elementary stream, or to its slice alone."""
        check_coded_image(image)
        stream = self._stream(image)
        if self.options["parameter_sets"] == "packet":
            return stream
        shape = (image.shape[0], image.shape[1], image.shape[2])
        sets, rest = _split(stream)
        if sets != self._session_sets(shape):
            raise InputError("x265 wrote parameter sets that depend on the image; choose parameter_sets=packet")
        return rest

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`; nothing is allocated for a picture that is much larger."""
        height, width = padded_size(shape[1:], _UNIT, _LEAST_SIDE)
        decoder = self._av.CodecContext.create("hevc", "r")
        decoder.thread_count = 1
        bound = (height + _ALIGNMENT) * (width + _ALIGNMENT)
        decoder.options = {"max_pixels": str(bound), "err_detect": "crccheck+explode"}
        try:
            frames = decoder.decode(self._av.Packet(self.session_bytes(shape) + data)) if data else []
            frames += decoder.decode(None)
        except (self._av.FFmpegError, ValueError) as error:
            raise PacketError(f"the HEVC stream can't be decoded ({error}); it is damaged or foreign") from error
        if len(frames) != 1:
            raise PacketError(f"the HEVC stream has {len(frames)} pictures instead of one; it is damaged or foreign")
        frame, expected = frames[0], (width, height, self._format(shape[0]))
        found = (frame.width, frame.height, frame.format.name)
        if found != expected:
            raise PacketError(f"the HEVC picture is {found} instead of {expected}; it is damaged or foreign")
        planes = [_pixels(plane) for plane in frame.planes]
        return from_planes(planes)[:, : shape[1], : shape[2]]

    def session_bytes(self, shape: tuple[int, int, int]) -> bytes:
        """The parameter sets, if they are left out of the packets."""
        return b"" if self.options["parameter_sets"] == "packet" else self._session_sets(shape)

    def _parameter_sets(self, shape: tuple[int, int, int]) -> bytes:
        return _split(self._stream(np.zeros(shape, np.uint8)))[0]

    def _format(self, channels: int) -> str:
        return _FORMATS["400" if channels == 1 else self.options["chroma"]]

    def _stream(self, image: np.ndarray) -> bytes:
        """Codes one image with an encoder of its own: streams must not refer to each other."""
        padded = pad(image, _UNIT, _LEAST_SIDE)
        encoder = self._av.CodecContext.create("libx265", "w")
        encoder.height, encoder.width = padded.shape[1:]
        encoder.pix_fmt = self._format(len(image))
        encoder.time_base, encoder.framerate = Fraction(1), 1
        encoder.thread_count = 1
        encoder.options = {
            "crf": f"{self.quality:g}",
            "preset": self.options["preset"],
            "tune": "psnr",
            "x265-params": ":".join(f"{key}={value}" for key, value in _PARAMETERS.items()),
        }
        frame = self._av.VideoFrame(encoder.width, encoder.height, encoder.pix_fmt)
        for plane, values in zip(frame.planes, to_planes(padded, self.options["chroma"]), strict=True):
            rows = np.zeros((plane.height, plane.line_size), np.uint8)
            rows[:, : plane.width] = values
            plane.update(rows)
        with first_alone("av"):
            return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _pixels(plane: Any) -> np.ndarray:
    """A plane (H, W) without the filling at the end of its rows."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _split(stream: bytes) -> tuple[bytes, bytes]:
    """Cuts a byte stream (H.265 Annex B) behind its parameter sets, which stand first."""
    at = 0
    while (at := stream.index(_START, at)) >= 0:
        unit_type = stream[at + len(_START)] >> 1 & 0x3F
        if not _VPS <= unit_type <= _PPS:
            break
        at += len(_START)
    # A start code may have a zero before it, which belongs to it.
    cut = at - 1 if stream[at - 1] == 0 else at
    return stream[:cut], stream[cut:]
