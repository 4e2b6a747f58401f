"""The groups of a suite: what is of one task on one data set is compared, and reported apart from all else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sc2bench.measures import main_metrics


@dataclass(frozen=True)
class Group:
    """The curves of one task on one data set.

    Attributes:
        task: its name in records.
        dataset: likewise.
        curves: labels, in the suite's order.
        name: of its folder below the suite's; empty for the only group, whose folder is the suite's own.
    """

    task: str
    dataset: str
    curves: tuple[str, ...]
    name: str = ""

    def folder(self, suite: Path) -> Path:
        """Where its tables and figures go."""
        return suite / self.name

    def title(self, suite: str) -> str:
        """What heads its report."""
        return f"Suite {suite}, {task_name(self.task)} on {self.dataset}" if self.name else f"Suite {suite}"

    def metrics(self, named: str | None) -> tuple[str, ...]:
        """What its curves are compared by: the metric that a suite names, else the main ones of the task."""
        return main_metrics(self.task) if named is None else (named,)

    def records(self, records: pd.DataFrame) -> pd.DataFrame:
        """Its part of a suite's records, which have the column `curve`."""
        return records[records["curve"].isin(self.curves)].reset_index(drop=True)

    def figures(self, figures: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Its part of a suite's figures: they lose the curves of other groups, and go if none is left."""
        own = {name: [label for label in labels if label in self.curves] for name, labels in figures.items()}
        return {name: labels for name, labels in own.items() if labels}


def task_name(task: str) -> str:
    """A task in words.

    >>> task_name("object_detection")
    'object detection'
    """
    return task.replace("_", " ")


def groups_of(kinds: Mapping[str, tuple[str, str]]) -> list[Group]:
    """Groups curves by task and data set, in the order in which these occur.

    Args:
        kinds: task and data set of each curve, by its label.
    """
    curves: dict[tuple[str, str], list[str]] = {}
    for label, kind in kinds.items():
        curves.setdefault(kind, []).append(label)
    datasets = [dataset for _, dataset in curves]
    return [
        Group(task, dataset, tuple(labels), _folder_name(task, dataset, datasets))
        for (task, dataset), labels in curves.items()
    ]


def _folder_name(task: str, dataset: str, datasets: Sequence[str]) -> str:
    """The data set says enough, unless it has several tasks."""
    if len(datasets) == 1:
        return ""
    return dataset if datasets.count(dataset) == 1 else f"{dataset}_{task}"
