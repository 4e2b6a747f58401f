"""The interface of a task."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from sc2bench.config import EvaluationConfig
from sc2bench.core.intervals import Interval
from sc2bench.data import ImageSet


class Metric(ABC):
    """Quality, gathered over batches."""

    @abstractmethod
    def update(self, predictions: Any, targets: Any) -> None:
        """Adds a batch."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Quality so far, in percent, by the metric's name."""

    def intervals(self, resamples: int) -> dict[str, Interval]:
        """Confidence intervals of 95 % of the qualities so far, over images, in percent; all processes must ask.

        Args:
            resamples: of a bootstrap, for metrics that need one; 0: these have no interval.

        Returns:
            The ends of the interval of each metric that has one; by default none does.
        """
        return {}


class Task(ABC):
    """A task on one data set.

    Args:
        dataset: any split of the data set; it says which classes there are.
        evaluation: how quality is measured, where a task has a choice; `None`: by default.
    """

    # The metric that models are chosen by.
    main_metric: ClassVar[str]

    @abstractmethod
    def __init__(self, dataset: ImageSet, evaluation: EvaluationConfig | None = None): ...

    @abstractmethod
    def loss(self, prediction: Any, targets: Any, label_smoothing: float = 0.0) -> Tensor:
        """The supervised loss, a scalar."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh metric."""
