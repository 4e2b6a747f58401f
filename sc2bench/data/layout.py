"""What data sets have in common: a root folder, what is known without it, samples that they hold out."""

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sc2bench.config import TaskConfig
from sc2bench.core.errors import DataError
from sc2bench.data.parts import part_of
from sc2bench.wire.inputs import ImageSpec

# A data set too small for its own share of validation images holds out so many, or this share, if that is less.
FEWEST_VALIDATION = 50
LARGEST_SHARE = 0.2


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
        if not is_folder(folder):
            raise DataError(
                f"{task.dataset}: folder {folder} does not exist; mend task.root or {variable}, or unpack it"
            )


def is_folder(path: Path) -> bool:
    """Whether a folder is there; raises `DataError` where that can't be told, for want of rights or of a sound name."""
    try:
        return path.is_dir()
    except OSError as error:
        raise DataError(f"folder {path} can't be reached: {error.strerror}; mend its name, place or rights") from error


def specified(spec_of: Callable[[Any], ImageSpec]) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator that tells of the opener of a data set what one input of test is, without the data.

    Args:
        spec_of: gives it for the options of the task.
    """

    def decorate(opener: Callable[..., Any]) -> Any:
        opener.spec_of = spec_of  # type: ignore[attr-defined]
        return opener

    return decorate


def held_out(task: TaskConfig, count: int, every: int, source: Path, classes: np.ndarray | None = None) -> np.ndarray:
    """Which samples of a training set are for validation.

    The last one of each `every`, if those are fifty or more and have all classes. Else as many, or the share that
    the task names, are spread over all samples, or over those of each class. Where it can be, validation has one of
    each class, and training always has.

    Args:
        task: its `validation_fraction` may name the share.
        count: number of samples.
        every: one of so many is held out of a large data set.
        source: names the training set in errors.
        classes: int64, (count,), the class of each sample; `None`: samples have none.

    Returns:
        bool, (count,).

    Raises:
        DataError: a single image, or none.
    """
    if count < 2:
        number = "one image" if count else "no image"
        raise DataError(f"{source} has {number}, but training and validation need one each; add images")
    share = task.validation_fraction
    chosen = np.arange(count) % every == every - 1
    strata = np.zeros(count, np.int64) if classes is None else classes
    present = np.unique(strata)
    if share is None and chosen.sum() >= FEWEST_VALIDATION and len(np.unique(strata[chosen])) == len(present):
        return chosen
    wanted = max(count // every, min(FEWEST_VALIDATION, int(LARGEST_SHARE * count)))
    wanted = wanted if share is None else math.floor(share * count + 0.5)
    chosen[:] = False
    chosen[part_of(count, min(max(wanted, 1), count - 1), classes)] = True
    for label in present if len(present) > 1 else ():
        own = np.flatnonzero(strata == label)
        if len(own) > 1 and not chosen[own].any():
            chosen[own[-1]] = True
        elif chosen[own].all():
            chosen[own[0]] = False
    if not chosen.any():
        chosen[-1] = True
    return chosen
