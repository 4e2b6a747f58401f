"""Draws scenes: garments of Fashion-MNIST, tinted, scaled and partly hidden by each other, on coloured backgrounds.

All arithmetic is in integers, or such that no processor rounds it in its own way: a seed gives the same scene anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

# Height and width; multiples of 16, as networks like them, and near each other, so that a padded batch wastes little.
SHAPES = ((128, 128), (112, 128), (128, 112), (96, 128), (128, 96))
MAX_GARMENTS = 4
# Height and width of a garment's square, in pixels.
SIDES = (48, 88)
# Of its pixels every garment keeps this share in view.
LEAST_VISIBLE = 0.7
# How often a garment that would hide too much of another is moved before it is left out.
ATTEMPTS = 20
# Grey levels above it are garment.
THRESHOLD = 12
# Garments with fewer of the 784 pixels, a few straps of sandals, could not be recognised.
LEAST_PIXELS = 80


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        image: uint8, (H, W, 3).
        owners: uint8, (H, W): 0 where the background shows, n + 1 where garment n shows.
        labels: class index of each garment, in the order in which they were laid down.
    """

    image: np.ndarray
    owners: np.ndarray
    labels: tuple[int, ...]

    def visible(self, garment: int) -> np.ndarray:
        """Where a garment shows; bool, (H, W)."""
        return self.owners == garment + 1


def compose_scene(images: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> Scene:
    """Draws a scene.

    Args:
        images: uint8, (N, 28, 28), garments to choose from.
        labels: int64, (N,), their classes.
        random: decides everything.
    """
    height, width = SHAPES[random.integers(len(SHAPES))]
    scene = _background(height, width, random)
    owners = np.zeros((height, width), np.uint8)
    shown: list[int] = []
    areas: list[int] = []
    for _ in range(random.integers(1, MAX_GARMENTS, endpoint=True)):
        chosen = _choose(images, random)
        side = int(random.integers(*SIDES, endpoint=True))
        colours, alpha = _garment(images[chosen], side, random)
        place = _find_place(owners, alpha >= 128, areas, random)
        if place is None:
            continue
        under = scene[place].astype(np.int32)
        share = alpha[..., None].astype(np.int32)
        scene[place] = ((255 - share) * under + share * colours + 127) // 255
        owners[place][alpha >= 128] = len(shown) + 1
        shown.append(int(labels[chosen]))
        areas.append(int((alpha >= 128).sum()))
    return Scene(scene, owners, tuple(shown))


def _choose(images: np.ndarray, random: np.random.Generator) -> int:
    while True:
        chosen = int(random.integers(len(images)))
        if (images[chosen] > THRESHOLD).sum() >= LEAST_PIXELS:
            return chosen


def _garment(image: np.ndarray, side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A garment's colours, int32 (side, side, 3) in 0 ... 255, and how opaque it is, uint8 (side, side)."""
    solid = ndimage.binary_fill_holes(image > THRESHOLD)
    assert solid is not None
    if random.random() < 0.5:
        image, solid = image[:, ::-1], solid[:, ::-1]
    grey = _resized(np.ascontiguousarray(image), (side, side))
    alpha = _resized(solid.astype(np.uint8) * 255, (side, side))
    # Dark parts stay visible, and the levels between show what the garment is.
    shade = 50 + grey.astype(np.int32) * 205 // 255
    return shade[..., None] * _tint(random) // 255, alpha


def _tint(random: np.random.Generator) -> np.ndarray:
    """A bright colour: one channel is full, one is anything, one is low."""
    return random.permutation([255, int(random.integers(60, 256)), int(random.integers(30, 140))])


def _find_place(
    owners: np.ndarray, solid: np.ndarray, areas: list[int], random: np.random.Generator
) -> tuple[slice, slice] | None:
    """A place for a garment where enough of those below stays in view, or `None`."""
    side = len(solid)
    height, width = owners.shape
    visible = np.bincount(owners.ravel(), minlength=len(areas) + 1)[1:]
    for _ in range(ATTEMPTS):
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        place = (slice(top, top + side), slice(left, left + side))
        hidden = np.bincount(owners[place][solid], minlength=len(areas) + 1)[1:]
        if (visible - hidden >= LEAST_VISIBLE * np.array(areas)).all():
            return place
    return None


def _background(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Two muted colours that run into each other in clouds, under a pattern and a ramp of brightness; uint8."""
    low, high = (random.integers(40, 170, size=3) for _ in range(2))
    mix = _clouds(height, width, int(random.integers(3, 7)), random)[..., None].astype(np.int32)
    colours = (low * (255 - mix) + high * mix) // 255
    pattern = _PATTERNS[random.integers(len(_PATTERNS))](height, width, random)
    ramp = _ramp(height, width, random)
    fine = _clouds(height, width, int(random.integers(20, 40)), random).astype(np.int32) - 128
    light = pattern + ramp + fine * int(random.integers(5, 30)) // 128
    return np.clip(colours + light[..., None], 0, 255).astype(np.uint8)


def _clouds(height: int, width: int, cells: int, random: np.random.Generator) -> np.ndarray:
    """Smooth noise with about `cells` spots along each side; uint8, (height, width)."""
    return _resized(random.integers(0, 256, size=(cells, cells), dtype=np.uint8), (height, width))


def _ramp(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    down, right = (int(random.integers(-25, 26)) for _ in range(2))
    rows, columns = np.mgrid[:height, :width]
    return (2 * rows - height) * down // height + (2 * columns - width) * right // width


def _stripes(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """A triangle wave in any direction."""
    across, along = (int(random.integers(-8, 9)) for _ in range(2))
    rows, columns = np.mgrid[:height, :width]
    period = int(random.integers(48, 160))
    phase = (rows * along + columns * across) % period
    return np.abs(2 * phase - period) * int(random.integers(8, 40)) // period


def _checks(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Squares of two levels."""
    side = int(random.integers(6, 20))
    rows, columns = np.mgrid[:height, :width]
    return (rows // side + columns // side) % 2 * int(random.integers(8, 30))


def _dots(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Round dots on a grid."""
    step = int(random.integers(8, 20))
    rows, columns = np.mgrid[:height, :width]
    distance = (2 * (rows % step) - step) ** 2 + (2 * (columns % step) - step) ** 2
    return (distance < step**2 // 2) * int(random.integers(8, 35))


_PATTERNS: tuple[Callable[[int, int, np.random.Generator], np.ndarray], ...] = (_stripes, _stripes, _checks, _dots)


def _resized(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 (h, w) with Pillow, whose arithmetic for bytes is in integers."""
    return np.asarray(Image.fromarray(values).resize(shape[::-1], Image.Resampling.BICUBIC))
