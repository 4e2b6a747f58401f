"""Imagenette (Howard 2019): photographs of ten classes of ImageNet, and other parts of ImageNet in the same folders."""

from pathlib import Path

from sc2bench.core.errors import DataError
from sc2bench.core.files import write_folder_atomic
from sc2bench.core.home import home_folder
from sc2bench.core.registry import DATASETS, configured
from sc2bench.data.base import ImageSet
from sc2bench.data.fingerprints import located
from sc2bench.data.ilsvrc2012 import folders_split
from sc2bench.data.imagenet_folders import IMAGENET, PhotographsConfig, imagenet_split, side_of
from sc2bench.data.layout import check_folders, named_root, specified
from sc2bench.wire.inputs import ImageSpec

VARIABLE = "SC2BENCH_IMAGENETTE"
# Of each 20 training samples the last one is for validation: 473 of the 9,469.
VALIDATION_EVERY = 20
# The archive whose shorter sides have 320 pixels: 341 MB instead of 1.6 GB, and enough for crops of 224.
_SIZE, _ARCHIVE = "320px", "imagenette2-320"


@DATASETS.register("imagenette")
@configured(PhotographsConfig)
@specified(lambda task: ImageSpec(3, (side_of(task), side_of(task))))
@located(VARIABLE)
def imagenette(task: PhotographsConfig, split: str) -> ImageSet:
    """Opens a split of Imagenette, or of other photographs of some of ImageNet's classes.

    The classes are ImageNet's 1000, so that its classifiers apply as they are; see `imagenet_split`.

    Args:
        task: its `root` holds `train/<class>/` and `val/<class>/`, as the official archives (160 pixels, 320 pixels,
            full size) do; `None`: the folder that the environment variable `SC2BENCH_IMAGENETTE` names, else
            torchvision's download of the archive of 320 pixels. `resize` and `crop` are 256 and 224 unless given.
        split: "train" (19 of each 20 images of `train`), "validation" (the others; more of a small data set, see
            `held_out`) or "test" (`val`).

    Raises:
        DataError: a folder is missing or empty, or is none of ImageNet's classes.
    """
    root = named_root(task, VARIABLE) or _downloaded()
    needed = "val" if split == "test" else "train"
    check_folders(task, VARIABLE, (root, root / needed))
    if (task.classes or IMAGENET) == IMAGENET:
        return imagenet_split(task, root, split, VALIDATION_EVERY)
    return folders_split(task, root, split, VALIDATION_EVERY)


def _downloaded() -> Path:
    folder = home_folder() / ".cache" / "sc2bench" / "imagenette"
    if not (folder / _ARCHIVE).is_dir():
        write_folder_atomic(folder, _download)
    return folder / _ARCHIVE


def _download(folder: Path) -> None:
    from torchvision.datasets import Imagenette

    try:
        Imagenette(str(folder), "train", _SIZE, download=True)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"Imagenette can't be downloaded ({error}); unpack an archive of github.com/fastai/imagenette, and set "
            f"{VARIABLE} or give task.root=FOLDER"
        ) from error
    for archive in folder.glob("*.tgz"):
        archive.unlink()
