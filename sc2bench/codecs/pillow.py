"""Image codecs in process, through Pillow. Grey images are coded as grey wherever the format can."""

import io
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from sc2bench.codecs.av1 import picture_sizes
from sc2bench.codecs.base import ImageCodec
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.inputs import check_coded_image
from sc2bench.wire.packet import PacketError

_MODES = {1: "L", 3: "RGB"}


class PillowCodec(ImageCodec):
    """Base of the codecs that Pillow brings; sizes are those of whole files."""

    format: ClassVar[str]
    quality_range = (0, 100)

    @abstractmethod
    def save_options(self, grey: bool) -> dict[str, Any]:
        """Pillow's options for saving."""

    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W) with 1 or 3 channels to a whole file."""
        check_coded_image(image)
        grey = len(image) == 1
        buffer = io.BytesIO()
        pixels = image[0] if grey else image.transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, self.format, **self.save_options(grey))
        return buffer.getvalue()

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`; nothing is allocated for an image of another size."""
        return read_image(data, self.format, shape)


def read_image(data: bytes, format: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes a whole file of one of Pillow's formats.

    Args:
        data: the file.
        format: the only format that is tried, as Pillow calls it.
        shape: (C, H, W) that the image must have.

    Returns:
        uint8 `shape`.

    Raises:
        PacketError: damaged, or of another format or size; nothing is allocated for another size.
    """
    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(data), formats=(format,)) as image:
            size = image.size
            if size == (width, height):
                pixels = np.asarray(image.convert(_MODES[channels]))
    except Exception as error:  # Pillow's plugins raise errors of many unrelated classes on damaged files
        raise PacketError(f"the {format} image can't be decoded ({error}); it is damaged or foreign") from error
    if size != (width, height):
        raise wrong_size(format, size, (width, height))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def wrong_size(format: str, found: tuple[int, int], expected: tuple[int, int]) -> PacketError:
    """The error for a coded image of another (width, height) than the session's."""
    return PacketError(f"the {format} image has size {found} instead of {expected}; it is damaged or foreign")


@IMAGE_CODECS.register("jpeg")
class Jpeg(PillowCodec):
    """JPEG through libjpeg-turbo, with optimized Huffman tables."""

    name = "jpeg"
    format = "JPEG"
    whole_quality = True

    def save_options(self, grey: bool) -> dict[str, Any]:
        """Quality 0..100."""
        return {"quality": round(self.quality or 0), "optimize": True}


@IMAGE_CODECS.register("webp")
class WebP(PillowCodec):
    """Lossy WebP through libwebp, slowest method. The format has no grey: its chroma planes are then constant."""

    name = "webp"
    format = "WEBP"
    whole_quality = True

    def save_options(self, grey: bool) -> dict[str, Any]:
        """Quality 0..100."""
        return {"quality": round(self.quality or 0), "method": 6}


@IMAGE_CODECS.register("avif")
class Avif(PillowCodec):
    """AVIF through libavif."""

    name = "avif"
    format = "AVIF"
    whole_quality = True

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`; pictures of another size than the container's are refused before."""
        expected = (shape[2], shape[1])
        for size in picture_sizes(data):
            if size != expected:
                raise wrong_size(self.format, size, expected)
        return super().decode_image(data, shape)

    def save_options(self, grey: bool) -> dict[str, Any]:
        """Quality 0..100; 4:2:0 in colour, monochrome for grey images. One thread, for the batch is spread already."""
        subsampling = "4:0:0" if grey else "4:2:0"
        return {"quality": round(self.quality or 0), "subsampling": subsampling, "speed": 6, "max_threads": 1}


@IMAGE_CODECS.register("jpeg2000")
class Jpeg2000(PillowCodec):
    """JPEG 2000 codestreams through OpenJPEG, irreversible wavelet, quality as PSNR in dB."""

    name = "jpeg2000"
    format = "JPEG2000"
    quality_range = (10, 60)

    def save_options(self, grey: bool) -> dict[str, Any]:
        """Quality is the peak signal-to-noise ratio in dB that the encoder aims at."""
        return {"quality_mode": "dB", "quality_layers": [self.quality], "irreversible": True, "no_jp2": True}
