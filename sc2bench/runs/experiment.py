"""An experiment: its name, the places of its traces, and how much work it is."""

import fnmatch
import json
from dataclasses import dataclass
from functools import cached_property
from glob import escape as glob_escape
from itertools import zip_longest
from pathlib import Path

from sc2bench.config import ExperimentConfig
from sc2bench.core.errors import CheckpointError, DataError
from sc2bench.core.files import is_there, names_in
from sc2bench.core.progress import EVALUATION_WORK
from sc2bench.data import ImageSet, load_dataset
from sc2bench.records import record_path
from sc2bench.runs.blueprint import teacher_of
from sc2bench.runs.identity import (
    FINAL_WEIGHTS,
    PRECISIONS_OF_AUTO,
    Surroundings,
    configured_folder,
    difference,
    imported_from,
    key_of,
    surroundings_of_point,
    surroundings_of_weights,
)
from sc2bench.teachers import Teacher
from sc2bench.training import epoch_work

FINAL_CONFIG = "config.json"
HISTORY = "history.json"
# What the training of final weights took place in.
TRAINED_IN = "environment.json"


@dataclass(frozen=True)
class Experiment:
    """An experiment and where its traces lie.

    Attributes:
        config: its configuration.
        retrain_before: weights that are older count as none, in seconds since 1970.
    """

    config: ExperimentConfig
    retrain_before: float = 0.0

    @property
    def surroundings(self) -> Surroundings | None:
        """What the point depends on beyond the configuration; `None` where that can't be known, as without the data."""
        return self._looked_at[0]

    @cached_property
    def _looked_at(self) -> tuple[Surroundings | None, str]:
        """The surroundings, or why they can't be known."""
        return self._look()

    def _look(self, auto: str | None = None) -> tuple[Surroundings | None, str]:
        try:
            return surroundings_of_point(self.config, auto), ""
        except (DataError, CheckpointError) as error:
            return None, str(error)

    @property
    def id(self) -> str:
        """Names it among those of its task and method: readable, then hashes of configuration and surroundings."""
        key = key_of(self.surroundings or {})
        return f"{self.configured_id}-x{key}" if key else self.configured_id

    @property
    def configured_id(self) -> str:
        """The part of `id` that the configuration alone decides."""
        config = self.config
        words = [config.task.dataset, config.teacher.name]
        words += [str(value) for key, value in vars(config.method).items() if key in ("codec", "prior")]
        if config.rate is not None:
            words.append(f"{config.rate:g}")
        return "-".join([*words, f"s{config.seed}", config.config_hash()])

    @property
    def record_path(self) -> Path:
        """Where the record lies once it is measured.

        Without the data, so that a report needs records alone, that is the only one of the configuration.

        Raises:
            DataError: without the data there are several, which were measured on different ones.
        """
        if self.surroundings is not None:
            return self._record_path(self.id)
        found = self._records()
        if len(found) > 1:
            raise DataError(
                f"{found[0]} and {found[1].name} were measured on different data or weights; which is meant can't be "
                f"told without what is missing here ({self._looked_at[1]}); give it, or move one of them away"
            )
        return found[0] if found else self._record_path(self.configured_id)

    def reported_path(self) -> Path | None:
        """The record that stands for this point in a report; `None` if there is none.

        Its model may have been trained in the other of the precisions that "auto" comes to: what this machine would
        do is no matter for what another one has done, and the record says it.

        Raises:
            DataError: as `record_path`.
        """
        if self.done:
            return self.record_path
        found = [self._look(auto)[0] for auto in PRECISIONS_OF_AUTO]
        keys = [key_of(surroundings) for surroundings in found if surroundings is not None]
        paths = [self._record_path(f"{self.configured_id}-x{key}" if key else self.configured_id) for key in keys]
        return next((path for path in paths if is_there(path)), None)

    def _record_path(self, name: str) -> Path:
        return record_path(self.config.output, self.config.task.name, self.config.method.name, name)

    def _records(self) -> list[Path]:
        """The records of the configuration, whatever they were measured on."""
        plain = self._record_path(self.configured_id)
        return [path for path in (plain, *_relatives(plain, ".json")) if is_there(path)]

    @cached_property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints and final weights lie; shared by experiments that differ in their evaluation only.

        Raises:
            DataError: the data that were or will be trained on are missing or damaged.
        """
        plain = self.configured_folder
        # What was trained elsewhere depends on nothing that lies here.
        if imported_from(self.config) is not None:
            return plain
        key = key_of(surroundings_of_weights(self.config))
        return plain.with_name(f"{plain.name}-x{key}") if key else plain

    @property
    def configured_folder(self) -> Path:
        """Where weights lie that depend on the configuration alone: on published data, or taken over from elsewhere."""
        return configured_folder(self.config)

    def ensure_unchanged(self) -> None:
        """To be called when files of weights have been read: what they hold must be what the experiment is named by.

        Raises:
            CheckpointError: another program has written some since.
        """
        if self.surroundings is None:
            return
        changed = difference(self.surroundings, surroundings_of_point(self.config))
        if changed:
            raise CheckpointError(
                f"{self.id}: {_changed(changed).replace('not the same', 'no more what it was')} when the call "
                "began, so that its result would have a wrong name; make the same call again"
            )

    def ensure_trainable(self) -> None:
        """Raises `CheckpointError` if weights are to be trained anew that were taken over from elsewhere."""
        imported = imported_from(self.config)
        if imported is not None and not self.trained:
            raise CheckpointError(
                f"weights in {self.checkpoint_folder} were taken over from {imported['file']}, so --retrain has "
                "nothing to start from; leave it out to measure them again, or delete the folder to train"
            )

    def predecessors(self) -> list[str]:
        """Says in a sentence each which records and weights of the configuration do not count any more, and why."""
        said = []
        own = self.surroundings or {}
        for path in self._records():
            if path != self.record_path:
                changed = difference(own, _surroundings_in(path, "surroundings"))
                said.append(f"{path.name} does not count: {_changed(changed)}; the point is measured anew")
        if not self.config.stages or self.trained:
            return said
        weights = surroundings_of_weights(self.config)
        plain = self.configured_folder
        for folder in (plain, *_relatives(plain)):
            if folder != self.checkpoint_folder and has_weights(folder):
                changed = difference(weights, _surroundings_in(folder / TRAINED_IN, "surroundings"))
                said.append(
                    f"weights in {folder} do not count: {_changed(changed)}; the model is trained anew (if they are "
                    f"meant all the same, rename the folder to {self.checkpoint_folder.name})"
                )
        return said

    @property
    def done(self) -> bool:
        """Whether the record exists; raises `DataError` where that can't be told."""
        return self.measured_since(float("-inf"))

    def work(self) -> float:
        """Units of work still to do, for progress bars: samples to train on, and, cheaper, samples to measure."""
        config = self.config
        measured = EVALUATION_WORK * len(self.dataset(config.evaluation.split, config.evaluation.samples))
        return measured + sum(experiment.training_work() for experiment in self.untrained())

    def places(self) -> list[Path]:
        """What nobody else may write while this one is worked on."""
        return [*(experiment.checkpoint_folder for experiment in self.untrained()), self.record_path]

    @property
    def parts(self) -> list["Experiment"]:
        """The experiments that must be trained before this one."""
        return [Experiment(config) for config in self.config.parts]

    def untrained(self) -> list["Experiment"]:
        """What is to be trained: the parts that have no weights yet, and theirs, and this one if it learns."""
        if self.trained:
            return []
        before = [experiment for part in self.parts for experiment in part.untrained()]
        own = [self] if self.config.stages else []
        # Parts may have a part in common.
        return list({experiment.checkpoint_folder: experiment for experiment in (*before, *own)}.values())

    def measured_since(self, moment: float) -> bool:
        """Whether the record exists and is not older than `moment`, in seconds since 1970; raises `DataError`."""
        try:
            return self.record_path.stat().st_mtime >= moment
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise DataError(
                f"record {self.record_path} can't be looked for: {error.strerror}; mend its folder or choose another "
                "with output="
            ) from error

    @property
    def trained(self) -> bool:
        """Whether the final weights exist, and are not to be trained anew.

        Raises:
            CheckpointError: that can't be told.
        """
        return has_weights(self.checkpoint_folder, self.retrain_before)

    @property
    def sweep(self) -> str | None:
        """Experiments without training that share this key are measured in one pass over the data set."""
        config = self.config
        if config.stages or config.parts:
            return None
        evaluation = config.evaluation
        # Of a random teacher each seed is another one.
        return repr((config.task, config.teacher, config.method, evaluation, config.seed))

    def dataset(self, split: str, samples: int | None = None) -> ImageSet:
        """One split of the data set, or a fixed part of it; raises `DataError`."""
        return load_dataset(self.config.task, split, samples)

    def training_sets(self) -> tuple[ImageSet, ImageSet]:
        """What is trained on, and what models are chosen on; raises `DataError`, also if other classes are measured."""
        training_set, validation_set = (self.dataset(split) for split in ("train", "validation"))
        measured = self.config.evaluation.split
        for known, found in zip_longest(training_set.classes, self.dataset(measured).classes):
            if known != found:
                raise DataError(
                    f"{self.config.task.dataset}/train has the class '{known}' where {measured} has '{found}'; give "
                    "both the same classes in the same order"
                )
        return training_set, validation_set

    def teacher(self) -> Teacher:
        """A reference model of its own, for as many classes as the data set has; see `load_teacher`."""
        classes = self.dataset(self.config.evaluation.split).classes
        return teacher_of(self.config, len(classes), classes)

    def training_work(self) -> float:
        """Units of work of its own stages."""
        stages = self.config.stages.values()
        if not stages:
            return 0
        available, validation = (len(self.dataset(split)) for split in ("train", "validation"))
        return sum(stage.epochs * epoch_work(stage, available, validation) for stage in stages)


def has_weights(folder: Path, since: float = 0.0) -> bool:
    """Whether a folder holds final weights that are not older than `since`, in seconds since 1970.

    Raises:
        CheckpointError: that can't be told.
    """
    final = folder / FINAL_WEIGHTS
    try:
        return final.stat().st_mtime >= since
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CheckpointError(
            f"weights {final} can't be looked for: {error.strerror}; mend their folder or choose another with "
            "checkpoints="
        ) from error


def _relatives(plain: Path, suffix: str = "") -> list[Path]:
    """The records or folders of one configuration in other surroundings, beside the plain one; raises `DataError`."""
    pattern = f"{glob_escape(plain.name.removesuffix(suffix))}-x????????{suffix}"
    names = fnmatch.filter(names_in(plain.parent), pattern)
    return [plain.with_name(name) for name in names]


def _surroundings_in(path: Path, field: str) -> Surroundings:
    """The surroundings that a file of JSON tells of; none if it is older than they are, or unreadable."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get(field)
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _changed(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not the same" if names else "it is older"
