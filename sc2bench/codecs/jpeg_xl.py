"""JPEG XL codestreams (ISO/IEC 18181) through libjxl (library pillow-jxl-plugin)."""

from typing import Any

import numpy as np
from PIL import Image

from sc2bench.codecs.base import ImageCodec, import_optional
from sc2bench.codecs.pillow import wrong_size
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.inputs import check_coded_image
from sc2bench.wire.packet import PacketError

_CODESTREAM = b"\xff\x0a"
# At 100 libjxl wants to be lossless; this, the largest single-precision number below, is its best lossy quality.
_BEST_LOSSY = float(np.nextafter(np.float32(100), np.float32(0)))
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@IMAGE_CODECS.register("jpeg_xl")
class JpegXl(ImageCodec):
    """JPEG XL, bare codestreams; quality 0..100, 100 being still lossy. Grey images are coded as grey.

    Options:
        effort: of the encoder, 1 to 9; 7 is libjxl's own default.
    """

    name = "jpeg_xl"
    quality_range = (0, 100)
    mime = "image/jxl"
    option_choices = {"effort": ("7", "1", "2", "3", "4", "5", "6", "8", "9")}

    def __init__(self, quality: float | None = None, **options: str):
        super().__init__(quality, **options)
        # The library registers itself with Pillow. Once all of Pillow's own formats stand before it in the list of
        # those that are tried, they are recognized as without it.
        Image.init()
        self._library: Any = import_optional("pillow_jxl", self.name)

    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W) with 1 or 3 channels."""
        check_coded_image(image)
        channels, height, width = image.shape
        encoder = self._library.Encoder(
            mode="L" if channels == 1 else "RGB",
            lossless=False,
            quality=min(float(self.quality or 0), _BEST_LOSSY),
            decoding_speed=0,
            effort=int(self.options["effort"]),
            use_container=False,
            use_original_profile=False,
            num_threads=0,
        )
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0)).tobytes()
        return encoder(pixels, width, height, jpeg_encode=False, exif=None, jumb=None, xmp=None, compress=False)

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`; a codestream of another size is refused before it is decoded."""
        channels, height, width = shape
        size = codestream_size(data)
        if size != (width, height):
            raise wrong_size("JPEG XL", size, (width, height))
        try:
            from_jpeg, info, pixels, *_ = self._library.Decoder(num_threads=0)(data)
        except Exception as error:  # the binding raises errors of many unrelated classes on damaged streams
            raise PacketError(f"the JPEG XL image can't be decoded ({error}); it is damaged or foreign") from error
        expected = ("L" if channels == 1 else "RGB", width, height)
        if from_jpeg or (info.mode, info.width, info.height) != expected or len(pixels) != channels * height * width:
            raise PacketError(f"the JPEG XL image is no {expected} image; it is damaged or foreign")
        return np.frombuffer(pixels, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def codestream_size(data: bytes) -> tuple[int, int]:
    """Reads (width, height) from the beginning of a JPEG XL codestream (ISO/IEC 18181-1, SizeHeader).

    Raises:
        PacketError: the bytes are no codestream, or end within its size.
    """
    if data[:2] != _CODESTREAM or len(data) < 12:
        raise PacketError("the bytes are no JPEG XL codestream, or end too early; they are damaged or foreign")
    bits, at = int.from_bytes(data[2:12], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        value = bits >> at & (1 << count) - 1
        at += count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return side(), height
