"""Miniatures of data sets: drawn images in files and folders as the real ones lie, for trying things out."""

import math
from collections.abc import Callable, Sequence
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


def make_fashion_mnist(folder: Path, samples: int = 48, seed: int = 0) -> Path:
    """Writes the four IDX files with drawn grey images of 28x28; the same arguments give the same files.

    Args:
        folder: made if missing.
        samples: of the training set; the test set has half as many.
        seed: of what varies within a class.

    Returns:
        `folder`.

    Raises:
        OutputError: a file can't be written.
    """
    for part, (prefix, count) in enumerate((("train", samples), ("t10k", samples // 2))):
        labels = np.arange(count, dtype=np.uint8) % 10
        randoms = (np.random.default_rng((seed, part, number)) for number in range(count))
        drawn = [_draw(int(label), 10, (28, 28), random) for label, random in zip(labels, randoms, strict=True)]
        images = np.stack([np.asarray(image.convert("L")) for image in drawn])
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            # Magic number: two zero bytes, 8 for unsigned bytes, the number of dimensions.
            header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes()
            content = header + values.tobytes()
            write_atomic(folder / f"{prefix}-{name}-ubyte", partial(Path.write_bytes, data=content))
    return folder


# What `sc2bench validate` makes for each data set.
MINIATURES: dict[str, Callable[[Path], Path]] = {"ilsvrc2012": make_imagenet, "fashion_mnist": make_fashion_mnist}


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
