"""ImageNet, ILSVRC 2012 (Russakovsky et al. 2015), in class folders as PyTorch's examples lay them out."""

from pathlib import Path

from sc2bench.config import TaskConfig
from sc2bench.core.errors import ConfigError, DataError
from sc2bench.core.registry import DATASETS
from sc2bench.data.crops import Crops
from sc2bench.data.fingerprints import located
from sc2bench.data.folder import FolderImages, class_names, list_images
from sc2bench.data.layout import check_folders, find_root, held_out

VARIABLE = "SC2BENCH_ILSVRC2012"
RESIZE = 256
CROP = 224
# Of each 100 training samples the last one is for validation: 12,811 of the 1,281,167.
VALIDATION_EVERY = 100


@DATASETS.register("ilsvrc2012")
@located(VARIABLE)
def ilsvrc2012(task: TaskConfig, split: str) -> FolderImages:
    """Opens a split of ImageNet, or of any data set in the same folders.

    Args:
        task: its `root` holds `train/<class>/*.JPEG` and `val/<class>/*.JPEG`; `None`: the folder that the environment
            variable `SC2BENCH_ILSVRC2012` names. `resize` and `crop` are 256 and 224 unless given.
        split: "train" (99 of each 100 images of `train`), "validation" (the others; more of a small data set, see
            `held_out`) or "test" (`val`).

    Raises:
        ConfigError: `crop` exceeds `resize`.
        DataError: a folder is missing or empty, or `val` has other classes than `train`.
    """
    root = find_root(task, VARIABLE, "train/ and val/")
    needed = ("train", "val") if split == "test" else ("train",)
    check_folders(task, VARIABLE, (root, *(root / name for name in needed)))
    crops = _crops(task)
    classes = class_names(root / "train")
    if split == "test":
        _check_same(root, classes, class_names(root / "val"))
        return FolderImages(root / "val", classes, list_images(root / "val", classes), crops)
    listing = list_images(root / "train", classes)
    chosen = held_out(task, len(listing), VALIDATION_EVERY, root / "train", listing.targets)
    return FolderImages(root / "train", classes, listing[chosen if split == "validation" else ~chosen], crops)


def _crops(task: TaskConfig) -> Crops:
    resize, crop = task.resize or RESIZE, task.crop or CROP
    if crop > resize:
        raise ConfigError(f"task.crop: {crop} exceeds task.resize, {resize}; set both (ilsvrc2012: {RESIZE}, {CROP})")
    return Crops(resize, crop, task.interpolation)


def _check_same(root: Path, train: tuple[str, ...], val: tuple[str, ...]) -> None:
    for name in val:
        if name not in train:
            raise DataError(f"class folder {root / 'val' / name} has no counterpart in train/; add or remove it")
    for name in train:
        if name not in val:
            raise DataError(f"class folder {root / 'train' / name} has no counterpart in val/; add or remove it")
