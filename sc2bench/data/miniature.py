"""A miniature of ImageNet: drawn images in files and folders as the real ones lie, for trying things out."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sc2bench.files import write_atomic

# Width and height; a few of the shapes that ImageNet has, smaller than the default crop among them.
SIZES = ((500, 375), (375, 500), (320, 240), (256, 256), (180, 120), (200, 333))
# The real data set has both kinds here and there: some hundred grey files, and 22 in CMYK.
_MODES = {1: "L", 2: "CMYK"}


def make_imagenet(
    folder: Path, classes: int = 4, per_class: int = 6, sizes: Sequence[tuple[int, int]] = SIZES, seed: int = 0
) -> Path:
    """Writes `train/` and `val/` with JPEG files in class folders; the same arguments give the same files.

    The second file of each split is grey, the third one CMYK.

    Args:
        folder: made if missing.
        classes: number of class folders; each class has a shape, a colour and a direction of stripes.
        per_class: images a class in `train/`; `val/` has half as many, at least one.
        sizes: widths and heights that the images have in turn.
        seed: of what varies within a class.

    Returns:
        `folder`.

    Raises:
        OutputError: a file can't be written.
    """
    for part, (split, count) in enumerate((("train", per_class), ("val", max(per_class // 2, 1)))):
        for number in range(classes * count):
            label = number // count
            wnid = f"n{1440764 + label:08d}"
            name = f"{wnid}_{number}.JPEG" if split == "train" else f"ILSVRC2012_val_{number + 1:08d}.JPEG"
            random = np.random.default_rng((seed, part, number))
            image = _draw(label, classes, sizes[number % len(sizes)], random).convert(_MODES.get(number, "RGB"))
            write_atomic(folder / split / wnid / name, partial(image.save, format="JPEG", quality=90))
    return folder


def _draw(label: int, classes: int, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """One RGB image: noisy stripes, and a regular polygon in the opposite colour at a random place."""
    width, height = size
    angle = math.pi * label / classes
    rows, columns = np.mgrid[:height, :width]
    stripes = np.sin((columns * math.cos(angle) + rows * math.sin(angle)) / 8 + random.uniform(0, 2 * math.pi))
    colour = 128 + 100 * np.cos(2 * math.pi * (label / classes + np.arange(3) / 3))
    pixels = colour + 40 * stripes[..., None] + random.normal(0, 12, (height, width, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    radius = min(size) * random.uniform(0.2, 0.4)
    centre = (random.uniform(radius, width - radius), random.uniform(radius, height - radius))
    fill = tuple(int(255 - value) for value in colour)
    ImageDraw.Draw(image).regular_polygon((*centre, radius), 3 + label % 6, int(random.integers(360)), fill)
    return image
