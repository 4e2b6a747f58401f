"""An image codec: the highest bits of each pixel, deflated."""

import zlib

import numpy as np

from sc2bench import IMAGE_CODECS, ImageCodec, PacketError


@IMAGE_CODECS.register("bit_planes")
class BitPlanes(ImageCodec):
    """`quality` is the number of bits that are kept of each pixel."""

    name = "bit_planes"
    quality_range = (1, 8)
    whole_quality = True

    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W)."""
        return zlib.compress((image >> self._dropped).tobytes(), 9)

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Gives uint8 (C, H, W), in the middle of what the dropped bits may have been."""
        expected = int(np.prod(shape))
        try:
            # No more is unpacked than an image has, whatever the bytes claim.
            values = zlib.decompressobj().decompress(data, expected + 1)
        except zlib.error as error:
            raise PacketError(f"the image is damaged: {error}") from error
        if len(values) != expected:
            raise PacketError(f"the image has {len(values)} pixels instead of {expected}")
        kept = np.frombuffer(values, np.uint8).reshape(shape)
        return (kept << self._dropped) + (1 << self._dropped >> 1)

    @property
    def _dropped(self) -> int:
        return 8 - int(self.quality or 8)
