"""A suite: curves that are measured and drawn together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sc2bench.config import ExperimentConfig, SuiteConfig, compose, load_suite
from sc2bench.config.overrides import Override, Shared
from sc2bench.config.unused import ignored
from sc2bench.core.errors import ConfigError, DataError
from sc2bench.records import find_record, records_frame
from sc2bench.report import Group, groups_of
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.run import run_experiments


@dataclass(frozen=True)
class Suite:
    """A suite with its experiments.

    Attributes:
        config: as it stands in the YAML file.
        experiments: for each curve's label its experiments, in the order of its rates, and for each rate in
            that of its seeds.
    """

    config: SuiteConfig
    experiments: dict[str, list[Experiment]]

    @classmethod
    def load(cls, name: str, overrides: Sequence[str] = (), config_dirs: Sequence[str] = ()) -> "Suite":
        """Reads a suite and composes all its experiments, so that every mistake shows before anything runs.

        Args:
            name: of a suite in `configs/suite/`, or the path of a YAML file.
            overrides: for all experiments, after the suite's own.
            config_dirs: further folders of configurations.

        Raises:
            ConfigError: the suite or one of its experiments is wrong; the sentence names the curve.
        """
        config = load_suite(name, config_dirs)
        experiments = {}
        for i, curve in enumerate(config.curves):
            own = [f"output=results/{config.name}", *map(Shared, config.overrides), *curve.overrides]
            rates = [[]] if curve.rates is None else [[f"rate={rate}"] for rate in curve.rates]
            seeds = [[]] if curve.seeds is None else [[f"seed={seed}"] for seed in curve.seeds]
            points = [[*own, *rate, *seed, *map(Shared, overrides)] for rate in rates for seed in seeds]
            try:
                # An override may make several points the same experiment, which is measured, and counted, once.
                found = [Experiment(compose(point, config_dirs)) for point in points]
                experiments[curve.label] = list({experiment.id: experiment for experiment in found}.values())
            except ConfigError as error:
                raise ConfigError(f"suite '{config.name}', curves[{i}], curve '{curve.label}': {error}") from error
        suite = cls(config, experiments)
        suite._check_shared([*config.overrides, *overrides])
        tasks = list(dict.fromkeys(group.task for group in suite.groups))
        if config.metric is not None and len(tasks) > 1:
            raise ConfigError(
                f"metric: suite '{config.name}' has several tasks ({', '.join(tasks)}), each compared by a metric of "
                f"its own; leave '{config.metric}' out"
            )
        return suite

    def _check_shared(self, overrides: Sequence[str]) -> None:
        """Raises `ConfigError` for an override of all experiments that has an effect on none of them."""
        configs = [experiment.config for experiment in self.all_experiments()]
        # Settings of stages reach those that the experiments build on, too.
        everywhere = [each for config in configs for each in _with_parts(config)]
        keys = dict.fromkeys(Override.of(text).key for text in overrides)
        for key in keys:
            if key.partition(".")[0] in keys.keys() - {key}:
                continue  # of a stage that another one takes out, as in stage2=null
            reasons = [ignored(config, key) for config in everywhere]
            if all(reason is not None for reason in reasons):
                raise ConfigError(f"{key}: no experiment of suite '{self.config.name}' takes it: {reasons[0]}")

    @property
    def groups(self) -> list[Group]:
        """The curves by task and data set; each group has a report of its own."""
        configs = {label: experiments[0].config.task for label, experiments in self.experiments.items()}
        return groups_of({label: (task.name, task.dataset) for label, task in configs.items()})

    @property
    def folder(self) -> Path:
        """Where the suite's tables and figures go."""
        return Path(self.all_experiments()[0].config.output)

    @property
    def job_folder(self) -> Path:
        """Where jobs that work on the suite leave their logs."""
        return Path(self.all_experiments()[0].config.checkpoints) / "jobs" / self.config.name

    def all_experiments(self) -> list[Experiment]:
        """The experiments of all curves, in order."""
        return [experiment for experiments in self.experiments.values() for experiment in experiments]

    def rates(self, label: str) -> list[Experiment]:
        """The experiments of a curve, one a rate: that of the first seed."""
        first: dict[float | None, Experiment] = {}
        for experiment in self.experiments[label]:
            first.setdefault(experiment.config.rate, experiment)
        return list(first.values())

    def run(
        self,
        *,
        force: bool = False,
        force_before: float | None = None,
        retrain: bool = False,
        quiet: bool = False,
        wait: bool = True,
    ) -> None:
        """Measures every point that has no record yet; see `run_experiments`."""
        chosen: Any = {"force": force, "force_before": force_before, "retrain": retrain, "quiet": quiet, "wait": wait}
        run_experiments(self.all_experiments(), **chosen)

    def records(self) -> pd.DataFrame:
        """The records that exist, with the column `curve`.

        Raises:
            DataError: one is damaged, or some that one folder is named for were measured on different data.
        """
        known = [
            (label, experiment, experiment.reported_path())
            for label, experiments in self.experiments.items()
            for experiment in experiments
        ]
        found = []
        seen: dict[tuple[str, ...], tuple[str, Path]] = {}
        for label, experiment, path in known:
            # Others may measure points again, or take them away, at the same time.
            record = None if path is None else find_record(path)
            if path is None or record is None:
                continue
            found.append((label, path, record))
            if record["data_fingerprint"] is not None:
                task = experiment.config.task
                data = (task.name, task.dataset, str(task.root), record["split"], str(task.validation_fraction))
                held, first = seen.setdefault(data, (record["data_fingerprint"], path))
                if held != record["data_fingerprint"]:
                    raise DataError(
                        f"{first} and {path} were measured on different data ({held} and "
                        f"{record['data_fingerprint']}), so they are no points of one suite; give task.root, with the "
                        "data that is meant, or move the others away"
                    )
        frame = records_frame([(path, record) for _, path, record in found])
        frame.insert(0, "curve", [label for label, _, _ in found])
        return frame


def _with_parts(config: ExperimentConfig) -> list[ExperimentConfig]:
    return [config, *(each for part in config.parts for each in _with_parts(part))]
