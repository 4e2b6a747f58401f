"""Miniatures of data sets: drawn images in files and folders as the real ones lie, for trying things out."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from sc2bench.core.files import write_atomic, write_json, write_text
from sc2bench.data.scenes import make_scenes
from sc2bench.data.voc import CLASSES as VOC_CLASSES
from sc2bench.data.voc import IGNORED, palette

# Width and height; a few of the shapes that ImageNet has, smaller than the default crop among them.
SIZES = ((500, 375), (375, 500), (320, 240), (256, 256), (180, 120), (200, 333))
# The same for images with several objects, which large networks take in their whole size.
OBJECT_SIZES = ((320, 240), (240, 320), (256, 256), (200, 330))
# A detector scales longer sides to 1333 and shorter ones to 800: of images like these it makes the fewest pixels.
WIDE_SIZES = ((320, 64), (64, 320), (330, 72), (300, 60))
# Four of Imagenette's ten classes: tench, English springer, cassette player, chain saw.
IMAGENETTE_WNIDS = ("n01440764", "n02102040", "n02979186", "n03000684")
# The real data set has both kinds here and there: some hundred grey files, and 22 in CMYK.
_MODES = {1: "L", 2: "CMYK"}


def make_imagenet(
    folder: Path,
    classes: int = 4,
    per_class: int = 6,
    sizes: Sequence[tuple[int, int]] = SIZES,
    seed: int = 0,
    wnids: Sequence[str] = (),
) -> Path:
    """Writes `train/` and `val/` with JPEG files in class folders; the same arguments give the same files.

    The second file of each split is grey, the third one CMYK.

    Args:
        folder: made if missing.
        classes: number of class folders; each class has a shape, a colour and a direction of stripes.
        per_class: images a class in `train/`; `val/` has half as many, at least one.
        sizes: widths and heights that the images have in turn.
        seed: of what varies within a class.
        wnids: names of the class folders; empty: made up.

    Returns:
        `folder`.

    Raises:
        OutputError: a file can't be written.
    """
    for part, (split, count) in enumerate((("train", per_class), ("val", max(per_class // 2, 1)))):
        for number in range(classes * count):
            label = number // count
            wnid = wnids[label] if wnids else f"n{1440764 + label:08d}"
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


def make_coco(
    folder: Path, train: int = 24, val: int = 8, sizes: Sequence[tuple[int, int]] = OBJECT_SIZES, seed: int = 0
) -> Path:
    """Writes COCO 2017's files with drawn images; the same arguments give the same files.

    Of each split the second image has a crowd, the third no annotation, and the fourth a box without width.

    Args:
        folder: made if missing.
        train: images in `train2017/`.
        val: images in `val2017/`.
        sizes: widths and heights that the images have in turn.
        seed: of everything random.

    Returns:
        `folder`.

    Raises:
        OutputError: a file can't be written.
    """
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    categories = [{"id": key, "name": name} for key, name in enumerate(names) if key and name != "N/A"]
    for part, (split, count) in enumerate((("train2017", train), ("val2017", val))):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in range(count):
            random = np.random.default_rng((seed, part, number))
            labels = [] if number == 2 else random.choice([c["id"] for c in categories], size=1 + number % 3).tolist()
            image, _, boxes = _draw_objects(labels, sizes[number % len(sizes)], random)
            image_id = 9 + 16 * number
            name = f"{image_id:012d}.jpg"
            write_atomic(folder / split / name, partial(image.save, format="JPEG", quality=90))
            images.append({"id": image_id, "file_name": name, "width": image.width, "height": image.height})
            for label, box in zip(labels, boxes, strict=True):
                annotations.append(_annotation(image_id, label, box))
            if number == 1:
                annotations.append(_crowd(image_id, labels[0], (5, 7, 90, 60), image.size))
            if number == 3:
                annotations.append(_annotation(image_id, labels[0], (50, 40, 50, 80)))
        for key, annotation in enumerate(annotations, 1):
            annotation["id"] = key
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_json(folder / "annotations" / f"instances_{split}.json", content)
    return folder


def make_voc(folder: Path, train: int = 24, val: int = 8, seed: int = 0) -> Path:
    """Writes `VOCdevkit/VOC2012/` with drawn images and masks; the same arguments give the same files.

    Args:
        folder: made if missing.
        train: images in `train.txt`.
        val: images in `val.txt`.
        seed: of everything random.

    Returns:
        `folder`.

    Raises:
        OutputError: a file can't be written.
    """
    root = folder / "VOCdevkit" / "VOC2012"
    for part, (split, count) in enumerate((("train", train), ("val", val))):
        names = [f"20{7 + part:02d}_{number:06d}" for number in range(count)]
        for number, name in enumerate(names):
            random = np.random.default_rng((seed, part, number))
            labels = random.integers(1, len(VOC_CLASSES), size=1 + number % 3).tolist()
            image, mask, _ = _draw_objects(labels, OBJECT_SIZES[number % len(OBJECT_SIZES)], random)
            mask.putpalette(palette())
            write_atomic(root / "JPEGImages" / f"{name}.jpg", partial(image.save, format="JPEG", quality=90))
            write_atomic(root / "SegmentationClass" / f"{name}.png", partial(mask.save, format="PNG"))
        write_text(root / "ImageSets" / "Segmentation" / f"{split}.txt", "".join(f"{name}\n" for name in names))
    return folder


# What `sc2bench validate` makes for each data set.
MINIATURES: dict[str, Callable[[Path], Path]] = {
    "coco2017": partial(make_coco, sizes=WIDE_SIZES),
    "fashion_mnist": make_fashion_mnist,
    "ilsvrc2012": make_imagenet,
    "image_folder": make_imagenet,
    "imagenette": partial(make_imagenet, wnids=IMAGENETTE_WNIDS),
    "pascal_voc2012": make_voc,
    "scenes": partial(make_scenes, train=24, validation=4, test=4),
}


def _draw(label: int, classes: int, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """One RGB image: noisy stripes, and a regular polygon in the opposite colour at a random place."""
    width, height = size
    image = _draw_stripes(label / classes, size, random)
    radius = min(size) * random.uniform(0.2, 0.4)
    centre = (random.uniform(radius, width - radius), random.uniform(radius, height - radius))
    fill = tuple(int(255 - value) for value in _colour(label / classes))
    ImageDraw.Draw(image).regular_polygon((*centre, radius), 3 + label % 6, int(random.integers(360)), fill)
    return image


def _draw_objects(
    labels: Sequence[int], size: tuple[int, int], random: np.random.Generator
) -> tuple[Image.Image, Image.Image, list[tuple[int, int, int, int]]]:
    """One RGB image with ellipses beside each other, its mask with outlines to be ignored, and the ellipses' boxes."""
    width, height = size
    image, mask = _draw_stripes(random.random(), size, random), Image.new("L", size)
    boxes = []
    for place, label in enumerate(labels):
        left, right = (width * edge // len(labels) + random.integers(4, 12) * sign for edge, sign in _edges(place))
        top, bottom = random.integers(4, height // 3), height - random.integers(4, height // 3)
        box = (int(left), int(top), int(right), int(bottom))
        boxes.append(box)
        # Pillow's ellipses include the last row and column.
        inside = (*box[:2], box[2] - 1, box[3] - 1)
        ImageDraw.Draw(image).ellipse(inside, tuple(int(value) for value in _colour(label / 7)))
        ImageDraw.Draw(mask).ellipse(inside, label, IGNORED, 3)
    return image, mask, boxes


def _edges(place: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The left and the right end of a place in a row, each with the direction that is inwards."""
    return (place, 1), (place + 1, -1)


def _draw_stripes(hue: float, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """Noisy stripes, whose colour and direction are those of a hue, in turns of the colour wheel."""
    width, height = size
    angle = math.pi * hue
    rows, columns = np.mgrid[:height, :width]
    stripes = np.sin((columns * math.cos(angle) + rows * math.sin(angle)) / 8 + random.uniform(0, 2 * math.pi))
    pixels = _colour(hue) + 40 * stripes[..., None] + random.normal(0, 12, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _colour(hue: float) -> np.ndarray:
    return 128 + 100 * np.cos(2 * math.pi * (hue + np.arange(3) / 3))


def _annotation(image_id: int, label: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """An object outlined by the largest ellipse in its box, as a polygon."""
    left, top, right, bottom = box
    angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    columns = (left + right + (right - left) * np.cos(angles)) / 2
    rows = (top + bottom + (bottom - top) * np.sin(angles)) / 2
    # Of a polygon with 24 corners on the ellipse.
    area = (right - left) * (bottom - top) * 3 * math.sin(math.pi / 12)
    return {
        "image_id": image_id,
        "category_id": label,
        "bbox": [left, top, right - left, bottom - top],
        "area": area,
        "iscrowd": 0,
        "segmentation": [np.stack([columns, rows], axis=1).ravel().round(2).tolist()],
    }


def _crowd(image_id: int, label: int, box: tuple[int, int, int, int], size: tuple[int, int]) -> dict[str, Any]:
    """A crowd that fills its box, as COCO writes it: run lengths down the columns, the first one of what is outside."""
    left, top, right, bottom = box
    width, height = size
    inside = np.zeros((width, height), bool)
    inside[left:right, top:bottom] = True
    ends = np.flatnonzero(np.diff(inside.ravel())) + 1
    runs = np.diff([0, *ends, inside.size]).tolist()
    return {
        "image_id": image_id,
        "category_id": label,
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 1,
        "segmentation": {"size": [height, width], "counts": runs},
    }
