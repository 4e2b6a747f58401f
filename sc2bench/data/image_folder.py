"""Photographs in class folders, any number of classes: one's own data."""

from pathlib import Path

from sc2bench.core.errors import ConfigError, DataError
from sc2bench.core.registry import DATASETS, configured
from sc2bench.data.base import ImageSet
from sc2bench.data.ilsvrc2012 import folders_split
from sc2bench.data.imagenet_folders import FOLDERS, PhotographsConfig, imagenet_split, side_of
from sc2bench.data.layout import is_folder, named_root, specified
from sc2bench.wire.inputs import ImageSpec

# Of each 10 training samples the last one is for validation.
VALIDATION_EVERY = 10


@DATASETS.register("image_folder")
@configured(PhotographsConfig)
@specified(lambda task: ImageSpec(3, (side_of(task), side_of(task))))
def image_folder(task: PhotographsConfig, split: str) -> ImageSet:
    """Opens a split of images in class folders; the classes are the folders' names, sorted.

    Args:
        task: its `root` holds `train/<class>/<image>`, and `test/<class>/<image>` or `val/<class>/<image>`. `resize`
            and `crop` are 256 and 224 unless given. Where `classes` is "imagenet1k", the folders are classes among
            ImageNet's 1000; see `imagenet_split`.
        split: "test" (`test`, or `val` where there is no `test`), "validation" (`val` where `test` is there, too; else
            of each 10 images of `train` one, and more of a small data set, see `held_out`) or "train" (the others).

    Raises:
        ConfigError: a share of `train` is for validation where `val` is for it.
        DataError: no folder is named; or one is missing or empty, or has other classes than `train`.
    """
    root = _root(task)
    has_test, has_val = is_folder(root / "test"), is_folder(root / "val")
    measured = "test" if has_test else "val"
    own_validation = has_test and has_val
    if own_validation and task.validation_fraction is not None:
        raise ConfigError(f"task.validation_fraction: {root / 'val'} is what is validated on; leave one of the two out")
    of_folders = (task.classes or FOLDERS) == FOLDERS
    # The folders of `train` say which classes there are.
    needed = ["train"] if of_folders or split != "test" else []
    if split == "test" and not has_test and not has_val:
        needed.append("val")
    for name in needed:
        if not is_folder(root / name):
            or_test = " nor test/ beside it" if name == "val" else ""
            raise DataError(
                f"{task.dataset}: folder {root / name} does not exist{or_test}; task.root needs train/<class>/<image> "
                "and val/<class>/<image> (or test/)"
            )
    if own_validation and split != "test":
        every, folder = None, "train" if split == "train" else "val"
    else:
        every, folder = VALIDATION_EVERY, measured if split == "test" else "train"
    return (folders_split if of_folders else imagenet_split)(task, root, split, every, folder)


def _root(task: PhotographsConfig) -> Path:
    root = named_root(task, "")
    if root is None:
        raise DataError(
            f"{task.dataset} needs its folder, with train/<class>/<image> and val/<class>/<image> (or test/) in it; "
            "give task.root=FOLDER"
        )
    if not is_folder(root):
        raise DataError(f"{task.dataset}: folder {root} does not exist; mend task.root")
    return root
