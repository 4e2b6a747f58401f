"""Scenes of garments: an embedded data set for detection, segmentation and classification.

The scenes are composed of Fashion-MNIST's images (see `composing`), those of a split of that split's images only. They
lie in one folder in two published formats at once, so that the readers of COCO and Pascal VOC read them, and other
tools can too:

- `images/<name>.png`;
- `annotations/instances_<split>.json`, in COCO's format, outlines as compressed run lengths;
- `SegmentationClass/<name>.png`, `ImageSets/Segmentation/<split>.txt` and `labels.txt`, as in Pascal VOC.
"""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as run_lengths
from torch import Tensor
from torchvision.transforms import functional

from sc2bench.config import TaskConfig
from sc2bench.core.errors import ConfigError, DataError
from sc2bench.core.files import write_folder_atomic
from sc2bench.core.registry import DATASETS
from sc2bench.data.base import ImageSet, ManyTargets
from sc2bench.data.coco import BACKGROUND, CocoSource, Objects, present_boxes, read_listing
from sc2bench.data.composing import Scene, compose_scene
from sc2bench.data.fashion_mnist import CACHE_FOLDER, fashion_mnist
from sc2bench.data.fashion_mnist import CLASSES as GARMENTS
from sc2bench.data.fingerprints import digest, located
from sc2bench.data.layout import named_root, specified
from sc2bench.data.parts import in_random_order
from sc2bench.data.varied import Presentation, Remembered, VariedImages
from sc2bench.data.voc import MaskPresentation, VocSource, palette, read_names
from sc2bench.wire.inputs import ImageSpec

VARIABLE = "SC2BENCH_SCENES"
CLASSES = (BACKGROUND, *GARMENTS)
SIZES = {"train": 20000, "validation": 250, "test": 500}
# A number for what the same arguments make; goes up with every change of it.
VERSION = 1
_ABOUT = "scenes.json"


@DATASETS.register("scenes")
@specified(lambda task: ImageSpec(3))
@located(VARIABLE, train="f5ccc3f445b83515", validation="008da853a2a12ae2", test="1fbcc800c933bf09")
@in_random_order
def scenes(task: TaskConfig, split: str) -> ImageSet:
    """Opens a split of the scenes, which are made when they are first needed.

    Images and masks stay in memory once they are decoded: the training scenes take 1.2 GB, for segmentation 1.4 GB.

    Args:
        task: its `root` is a folder that `make_scenes` has made, of any size, or an empty or new one, which is filled;
            `None`: the folder that the environment variable `SC2BENCH_SCENES` names, else one in `~/.cache/sc2bench`.
            Its `name` says what the targets are: boxes, masks, the class of the garment with the most pixels in view,
            or all of them.
        split: "train" (20,000), "validation" (250) or "test" (500).

    Raises:
        ConfigError: a task that has no targets here, or a share for validation.
        DataError: a folder with other contents, damaged files, or Fashion-MNIST is missing.
        OutputError: the folder can't be written.
    """
    if task.validation_fraction is not None:
        raise ConfigError("task.validation_fraction: scenes have a validation split of their own; leave it out")
    if task.name == "multi_task":
        tasks = (*_PRESENTATIONS, "semantic_segmentation")
        parts = {name: scenes(replace(task, name=name), split) for name in tasks}
        return ManyTargets(parts, next(iter(parts.values())).fingerprint)
    if task.name == "semantic_segmentation":
        folder = _ready(task)
        fingerprint = _fingerprint(folder, split)
        names = read_names(folder / "ImageSets" / "Segmentation" / f"{split}.txt")
        voc = VocSource(folder / "images", ".png", folder / "SegmentationClass", names, len(CLASSES))
        return VariedImages(CLASSES, Remembered(voc), MaskPresentation(), True, fingerprint)
    if task.name not in _PRESENTATIONS:
        known = ", ".join((*_PRESENTATIONS, "semantic_segmentation", "multi_task"))
        raise ConfigError(f"task.name: scenes have no targets for '{task.name}'; known: {known}")
    classes, present = _PRESENTATIONS[task.name]
    folder = _ready(task)
    annotations = folder / "annotations" / f"instances_{split}.json"
    coco = CocoSource(folder / "images", read_listing(annotations), annotations)
    return VariedImages(classes, Remembered(coco), present, True, _fingerprint(folder, split))


def make_scenes(
    folder: Path,
    train: int = SIZES["train"],
    validation: int = SIZES["validation"],
    test: int = SIZES["test"],
    seed: int = 0,
) -> Path:
    """Makes a folder of scenes; the same arguments give the same files.

    It appears when it is complete. Several processes may make it at once.

    Args:
        folder: new, or empty.
        train: number of scenes of Fashion-MNIST's training images.
        validation: of images that are held out of its training set.
        test: of its test images.
        seed: of everything random.

    Returns:
        `folder`.

    Raises:
        DataError: Fashion-MNIST is missing or damaged.
        OutputError: the folder can't be written.
    """
    write_folder_atomic(folder, partial(_fill, sizes=_sizes(train, validation, test), seed=seed))
    return folder


def present_largest(
    image: Image.Image, annotation: tuple[int, Objects], random: np.random.Generator | None
) -> tuple[Tensor, Tensor]:
    """An image for a classifier; in training mirrored with probability one half.

    Returns:
        The image, uint8 (3, H, W), and the class of the garment with the most pixels in view, an int64 scalar.
    """
    pixels = functional.pil_to_tensor(image)
    if random is not None and random.random() < 0.5:
        pixels = pixels.flip(-1)
    _, objects = annotation
    return pixels, torch.tensor(int(objects.labels[objects.area.argmax()]) - 1)


# Classes and presentation by task.
_PRESENTATIONS: dict[str, tuple[tuple[str, ...], Presentation]] = {
    "image_classification": (GARMENTS, present_largest),
    "object_detection": (CLASSES, present_boxes),
}


def _ready(task: TaskConfig) -> Path:
    """The folder of the scenes, made if need be."""
    folder = named_root(task, VARIABLE) or CACHE_FOLDER / f"scenes-{_digest()}"
    try:
        wanted = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise DataError(
            f"folder {folder} can't be reached: {error.strerror}; mend its name, place or rights"
        ) from error
    if wanted:
        make_scenes(folder)
    try:
        version = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"folder {folder} holds no scenes; give a new folder as task.root or {VARIABLE}, or neither"
        ) from None
    if version != VERSION:
        raise DataError(
            f"folder {folder} holds scenes of version {version}, but {VERSION} is current; delete it to make them anew"
        )
    return folder


def _fingerprint(folder: Path, split: str) -> str:
    """Of what the scenes were made by and what they show, which is the same for all tasks.

    Sizes of files are left out, for libraries compress alike pixels differently.
    """
    annotations = folder / "annotations" / f"instances_{split}.json"
    try:
        return digest((folder / _ABOUT).read_bytes(), annotations.read_bytes())
    except OSError as error:
        raise DataError(
            f"folder {folder} has lost some of its scenes ({error}); delete it to make them anew"
        ) from error


def _digest() -> str:
    """Names the scenes that the default arguments make."""
    return hashlib.blake2b(json.dumps([VERSION, SIZES]).encode(), digest_size=4).hexdigest()


def _sizes(train: int, validation: int, test: int) -> dict[str, int]:
    return {"train": train, "validation": validation, "test": test}


def _fill(folder: Path, sizes: dict[str, int], seed: int) -> None:
    lists = folder / "ImageSets" / "Segmentation"
    for place in (folder / "images", folder / "SegmentationClass", folder / "annotations", lists):
        place.mkdir(parents=True)
    first_id = 1
    for part, (split, count) in enumerate(sizes.items()):
        garments = fashion_mnist(TaskConfig("image_classification", "fashion_mnist"), split)
        images, labels = garments.images[:, 0].numpy(), garments.targets.numpy()
        coco = _Coco()
        names = [f"{split}_{number:05d}" for number in range(count)]
        for number, name in enumerate(names):
            scene = compose_scene(images, labels, np.random.default_rng((seed, part, number)))
            _write_pictures(folder, name, scene)
            coco.add(first_id + number, f"{name}.png", scene)
        coco.write(folder / "annotations" / f"instances_{split}.json")
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        first_id += count
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    about = {"version": VERSION, "seed": seed, **sizes}
    (folder / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _write_pictures(folder: Path, name: str, scene: Scene) -> None:
    Image.fromarray(scene.image).save(folder / "images" / f"{name}.png", compress_level=1)
    classes = np.array((0, *(label + 1 for label in scene.labels)), np.uint8)
    mask = Image.fromarray(classes[scene.owners])
    mask.putpalette(palette())
    mask.save(folder / "SegmentationClass" / f"{name}.png")


class _Coco:
    """Gathers scenes as COCO's images and annotations."""

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image_id: int, name: str, scene: Scene) -> None:
        """Adds a scene; outline, area and box are those of what is in view."""
        height, width = scene.owners.shape
        self._images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for garment, label in enumerate(scene.labels):
            outline = run_lengths.encode(np.asfortranarray(scene.visible(garment), np.uint8))
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": label + 1,
                    "bbox": run_lengths.toBbox(outline).tolist(),
                    "area": int(run_lengths.area(outline)),
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": outline["counts"].decode("ascii")},
                }
            )

    def write(self, path: Path) -> None:
        """Writes COCO's JSON."""
        categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES) if index]
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        path.write_text(json.dumps(content), encoding="utf-8")
