"""From an image file of any kind to 8-bit RGB."""

import stat
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sc2bench.core.errors import DataError

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Images of kinds that are not read; to pass them over would be to lose samples.
OTHER_EXTENSIONS = (".avif", ".heic", ".heif", ".jp2", ".j2k", ".jpx", ".jxl", ".tga", ".psd", ".dng", ".svg")
# Pillow's names of the formats of these; others it would hand to programs of their own, whatever a file is called.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM")
# Pillow itself warns of larger ones; the largest photograph of ImageNet has 61 million.
MAX_PIXELS = 89_000_000
# What Pillow multiplies grey indices of fewer than eight bits by, to reach from black to white, by its raw modes.
_GREY_STEPS = {"L": 1, "L;4": 17, "L;2": 85}
# The bits of TIFF's grey samples that Pillow gives 16 bits, and whether the least value is white, by their tags.
_BITS_TAG, _PHOTOMETRIC_TAG = 258, 262
_WHITE_IS_ZERO = 0
# Greatest values of portable maps that Pillow does not scale; others it stretches to one of these.
_UNSCALED = (255, 65535)
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


def read_rgb(path: Path, max_side: int | None = None, shorter: int | None = None) -> Image.Image:
    """Reads an image file as 8-bit RGB.

    CMYK is converted, palettes are looked up, alpha is dropped, and of 16 bits the high byte is taken. The rotation
    that an EXIF entry asks for is not carried out, for neither did the published results with which ours are compared.
    Of several images in one file, such as an animation's, the first is taken.

    How large an image is, its first bytes say; one that is too large is not decoded.

    Args:
        path: the file.
        max_side: the greatest width and height that are read; `None`: any.
        shorter: pixels that the shorter side will be resized to; `None`: it will not be.

    Raises:
        ImageError: missing, damaged, no image, of a kind that has no place in 8 bits, or too large, also once resized.
    """
    return _read(path, _to_rgb, max_side, shorter)


def read_size(path: Path) -> tuple[int, int]:
    """The (height, width) that an image file says it has; raises `ImageError`."""
    width, height = _read(path, lambda image: image, None, None, decode=False).size
    return height, width


def read_indices(path: Path, max_side: int | None = None) -> Image.Image:
    """Reads an image file whose pixels are class indices, with a palette or as grey, as 8-bit grey.

    Of 1, 2, 4, 8 or 16 bits; the grey of fewer bits than 8 is an index as it stands in the file, not a brightness.
    JPEG changes values, so it holds no indices; nor do portable maps whose greatest value would scale them.

    Args:
        path: the file.
        max_side: the greatest width and height that are read; `None`: any.

    Raises:
        ImageError: missing, damaged, no image, of colours instead of indices, or too large.
    """
    return _read(path, _to_indices, max_side, None)


def _read(
    path: Path,
    convert: Callable[[Image.Image], Image.Image],
    max_side: int | None,
    shorter: int | None,
    decode: bool = True,
) -> Image.Image:
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"image {path} is no regular file; replace or remove it")
        with warnings.catch_warnings():
            # Pillow warns of large images, and those are refused here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=FORMATS)
        with opened as image:
            _check_size(path, image.size, max_side, shorter)
            return convert(image) if decode else image
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(
                f"image {path} can't be read: {error.strerror}; mend the file's place or rights"
            ) from error
        raise ImageError(
            f"image {path} is damaged or of an unknown kind ({_reason(error)}); replace or delete it"
        ) from error


def _check_size(path: Path, size: tuple[int, int], max_side: int | None, shorter: int | None) -> None:
    width, height = size
    if max_side is not None and max(size) > max_side:
        raise ImageError(
            f"image {path} has {width}x{height} pixels, but {max_side} a side are the most; scale it down or remove it"
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"image {path} has {width}x{height} pixels, but {MAX_PIXELS} in all are the most; scale it down or remove "
            "it"
        )
    if shorter is not None and shorter * shorter * max(size) > MAX_PIXELS * max(min(size), 1):
        raise ImageError(
            f"image {path} has {width}x{height} pixels, and with {shorter} on the shorter side it would have more than "
            f"{MAX_PIXELS} in all; cut it or remove it"
        )


def _to_indices(image: Image.Image) -> Image.Image:
    if image.format == "JPEG":
        raise ValueError("JPEG, which changes values, where class indices belong; PNG keeps them")
    if image.format == "PPM" and _greatest(image) not in _UNSCALED:
        raise ValueError(f"grey up to {_greatest(image)}, which would be scaled, where class indices belong")
    # Before decoding, for afterwards nothing tells how many bits there were.
    raw = _raw_mode(image)
    if image.mode == "P" or (image.mode == "1" and raw == "1"):
        return Image.fromarray(np.array(image).astype(np.uint8))
    if image.mode == "L" and raw in _GREY_STEPS:
        return Image.fromarray(np.array(image) // np.uint8(_GREY_STEPS[raw]))
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        wide = np.asarray(image)
        if wide.max(initial=0) > 255:
            raise ValueError(f"the value {wide.max()}, where class indices end with 255")
        return Image.fromarray(wide.astype(np.uint8))
    raise ValueError(f"mode {image.mode}, where class indices belong, with a palette or as grey")


def _raw_mode(image: Image.Image) -> Any:
    """How Pillow names the pixels as they lie in the file; the image's own mode if its format has no such name."""
    tiles = getattr(image, "tile", None)
    options = tiles[0][3] if tiles else None
    mode = options[0] if isinstance(options, tuple) and options else options
    return mode if isinstance(mode, str) else image.mode


def _greatest(image: Any) -> int:
    """The greatest value of a portable map; Pillow leaves samples as they are where it reads them raw."""
    decoder, *_, options = image.tile[0]
    return int(options[1]) if decoder != "raw" and isinstance(options, tuple) else _UNSCALED[0]


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode.startswith("I;16"):
        return _high_byte(_whole_range(image) if image.format == "TIFF" else image)
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        # These formats hold 16 bits at most; Pillow only gives them more room.
        return _high_byte(image)
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}, 32 bits a sample; 8 and 16 can be read")
    if image.mode == "P" and "transparency" in image.info:
        # The same colours as without the step between, and no warning.
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _whole_range(image: Any) -> Image.Image:
    """Grey of 16 bits from black to white: of TIFF's, Pillow neither widens 12 bits nor turns what is white at zero."""
    bits = int(image.tag_v2[_BITS_TAG][0])
    values = np.asarray(image).astype(np.uint16) << (16 - bits)
    white_is_zero = image.tag_v2[_PHOTOMETRIC_TAG] == _WHITE_IS_ZERO
    return Image.fromarray(np.invert(values) if white_is_zero else values)


def _high_byte(image: Image.Image) -> Image.Image:
    """Scales 16-bit grey to 8 bits as Pillow itself does for 16-bit colour; its conversion of grey would clip."""
    return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")


def _reason(error: BaseException) -> str:
    """The library's message on one line, without the path that the sentence has already."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "no known image format"
    return " ".join(str(error).split()) or type(error).__name__
