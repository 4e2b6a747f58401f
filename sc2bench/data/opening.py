"""Data sets from the configuration of their task, each read once a process, and what they really hold."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache

from sc2bench.config import TaskConfig, completed
from sc2bench.core.errors import DataError
from sc2bench.core.registry import DATASETS
from sc2bench.data.base import ImageSet
from sc2bench.data.fingerprints import place_of
from sc2bench.wire.inputs import ImageSpec


def load_dataset(config: TaskConfig, split: str, samples: int | None = None) -> ImageSet:
    """Loads one split ("train", "validation" or "test") of the task's data set, or a part of it (`ImageSet.part`).

    Raises:
        ConfigError: a field of the task that this data set can't follow.
        DataError: missing or damaged files, or fewer samples than asked for.
    """
    dataset = _opened(config, split)
    if samples is not None and samples > len(dataset):
        raise DataError(
            f"{config.dataset}/{split} has {len(dataset)} samples, but {samples} are asked for; ask for fewer"
        )
    return dataset.part(samples)


def spec_of(config: TaskConfig, split: str) -> ImageSpec:
    """What one input of the task's data set is; data are read only where nothing else says it.

    Raises:
        ConfigError, DataError: as `load_dataset` does, where data are read.
    """
    told: Callable[[TaskConfig], ImageSpec] | None = getattr(DATASETS[config.dataset], "spec_of", None)
    return _opened(config, split).spec if told is None else told(completed(config))


def fingerprint_of(config: TaskConfig, split: str) -> str | None:
    """What tells a split from the published content of its data set: `None` if it holds just that.

    Where no folder is named, that is taken for granted, so that nothing is read or downloaded to know it;
    `checked_fingerprint` looks when the data are there.

    Raises:
        DataError: missing or damaged files.
    """
    place = place_of(DATASETS[config.dataset])
    if place.published and place.named(config.root) is None:
        return None
    found = _fingerprint(_Options(config), split, place.named(config.root))
    return None if found == place.published.get(split) else found


def checked_fingerprint(config: TaskConfig, split: str) -> str:
    """The fingerprint of a split, whatever it holds.

    Raises:
        DataError: no folder is named, and the data set's own place holds something else than what is published; or as
            `load_dataset` does.
    """
    place = place_of(DATASETS[config.dataset])
    named = place.named(config.root)
    found = _fingerprint(_Options(config), split, named)
    # A share of one's own for validation makes splits of one's own.
    usual = config.validation_fraction is None or split == "test"
    expected = place.published.get(split) if usual else None
    if named is None and expected not in (None, found):
        raise DataError(
            f"{config.dataset}/{split}: the files in its own place are not the published ones (fingerprint {found} "
            f"instead of {expected}); install them anew, or name their folder with task.root"
        )
    return found


def _opened(config: TaskConfig, split: str) -> ImageSet:
    # Environment variables may change within a process.
    return _loaded(_Options(config), split, place_of(DATASETS[config.dataset]).named(config.root))


class _Options:
    """The options of a task, equal to others of the same values, whatever may be hashed of them."""

    def __init__(self, config: TaskConfig):
        self.config = deepcopy(completed(config))
        self._key = type(self.config), repr(self.config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Options) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@cache
def _loaded(task: _Options, split: str, named: str | None) -> ImageSet:
    dataset: ImageSet = DATASETS[task.config.dataset](task.config, split)
    return dataset


@cache
def _fingerprint(task: _Options, split: str, named: str | None) -> str:
    return _loaded(task, split, named).fingerprint
