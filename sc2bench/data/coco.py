"""COCO 2017 (Lin et al. 2014), and other data sets for object detection in its format."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional

from sc2bench.config import TaskConfig
from sc2bench.core.registry import DATASETS
from sc2bench.data.coco_entries import read_entries
from sc2bench.data.decoding import ImageError, read_rgb
from sc2bench.data.fingerprints import digest, digest_files, located
from sc2bench.data.layout import check_folders, find_root, held_out, specified
from sc2bench.data.varied import MAX_SIDE, VariedImages
from sc2bench.wire.inputs import ImageSpec

VARIABLE = "SC2BENCH_COCO2017"
BACKGROUND = "__background__"
# Of each 100 training images the last one is for validation: 1,182 of the 118,287.
VALIDATION_EVERY = 100


@DATASETS.register("coco2017")
@specified(lambda task: ImageSpec(3))
@located(VARIABLE)
def coco2017(task: TaskConfig, split: str) -> VariedImages:
    """Opens a split of COCO 2017, or of any data set in the same files.

    Images have their own sizes, for detectors scale them themselves. Class indices are category ids: 91 classes with
    the background and the unused ids, as torchvision's models have.

    Args:
        task: its `root` holds `annotations/instances_{train,val}2017.json`, `train2017/` and `val2017/`; `None`: the
            folder that the environment variable `SC2BENCH_COCO2017` names.
        split: "train" (99 of each 100 images of `train2017`, without those that have nothing to learn from),
            "validation" (the others; more of a small data set, see `held_out`) or "test" (`val2017`).

    Raises:
        DataError: a file is missing or damaged, or contradicts itself.
    """
    root = find_root(task, VARIABLE, "annotations/, train2017/ and val2017/")
    part = "val2017" if split == "test" else "train2017"
    check_folders(task, VARIABLE, (root, root / "annotations", root / part))
    annotations = root / "annotations" / f"instances_{part}.json"
    listing = read_listing(annotations)
    if split != "test":
        chosen = held_out(task, len(listing), VALIDATION_EVERY, annotations)
        listing = listing.subset(chosen if split == "validation" else ~chosen)
    if split == "train":
        listing = listing.trainable()
    return VariedImages(listing.classes, CocoSource(root / part, listing, annotations), present_boxes)


@dataclass(frozen=True)
class Objects:
    """The annotated objects of an image, or of many.

    Attributes:
        boxes: float32, (n, 4): left, top, right and bottom edge in pixels.
        labels: int64, (n,), category ids.
        iscrowd: int64, (n,): 1 where a box holds a crowd that was not told apart.
        area: float32, (n,), of the outlines, in pixels.
    """

    boxes: np.ndarray
    labels: np.ndarray
    iscrowd: np.ndarray
    area: np.ndarray

    def __getitem__(self, chosen: slice | np.ndarray) -> "Objects":
        return Objects(self.boxes[chosen], self.labels[chosen], self.iscrowd[chosen], self.area[chosen])

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class CocoListing:
    """What an annotation file says, sorted by image id. Arrays, for they are quick to hand to workers.

    Attributes:
        classes: names by category id; "N/A" where there is no such id.
        names: bytes, (N,), file names.
        image_ids: int64, (N,).
        sizes: int64, (N, 2), width and height.
        spans: int64, (N, 2): the objects of an image are `objects[start:stop]`.
        objects: of all images.
    """

    classes: tuple[str, ...]
    names: np.ndarray
    image_ids: np.ndarray
    sizes: np.ndarray
    spans: np.ndarray
    objects: Objects

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, chosen: np.ndarray) -> "CocoListing":
        """The images at `chosen`, bool (N,)."""
        parts = (self.names[chosen], self.image_ids[chosen], self.sizes[chosen], self.spans[chosen])
        return CocoListing(self.classes, *parts, self.objects)

    def trainable(self) -> "CocoListing":
        """What torchvision's reference script trains on.

        Crowds are dropped, boxes end at the image's edges, those without width or height are dropped, and images that
        have no box left too.
        """
        counts = self.spans[:, 1] - self.spans[:, 0]
        owners = np.repeat(np.arange(len(self)), counts)
        places = np.concatenate([np.arange(start, stop) for start, stop in self.spans] or [np.arange(0)])
        objects = self.objects[places]
        boxes = _clamped(objects.boxes, self.sizes[owners])
        kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (objects.iscrowd == 0)
        objects = Objects(boxes, objects.labels, objects.iscrowd, objects.area)[kept]
        spans = _spans(owners[kept], len(self))
        listing = CocoListing(self.classes, self.names, self.image_ids, self.sizes, spans, objects)
        return listing.subset(spans[:, 1] > spans[:, 0])


class CocoSource:
    """Image files with their annotated objects.

    Args:
        folder: of the image files.
        listing: what there is.
        annotations: the file that the listing comes from, for errors.
    """

    def __init__(self, folder: Path, listing: CocoListing, annotations: Path):
        self.folder = folder
        self.listing = listing
        self._annotations = annotations

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> tuple[Image.Image, tuple[int, Objects]]:
        """Reads an image; gives its id and its objects with it.

        Raises:
            ImageError: the file is missing, damaged, too large, or of another size than is annotated.
        """
        path = self.path(index)
        try:
            image = read_rgb(path, MAX_SIDE)
        except ImageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise ImageError(
                    f"image {path}, which {self._annotations} lists, is missing; unpack the images again"
                ) from error
            raise
        width, height = self.listing.sizes[index]
        if image.size != (width, height):
            raise ImageError(
                f"image {path} has {image.width}x{image.height} pixels, but {self._annotations} says {width}x{height}; "
                "unpack both again"
            )
        start, stop = self.listing.spans[index]
        return image, (int(self.listing.image_ids[index]), self.listing.objects[start:stop])

    def path(self, index: int) -> Path:
        """The file of one sample."""
        return self.folder / os.fsdecode(self.listing.names[index])

    @property
    def fingerprint(self) -> str:
        """Of all annotations, of names and sizes of the image files, and of the contents of some."""
        listing, objects = self.listing, self.listing.objects
        described = (listing.names, listing.image_ids, listing.sizes, listing.spans)
        annotated = (objects.boxes, objects.labels, objects.iscrowd, objects.area)
        return digest(*described, *annotated, *digest_files(len(listing), self.path))

    def image_size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image, as it is annotated."""
        width, height = self.listing.sizes[index].tolist()
        return height, width


def present_boxes(
    image: Image.Image, annotation: tuple[int, Objects], random: np.random.Generator | None
) -> tuple[Tensor, dict[str, Any]]:
    """An image for a detector; in training mirrored with probability one half.

    Returns:
        The image, uint8 (3, H, W), and `boxes`, float32 (n, 4), the left, top, right and bottom edges in pixels;
        `labels`, int64 (n,); `iscrowd`, int64 (n,); `area`, float32 (n,); and `image_id`, an int.
    """
    image_id, objects = annotation
    pixels, boxes = functional.pil_to_tensor(image), torch.from_numpy(objects.boxes.copy())
    if random is not None and random.random() < 0.5:
        pixels = pixels.flip(-1)
        boxes[:, [0, 2]] = image.width - boxes[:, [2, 0]]
    others = {name: torch.from_numpy(getattr(objects, name).copy()) for name in ("labels", "iscrowd", "area")}
    return pixels, {"boxes": boxes, **others, "image_id": image_id}


@cache
def read_listing(annotations: Path) -> CocoListing:
    """Reads an annotation file; once a process, for that takes COCO's training set half a minute.

    Raises:
        DataError: the file is missing or damaged, or has an entry that is not as the format says; see `coco_entries`.
    """
    content = read_entries(annotations)
    images = sorted(content.images, key=lambda image: image["id"])
    places = {image["id"]: place for place, image in enumerate(images)}
    listed = sorted(content.annotations, key=lambda annotation: places[annotation["image_id"]])
    owners = np.array([places[annotation["image_id"]] for annotation in listed], np.int64)
    return CocoListing(
        _classes(content.categories),
        np.array([os.fsencode(image["file_name"]) for image in images]),
        np.array([image["id"] for image in images], np.int64),
        np.array([(image["width"], image["height"]) for image in images], np.int64).reshape(-1, 2),
        _spans(owners, len(images)),
        _objects(listed),
    )


def _objects(listed: list[dict[str, Any]]) -> Objects:
    boxes = np.array([annotation["bbox"] for annotation in listed], np.float64).reshape(len(listed), 4)
    boxes[:, 2:] += boxes[:, :2]
    area = [a["area"] if "area" in a else a["bbox"][2] * a["bbox"][3] for a in listed]
    return Objects(
        boxes.astype(np.float32),
        np.array([annotation["category_id"] for annotation in listed], np.int64),
        np.array([annotation.get("iscrowd", 0) for annotation in listed], np.int64),
        np.array(area, np.float32),
    )


def _classes(categories: list[dict[str, Any]]) -> tuple[str, ...]:
    names = {0: BACKGROUND} | {category["id"]: category["name"] for category in categories}
    return tuple(names.get(index, "N/A") for index in range(max(names) + 1))


def _clamped(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Moves the edges of boxes (n, 4) into their images, whose widths and heights are `sizes` (n, 2)."""
    return np.clip(boxes, 0, np.tile(sizes, 2).astype(np.float32))


def _spans(owners: np.ndarray, count: int) -> np.ndarray:
    """Where the runs of 0, 1, ..., count - 1 start and stop in sorted `owners`."""
    images = np.arange(count)
    return np.stack([np.searchsorted(owners, images, "left"), np.searchsorted(owners, images, "right")], axis=1)
