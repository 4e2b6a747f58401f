"""ImageNet, ILSVRC 2012 (Russakovsky et al. 2015), in class folders as PyTorch's examples lay them out."""

from pathlib import Path

from sc2bench.core.errors import DataError
from sc2bench.core.registry import DATASETS, configured
from sc2bench.data.base import ImageSet
from sc2bench.data.fingerprints import located
from sc2bench.data.folder import FolderImages, class_names, list_images
from sc2bench.data.imagenet_folders import (
    FOLDERS,
    PhotographsConfig,
    imagenet_split,
    kept_if_wanted,
    make_crops,
    side_of,
)
from sc2bench.data.layout import check_folders, find_root, held_out, specified
from sc2bench.wire.inputs import ImageSpec

VARIABLE = "SC2BENCH_ILSVRC2012"
# Of each 100 training samples the last one is for validation: 12,811 of the 1,281,167.
VALIDATION_EVERY = 100


@DATASETS.register("ilsvrc2012")
@configured(PhotographsConfig)
@specified(lambda task: ImageSpec(3, (side_of(task), side_of(task))))
@located(VARIABLE)
def ilsvrc2012(task: PhotographsConfig, split: str) -> ImageSet:
    """Opens a split of ImageNet, or of any data set in the same folders.

    Args:
        task: its `root` holds `train/<class>/*.JPEG` and `val/<class>/*.JPEG`; `None`: the folder that the environment
            variable `SC2BENCH_ILSVRC2012` names. `resize` and `crop` are 256 and 224 unless given. Where `classes` is
            "imagenet1k", the folders are classes among all 1000; see `imagenet_split`.
        split: "train" (99 of each 100 images of `train`), "validation" (the others; more of a small data set, see
            `held_out`) or "test" (`val`).

    Raises:
        DataError: a folder is missing or empty, or `val` has other classes than `train`.
    """
    root = find_root(task, VARIABLE, "train/ and val/")
    of_folders = (task.classes or FOLDERS) == FOLDERS
    needed = ["val" if split == "test" else "train"]
    if of_folders and split == "test":
        # The folders of `train` say which classes there are.
        needed.insert(0, "train")
    check_folders(task, VARIABLE, (root, *(root / name for name in needed)))
    if of_folders:
        return folders_split(task, root, split, VALIDATION_EVERY)
    return imagenet_split(task, root, split, VALIDATION_EVERY)


def folders_split(
    task: PhotographsConfig, root: Path, split: str, every: int | None, source: str | None = None
) -> ImageSet:
    """Opens a split whose classes are the folders of `train`; arguments and errors as those of `imagenet_split`."""
    crops = make_crops(task)
    classes = class_names(root / "train")
    folder = root / (source or ("val" if split == "test" else "train"))
    if folder.name != "train":
        _check_same(folder, classes, class_names(folder))
    listing = list_images(folder, classes)
    if split != "test" and every is not None:
        chosen = held_out(task, len(listing), every, folder, listing.targets)
        listing = listing[chosen if split == "validation" else ~chosen]
    return kept_if_wanted(task, FolderImages(folder, classes, listing, crops))


def _check_same(folder: Path, train: tuple[str, ...], measured: tuple[str, ...]) -> None:
    for name in measured:
        if name not in train:
            raise DataError(f"class folder {folder / name} has no counterpart in train/; add or remove it")
    for name in train:
        if name not in measured:
            raise DataError(
                f"class folder {folder.parent / 'train' / name} has no counterpart in {folder.name}/; add or remove it"
            )
