"""Class folders of photographs whose classes are some of ImageNet's 1000, so that its classifiers apply as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_doc import Doc

from sc2bench.config import option
from sc2bench.core.errors import DataError, nearest
from sc2bench.data.base import ImageSet
from sc2bench.data.crops import Crops, SizesConfig
from sc2bench.data.folder import FolderImages, Listing, class_names, list_images
from sc2bench.data.kept import KeptImages
from sc2bench.data.layout import held_out

IMAGENET, FOLDERS = "imagenet1k", "folders"
RESIZE, CROP = 256, 224


@dataclass
class PhotographsConfig(SizesConfig):
    """Options of photographs in class folders; `resize` and `crop` are 256 and 224 unless given."""

    classes: Annotated[
        str | None,
        Doc(
            'What names of class folders mean: "imagenet1k", classes of ImageNet by WordNet IDs or by indices among '
            'its 1000; "folders", each is a class; null: as the data set says.'
        ),
        (IMAGENET, FOLDERS),
    ] = None
    training_crop: Annotated[
        int | None,
        Doc(
            "Training sees random squares of so many pixels a side out of the middle of the resized images, in their "
            "scale; null: random parts of any scale and shape, resized to crop."
        ),
    ] = option(None, least=1)
    keep_decoded: Annotated[
        bool,
        Doc("Whether images are decoded once and kept, in memory or in a file of the cache that is mapped into it."),
    ] = option(False, counts="never")

    def problems(self) -> dict[str, str]:
        """Also sizes that don't fit those that hold unless given."""
        found = super().problems()
        resize, crop, window = self.resize or RESIZE, self.crop or CROP, self.training_crop
        if crop > resize:
            found.setdefault(
                "crop", f"{crop} exceeds task.resize, {resize}; set both ({self.dataset}: {RESIZE}, {CROP})"
            )
        if window is not None and window > resize:
            found["training_crop"] = f"{window} exceeds task.resize, {resize}; make it smaller"
        # The middle is found by rounding halves to even numbers.
        if self.keep_decoded and (resize - crop) % 4:
            found["keep_decoded"] = (
                f"task.resize - task.crop is {resize - crop}, but only for a multiple of 4 the middles of kept images "
                "are those of the files; change one of the two"
            )
        return found


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The WordNet IDs of ImageNet's 1000 classes, in the order of their indices."""
    # timm takes a second to import.
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


def imagenet_split(
    task: PhotographsConfig, root: Path, split: str, every: int | None, source: str | None = None
) -> ImageSet:
    """Opens a split of photographs of some of ImageNet's 1000 classes.

    The class folders are named by WordNet IDs ("n01440764"), or by indices ("0" ... "999") as those of ImageNet-V2.

    Args:
        task: gives the sizes.
        root: holds `train/` and `val/`, of which `split` needs one.
        split: "train" or "validation" (of `train`), or "test" (`val`).
        every: one of so many images of `train` is for validation, see `held_out`; `None`: a folder is a split.
        source: the folder below `root` that the split is in; `None`: as above.

    Raises:
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


def kept_if_wanted(task: PhotographsConfig, files: FolderImages) -> ImageSet:
    """The files, or what decodes each but once, if the task asks for it."""
    return KeptImages(files) if task.keep_decoded else files


def make_crops(task: PhotographsConfig) -> Crops:
    """The crops that a task asks for."""
    return Crops(task.resize or RESIZE, side_of(task), task.interpolation, task.training_crop)


def side_of(task: PhotographsConfig) -> int:
    """The side of the squares that are cut out for test."""
    return task.crop or CROP
