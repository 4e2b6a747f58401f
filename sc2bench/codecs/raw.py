"""Pixels as they are: what it costs to send an image without any compression."""

import numpy as np

from sc2bench.codecs.base import ImageCodec
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.inputs import check_coded_image
from sc2bench.wire.packet import PacketError


@IMAGE_CODECS.register("raw")
class Raw(ImageCodec):
    """A byte a pixel and channel."""

    name = "raw"
    quality_range = None

    def encode_image(self, image: np.ndarray) -> bytes:
        """Gives the bytes of uint8 (C, H, W)."""
        check_coded_image(image)
        return np.ascontiguousarray(image).tobytes()

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Gives uint8 `shape`; raises `PacketError` if the number of bytes is another."""
        if len(data) != int(np.prod(shape)):
            raise PacketError(f"{len(data)} bytes are no raw image of shape {shape}")
        return np.frombuffer(data, np.uint8).reshape(shape)
