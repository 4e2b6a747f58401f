"""Integers of fixed width as bytes: what latents without a prior are sent as."""

import struct
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sc2bench.wire.coding.coder import CodingError

_LARGEST = float(np.finfo(np.float32).max)


class IntegerCoder:
    """Writes each sample's integers as they are, and its scale (float32) and zero point as side information.

    Args:
        bits: of an integer, 8 or 16.
    """

    DTYPES: ClassVar[dict[int, np.dtype[Any]]] = {8: np.dtype(np.uint8), 16: np.dtype(">u2")}

    def __init__(self, bits: int):
        self.dtype = self.DTYPES[bits]
        self._side_format = ">fB" if bits == 8 else ">fH"

    def encode(self, integers: np.ndarray, scales: np.ndarray, zero_points: np.ndarray) -> list[tuple[bytes, bytes]]:
        """Payload and side information of each sample.

        Args:
            integers: of any type, (N, ...), in the range of the bits.
            scales: float32, (N,).
            zero_points: whole numbers of any type, (N,), in the range of the bits.

        Raises:
            CodingError: values that no latents of finite range are quantized to.
        """
        top = np.iinfo(self.dtype).max
        whole = all(np.all((values >= 0) & (values <= top)) for values in (integers, zero_points))
        if not whole or not np.all((scales > 0) & (scales < np.inf)):
            raise CodingError("the latents are not finite, so they can't be quantized; check the encoder's weights")
        sides = zip(scales.tolist(), map(int, zero_points.tolist()), strict=True)
        samples = integers.astype(self.dtype)
        return [
            (sample.tobytes(), struct.pack(self._side_format, *side))
            for sample, side in zip(samples, sides, strict=True)
        ]

    def decode(self, payload: bytes, side_info: bytes, shape: Sequence[int]) -> np.ndarray:
        """One sample's values, finite float32 in `shape`; raises `CodingError` for bytes that can't be of `encode`."""
        expected = int(np.prod(shape)) * self.dtype.itemsize
        if len(payload) != expected or len(side_info) != struct.calcsize(self._side_format):
            raise CodingError(
                f"{len(payload)} bytes with {len(side_info)} of side information are no quantized latents of shape "
                f"{tuple(shape)}"
            )
        scale, zero_point = struct.unpack(self._side_format, side_info)
        # The largest value and its distance from the zero point must be numbers, too.
        if not 0 < scale * np.iinfo(self.dtype).max <= _LARGEST:
            raise CodingError(
                f"{scale:g} is no scale of quantized latents: it must be finite and above 0; the side information is "
                "damaged"
            )
        integers = np.frombuffer(payload, self.dtype).reshape(shape).astype(np.float32)
        values: np.ndarray = (integers - np.float32(zero_point)) * np.float32(scale)
        return values
