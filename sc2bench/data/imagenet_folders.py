"""Class folders of photographs whose classes are some of ImageNet's 1000, so that its classifiers apply as they are."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from sc2bench.config import TaskConfig
from sc2bench.core.errors import ConfigError, DataError, nearest
from sc2bench.data.base import ImageSet
from sc2bench.data.crops import Crops
from sc2bench.data.folder import FolderImages, Listing, class_names, list_images
from sc2bench.data.kept import KeptImages
from sc2bench.data.layout import held_out

IMAGENET, FOLDERS = "imagenet1k", "folders"
RESIZE, CROP = 256, 224


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The WordNet IDs of ImageNet's 1000 classes, in the order of their indices."""
    # timm takes a second to import.
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


def imagenet_split(task: TaskConfig, root: Path, split: str, every: int | None, source: str | None = None) -> ImageSet:
    """Opens a split of photographs of some of ImageNet's 1000 classes.

    The class folders are named by WordNet IDs ("n01440764"), or by indices ("0" ... "999") as those of ImageNet-V2.

    Args:
        task: gives the sizes.
        root: holds `train/` and `val/`, of which `split` needs one.
        split: "train" or "validation" (of `train`), or "test" (`val`).
        every: one of so many images of `train` is for validation, see `held_out`; `None`: a folder is a split.
        source: the folder below `root` that the split is in; `None`: as above.

    Raises:
        ConfigError: sizes that don't fit each other.
        DataError: a folder is missing or empty, or is none of ImageNet's classes.
    """
    folder = root / (source or ("val" if split == "test" else "train"))
    crops = make_crops(task)
    names = class_names(folder)
    indices = class_indices(folder, names)
    listing = list_images(folder, names)
    listing = Listing(listing.names, np.array(indices, np.int64)[listing.targets])
    if split != "test" and every is not None:
        chosen = held_out(task, len(listing), every, folder, listing.targets)
        listing = listing[chosen if split == "validation" else ~chosen]
    files = FolderImages(folder, imagenet_wnids(), listing, crops, dict(zip(indices, names, strict=True)))
    return kept_if_wanted(task, files)


def class_indices(folder: Path, names: Sequence[str]) -> list[int]:
    """The indices of ImageNet's classes that class folders are named after.

    Args:
        folder: that holds them, for errors.
        names: of the class folders.

    Raises:
        DataError: one is none of them, or some are named by WordNet IDs and some by indices.
    """
    known = {wnid: index for index, wnid in enumerate(imagenet_wnids())}
    numbered = [name for name in names if name.isascii() and name.isdigit()]
    if numbered and len(numbered) < len(names):
        other = next(name for name in names if name not in numbered)
        raise DataError(
            f"class folders {folder / numbered[0]} and {folder / other} are named in two ways, by index and by WordNet "
            "ID; name all in one"
        )
    found = []
    for name in names:
        index = int(name) if numbered else known.get(name, -1)
        if not 0 <= index < len(known) or index in found:
            hint = nearest(name, known).partition("known:")[0].rstrip("; ")
            raise DataError(
                f"class folder {folder / name} is none of ImageNet's 1000 classes, or one twice"
                f"{f' ({hint})' if hint else ''}; name it by its WordNet ID, such as n01440764, remove it, or set "
                f"task.classes={FOLDERS}"
            )
        found.append(index)
    return found


def kept_if_wanted(task: TaskConfig, files: FolderImages) -> ImageSet:
    """The files, or what decodes each but once, if the task asks for it."""
    return KeptImages(files) if task.keep_decoded else files


def make_crops(task: TaskConfig) -> Crops:
    """The crops that a task asks for; raises `ConfigError` for sizes that don't fit each other."""
    resize, crop, window = task.resize or RESIZE, task.crop or CROP, task.training_crop
    if crop > resize:
        raise ConfigError(
            f"task.crop: {crop} exceeds task.resize, {resize}; set both ({task.dataset}: {RESIZE}, {CROP})"
        )
    if window is not None and window > resize:
        raise ConfigError(f"task.training_crop: {window} exceeds task.resize, {resize}; make it smaller")
    # The middle is found by rounding halves to even numbers.
    if task.keep_decoded and (resize - crop) % 4:
        raise ConfigError(
            f"task.keep_decoded: task.resize - task.crop is {resize - crop}, but only for a multiple of 4 the "
            "middles of kept images are those of the files; change one of the two"
        )
    return Crops(resize, crop, task.interpolation, window)


def meaning(task: TaskConfig, default: str) -> str:
    """What the names of class folders mean; raises `ConfigError` for an unknown `task.classes`."""
    chosen = task.classes or default
    if chosen not in (IMAGENET, FOLDERS):
        raise ConfigError(f"task.classes: unknown value '{chosen}'; {nearest(chosen, (IMAGENET, FOLDERS))}")
    return chosen
