"""What images must be to enter a model or a codec: checked by type and shape alone, so it costs no look at a pixel.

Neither PyTorch nor NumPy is needed: tensors and arrays say alike what they are.
"""

from collections.abc import Sequence
from typing import Any

from sc2bench.core.errors import InputError
from sc2bench.wire.sizing import Size, image_sizes

_CHANNELS = (1, 3)
# That of images of any channels and size.
ANY_SHAPE = (0, 0, 0)


def check_images(images: Any, image_shape: tuple[int, int, int]) -> None:
    """Raises `InputError` unless a model takes a batch of images.

    Args:
        images: should be uint8, (N, C, H, W), or N images (C, H, W) each, with N at least 1.
        image_shape: (C, H, W) that each must have; (C, 0, 0) where sizes vary.
    """
    whole = hasattr(images, "shape")
    if whole and len(images.shape) != 4:
        raise InputError(
            f"images of shape {_shape(images)} are no batch; give uint8 (N, {_wanted(image_shape)}), one image as "
            "images[None]"
        )
    if not whole and not isinstance(images, Sequence):
        raise InputError(f"a {type(images).__name__} is no batch of images; give uint8 (N, {_wanted(image_shape)})")
    if not len(images):
        raise InputError("there is no image in the batch; give one at least")
    for image in images[:1] if whole else images:
        _check_image(image, image_shape)


def check_coded_image(image: Any) -> None:
    """Raises `InputError` unless an image codec takes an image: it should be uint8, (1 or 3, H, W)."""
    shape = _shape(image)
    channels = shape[0] if shape else 0
    _check_image(image, (channels if channels in _CHANNELS else _CHANNELS[-1], 0, 0))


def check_sides(images: Any, most: int) -> list[Size]:
    """The (height, width) of images, none of which is longer than `most`; raises `InputError`."""
    sizes = image_sizes(images)
    for height, width in sizes:
        if max(height, width) > most:
            raise InputError(f"an image of {height}x{width} pixels can't be sent; a side has at most {most}: scale it")
    return sizes


def _check_image(image: Any, image_shape: tuple[int, int, int]) -> None:
    dtype = str(getattr(image, "dtype", type(image).__name__)).removeprefix("torch.")
    if dtype != "uint8":
        raise InputError(
            f"images are of type {dtype}; give uint8, 0 to 255 (of floats in 0..1: (255 * images).round() as uint8)"
        )
    shape = _shape(image)
    matches = len(shape) == 3 and all(side >= 1 for side in shape)
    if not matches or any(side not in (0, found) for side, found in zip(image_shape, shape, strict=True)):
        raise InputError(
            f"an image of shape {shape} does not fit; give uint8 ({_wanted(image_shape)}), channels first, "
            f"{'of any size' if not image_shape[1] else 'scaled to that size'}"
        )


def _shape(image: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in getattr(image, "shape", ()))


def _wanted(image_shape: tuple[int, int, int]) -> str:
    return ", ".join(str(side) if side else name for side, name in zip(image_shape, "CHW", strict=True))
