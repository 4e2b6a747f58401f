"""An experiment: its name, the places of its traces, and how much work it is."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from sc2bench.config import RunConfig
from sc2bench.data import ImageSet, load_dataset
from sc2bench.errors import DataError
from sc2bench.progress import EVALUATION_WORK
from sc2bench.records import record_path
from sc2bench.teachers import Teacher, load_teacher
from sc2bench.training import epoch_work

FINAL_WEIGHTS = "model.safetensors"
FINAL_CONFIG = "config.json"
HISTORY = "history.json"


@dataclass(frozen=True)
class Run:
    """An experiment and where its traces lie."""

    config: RunConfig

    @property
    def run_id(self) -> str:
        """Names the run among those of its task and method; readable, and unique by the hash at its end."""
        config = self.config
        words = [config.task.dataset, config.teacher.name]
        words += [str(value) for key, value in vars(config.method).items() if key in ("codec", "prior")]
        if config.rate is not None:
            words.append(f"{config.rate:g}")
        return "-".join([*words, f"s{config.seed}", config.config_hash()])

    @property
    def record_path(self) -> Path:
        """Where the record lies once the run is done."""
        return record_path(self.config.output, self.config.task.name, self.config.method.name, self.run_id)

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints and final weights lie; shared by runs that differ in their evaluation only."""
        return Path(self.config.checkpoints) / f"{self.config.method.name}-{self.config.training_hash()}"

    @property
    def done(self) -> bool:
        """Whether the record exists."""
        return self.record_path.exists()

    def work(self) -> float:
        """Units of work still to do, for progress bars: samples to train on, and, cheaper, samples to measure."""
        config = self.config
        measured = EVALUATION_WORK * len(self.dataset(config.evaluation.split, config.evaluation.samples))
        return measured + sum(run.training_work() for run in self.untrained())

    def places(self) -> list[Path]:
        """What nobody else may write while this run is worked on."""
        return [*(run.checkpoint_folder for run in self.untrained()), self.record_path]

    @property
    def parts(self) -> list["Run"]:
        """The experiments that must be trained before this one."""
        return [Run(config) for config in self.config.parts]

    def untrained(self) -> list["Run"]:
        """What is to be trained: the parts that have no weights yet, and theirs, and this run if it learns."""
        if self.trained:
            return []
        before = [run for part in self.parts for run in part.untrained()]
        own = [self] if self.config.stages else []
        # Parts may have a part in common.
        return list({run.checkpoint_folder: run for run in (*before, *own)}.values())

    def measured_since(self, moment: float) -> bool:
        """Whether the record exists and is not older than `moment`, in seconds since 1970."""
        try:
            return self.record_path.stat().st_mtime >= moment
        except (FileNotFoundError, NotADirectoryError):
            return False

    @property
    def trained(self) -> bool:
        """Whether the final weights exist."""
        return (self.checkpoint_folder / FINAL_WEIGHTS).exists()

    @property
    def sweep(self) -> str | None:
        """Runs without training that share this key are measured in one pass over the data set."""
        config = self.config
        if config.stages or config.parts:
            return None
        evaluation = config.evaluation
        return repr((config.task, config.teacher, config.method, evaluation))

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
        return load_teacher(self.config.teacher, len(self.dataset(self.config.evaluation.split).classes))

    def training_work(self) -> float:
        """Units of work of the run's own stages."""
        stages = self.config.stages.values()
        if not stages:
            return 0
        available, validation = (len(self.dataset(split)) for split in ("train", "validation"))
        return sum(stage.epochs * epoch_work(stage, available, validation) for stage in stages)
