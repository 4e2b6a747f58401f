"""Images as the planes that video coders take: luma and chroma of the full range, with rounding.

The conversion is that of JFIF: the primaries' weights of ITU-R BT.601, all values from 0 to 2 ** bits - 1. Streams
carry no word of it, for both sides know it. Chroma of 4:2:0 is the mean of 2x2 pixels and lies in their middle.
"""

from collections.abc import Sequence

import numpy as np

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
_TO_YCC = np.array(
    [
        [_RED, _GREEN, _BLUE],
        [-_RED / (2 - 2 * _BLUE), -_GREEN / (2 - 2 * _BLUE), 0.5],
        [0.5, -_GREEN / (2 - 2 * _RED), -_BLUE / (2 - 2 * _RED)],
    ],
    np.float32,
)
_TO_RGB = np.linalg.inv(_TO_YCC.astype(np.float64)).astype(np.float32)


def pad(image: np.ndarray, multiple: int, least: int = 1) -> np.ndarray:
    """Repeats the last row and column of (C, H, W) until both sides are multiples, and at least `least`.

    >>> pad(np.zeros((1, 28, 9), np.uint8), 8, 16).shape
    (1, 32, 16)
    """
    height, width = padded_size(image.shape[1:], multiple, least)
    return np.pad(image, ((0, 0), (0, height - image.shape[1]), (0, width - image.shape[2])), mode="edge")


def padded_size(size: Sequence[int], multiple: int, least: int = 1) -> tuple[int, int]:
    """The (height, width) that `pad` makes of a (height, width)."""
    height, width = (max(least, -(-side // multiple) * multiple) for side in size)
    return height, width


def to_planes(image: np.ndarray, chroma: str, bits: int = 8) -> list[np.ndarray]:
    """Turns an image into planes.

    Args:
        image: uint8 (C, H, W); with 1 channel it is the only plane, whatever `chroma` says.
        chroma: "444", or "420", which needs even sides.
        bits: 8 to 16 bits a value; more than 8 keep what the conversion would round away.

    Returns:
        1 or 3 planes (H, W), those of chroma (H / 2, W / 2) for "420"; uint8 for 8 bits, else little-endian uint16.
    """
    scale = 2.0 ** (bits - 8)
    if len(image) == 1:
        return [_rounded(image[0] * scale, bits)]
    luma, *colours = np.tensordot(_TO_YCC, image.astype(np.float32), 1)
    if chroma == "420":
        height, width = image.shape[1:]
        colours = [plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for plane in colours]
    return [_rounded(luma * scale, bits), *(_rounded((plane + 128) * scale, bits) for plane in colours)]


def from_planes(planes: Sequence[np.ndarray], bits: int = 8) -> np.ndarray:
    """Turns what `to_planes` gave, or a coder made of it, into uint8 (C, H, W)."""
    scale = np.float32(2.0 ** (bits - 8))
    luma = planes[0].astype(np.float32) / scale
    if len(planes) == 1:
        return _rounded(luma, 8)[None]
    colours = [plane.astype(np.float32) / scale - 128 for plane in planes[1:]]
    if colours[0].shape != luma.shape:
        colours = [_doubled(_doubled(plane, 0), 1) for plane in colours]
    return _rounded(np.tensordot(_TO_RGB, np.stack([luma, *colours]), 1), 8)


def _doubled(plane: np.ndarray, axis: int) -> np.ndarray:
    """Twice as many values along an axis, each three parts of the nearest and one of the next nearest."""
    edges = np.pad(plane, [(1, 1) if axis == i else (0, 0) for i in range(2)], mode="edge")
    before = edges.take(range(plane.shape[axis]), axis)
    after = edges.take(range(2, plane.shape[axis] + 2), axis)
    pairs = np.stack([(3 * plane + before) / 4, (3 * plane + after) / 4], axis + 1)
    shape = list(plane.shape)
    shape[axis] *= 2
    return pairs.reshape(shape)


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    return np.clip(np.rint(values), 0, 2**bits - 1).astype(np.uint8 if bits == 8 else "<u2")
