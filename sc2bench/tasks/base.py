"""The interface of a task."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from torch import Tensor

from sc2bench.config import TaskConfig, option
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


@dataclass
class ResamplingConfig(TaskConfig):
    """Options of tasks whose confidence intervals take a bootstrap."""

    bootstrap: Annotated[
        int,
        Doc(
            "How often images are drawn again for the confidence intervals of mAP and mIoU; 0: they have none. For mAP "
            "that takes about 2 seconds for 500 images and 20 for COCO's 5,000. It changes no measured value, so that "
            "it does not make another point."
        ),
    ] = option(1000, least=0, most=10_000, counts="never")


class Task(ABC):
    """A task on one data set.

    Args:
        dataset: any split of the data set; it says which classes there are.
        options: those of the task, an instance of its `config_class`; `None`: by default.
    """

    config_class: ClassVar[type[TaskConfig]] = TaskConfig

    # The metric that models are chosen by.
    main_metric: ClassVar[str]
    # How often samples are drawn again for confidence intervals of the metric, where it needs that.
    resamples: int = 0
    # Whether its loss can smooth labels.
    smooths_labels: ClassVar[bool] = True

    @abstractmethod
    def __init__(self, dataset: ImageSet, options: TaskConfig | None = None): ...

    @abstractmethod
    def loss(self, prediction: Any, targets: Any, label_smoothing: float = 0.0) -> Tensor:
        """The supervised loss, a scalar."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh metric."""
