"""Several tasks on the same images: the quality of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sc2bench.core.errors import ConfigError
from sc2bench.core.intervals import Interval
from sc2bench.core.registry import TASKS
from sc2bench.data import ImageSet, ManyTargets
from sc2bench.tasks.base import Metric, Task
from sc2bench.tasks.object_detection import ObjectDetectionConfig


class Metrics(Metric):
    """The metrics of several tasks.

    Args:
        metrics: by the name of the task.
    """

    def __init__(self, metrics: Mapping[str, Metric]):
        self._metrics = metrics

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Adds the predictions and the targets of a batch, by the name of the task a sample."""
        for name, metric in self._metrics.items():
            metric.update([sample[name] for sample in predictions], [sample[name] for sample in targets])

    def compute(self) -> dict[str, float]:
        """All qualities, in percent."""
        return {name: value for metric in self._metrics.values() for name, value in metric.compute().items()}

    def intervals(self, resamples: int) -> dict[str, Interval]:
        """Those of all tasks."""
        found = [metric.intervals(resamples) for metric in self._metrics.values()]
        return {name: ends for intervals in found for name, ends in intervals.items()}


@dataclass
class MultiTaskConfig(ObjectDetectionConfig):
    """Those of the tasks that have some."""


@TASKS.register("multi_task")
class MultiTask(Task):
    """The tasks of a data set that has targets of several; what they are measured by together is the first one's."""

    config_class = MultiTaskConfig

    def __init__(self, dataset: ImageSet, options: MultiTaskConfig | None = None):
        if not isinstance(dataset, ManyTargets):
            raise ConfigError("task.name: 'multi_task' wants targets of several tasks; choose task.dataset=scenes")
        self._tasks = {name: TASKS[name](part, options) for name, part in dataset.parts.items()}
        first, *_ = self._tasks.values()
        self.resamples = (options or MultiTaskConfig()).bootstrap
        self.main_metric = first.main_metric  # type: ignore[misc]

    def loss(self, prediction: Any, targets: Any, label_smoothing: float = 0.0) -> Tensor:
        """Nothing learns several tasks at once here: the tails of a shared encoder are trained one by one."""
        raise ConfigError("stage1.losses: 'task' is not defined for several tasks; train the members one by one")

    def metric(self) -> Metrics:
        """The metrics of all tasks."""
        return Metrics({name: task.metric() for name, task in self._tasks.items()})
