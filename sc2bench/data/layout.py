"""What data sets of files have in common: a root folder, sizes that they keep, samples that they hold out."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sc2bench.config import TaskConfig
from sc2bench.errors import ConfigError, DataError


def named_root(task: TaskConfig, variable: str) -> Path | None:
    """The folder that `task.root` or else an environment variable names; `None` if neither does."""
    named = task.root or os.environ.get(variable)
    # pathlib's raises for users that there are not.
    return Path(os.path.expanduser(named)).absolute() if named else None  # noqa: PTH111


def find_root(task: TaskConfig, variable: str, contents: str) -> Path:
    """The folder that `task.root` or else an environment variable names.

    Args:
        task: of the data set.
        variable: the environment variable.
        contents: what is in the folder, as it stands in errors.

    Raises:
        DataError: neither names one.
    """
    root = named_root(task, variable)
    if root is None:
        raise DataError(
            f"{task.dataset} needs its folder, with {contents} in it; give task.root=FOLDER or set {variable}"
        )
    return root


def check_folders(task: TaskConfig, variable: str, folders: Iterable[Path]) -> None:
    """Raises `DataError` that names the first folder that does not exist."""
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"{task.dataset}: folder {folder} does not exist; mend task.root or {variable}, or unpack it"
            )


def keeps_sizes(task: TaskConfig, reason: str) -> None:
    """Raises `ConfigError` where the task asks a data set for sizes that it has not; `reason` says why it has not."""
    for field in ("resize", "crop", "interpolation"):
        if getattr(task, field) != getattr(TaskConfig, field):
            raise ConfigError(f"task.{field}: {reason}; leave task.{field} out")


def held_out(count: int, every: int, source: Path) -> np.ndarray:
    """Which samples of a training set are for validation: the last one of each `every`, and one at least.

    Args:
        count: number of samples.
        every: one of so many is held out.
        source: names the training set in errors.

    Returns:
        bool, (count,).

    Raises:
        DataError: a single image, or none.
    """
    if count < 2:
        number = "one image" if count else "no image"
        raise DataError(f"{source} has {number}, but training and validation need one each; add images")
    chosen = np.arange(count) % every == every - 1
    if not chosen.any():
        chosen[-1] = True
    return chosen
