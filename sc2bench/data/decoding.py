"""From an image file of any kind to 8-bit RGB."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sc2bench.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm")
# What Pillow raises on damaged files, depending on the format and the place of the damage.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)


class ImageError(DataError):
    """An image file that can't be used; says the same when it comes from a worker of PyTorch's loader.

    The loader builds a worker's error anew in the main process, from the text of the whole traceback. Its last entry
    is the error itself, and only that is kept.

    Args:
        text: the sentence, or a traceback that ends with it.
    """

    def __init__(self, text: str):
        super().__init__(text.rpartition(f"{__name__}.{type(self).__name__}: ")[2].rstrip("\n"))


def read_rgb(path: Path, max_side: int | None = None) -> Image.Image:
    """Reads an image file as 8-bit RGB.

    CMYK is converted, palettes are looked up, alpha is dropped, and of 16 bits the high byte is taken. The rotation
    that an EXIF entry asks for is not carried out, for neither did the published results with which ours are compared.

    Args:
        path: the file.
        max_side: the greatest width and height that are read; `None`: any.

    Raises:
        ImageError: missing, damaged, no image, of a kind that has no place in 8 bits, or too large.
    """
    return _read(path, _to_rgb, max_side)


def read_indices(path: Path, max_side: int | None = None) -> Image.Image:
    """Reads an image file whose pixels are class indices, with a palette or as grey, as 8-bit grey.

    Args:
        path: the file.
        max_side: the greatest width and height that are read; `None`: any.

    Raises:
        ImageError: missing, damaged, no image, of colours instead of indices, or too large.
    """
    return _read(path, _to_indices, max_side)


def _read(path: Path, convert: Callable[[Image.Image], Image.Image], max_side: int | None) -> Image.Image:
    try:
        with Image.open(path) as image:
            if max_side is not None and max(image.size) > max_side:
                raise ImageError(
                    f"image {path} has {image.width}x{image.height} pixels, but {max_side} a side are the most; "
                    "scale it down or remove it"
                )
            image.load()
            return convert(image)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(
                f"image {path} can't be read: {error.strerror}; mend the file's place or rights"
            ) from error
        raise ImageError(
            f"image {path} is damaged or of an unknown kind ({_reason(error)}); replace or delete it"
        ) from error


def _to_indices(image: Image.Image) -> Image.Image:
    if image.mode not in ("P", "L"):
        raise ValueError(f"mode {image.mode}, where class indices belong, with a palette or as 8-bit grey")
    return Image.fromarray(np.array(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _high_byte(image)
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        # These formats hold 16 bits at most; Pillow only gives them more room.
        return _high_byte(image)
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}, 32 bits a sample; 8 and 16 can be read")
    if image.mode == "P" and "transparency" in image.info:
        # The same colours as without the step between, and no warning.
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _high_byte(image: Image.Image) -> Image.Image:
    """Scales 16-bit grey to 8 bits as Pillow itself does for 16-bit colour; its conversion of grey would clip."""
    return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")


def _reason(error: BaseException) -> str:
    """The library's message on one line, without the path that the sentence has already."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "no known image format"
    return " ".join(str(error).split()) or type(error).__name__
