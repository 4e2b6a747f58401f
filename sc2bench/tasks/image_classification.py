"""Image classification: logits, cross-entropy, top-1 and top-5 accuracy."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from sc2bench.config import TaskConfig
from sc2bench.core import processes
from sc2bench.core.intervals import Interval, binomial_interval
from sc2bench.core.registry import TASKS
from sc2bench.data import ImageSet
from sc2bench.tasks.base import Metric, Task

SUBSET = "top1_subset"


class Accuracy(Metric):
    """Top-1 and top-5 accuracy over samples.

    Args:
        classes: number of classes.
        occurring: the indices of those that occur in the data; top-1 accuracy among them alone is measured, too.
            `None`: all do.
    """

    def __init__(self, classes: int, occurring: Sequence[int] | None = None):
        self._samples = 0
        self._metrics = {
            f"top{k}": MulticlassAccuracy(classes, top_k=k, average="micro") for k in (1, 5) if k <= classes
        }
        self._absent = torch.zeros(classes, dtype=torch.bool)
        if occurring is not None:
            self._metrics[SUBSET] = MulticlassAccuracy(classes, top_k=1, average="micro")
            self._absent[:] = True
            self._absent[list(occurring)] = False

    def update(self, predictions: Tensor | Sequence[Tensor], targets: Tensor | Sequence[Tensor]) -> None:
        """Adds logits (N, classes) and class indices (N,), as tensors or one by one."""
        self._samples += len(targets)
        logits, labels = _batch(predictions).float().cpu(), _batch(targets).cpu()
        for name, metric in self._metrics.items():
            metric.update(logits.masked_fill(self._absent, -torch.inf) if name == SUBSET else logits, labels)

    def compute(self) -> dict[str, float]:
        """Accuracies in percent."""
        return {name: 100 * float(metric.compute()) for name, metric in self._metrics.items()}

    def intervals(self, resamples: int) -> dict[str, Interval]:
        """Binomial ones, which need no bootstrap."""
        (samples,) = processes.total(self._samples)
        quality = self.compute()
        return {name: binomial_interval(value, int(samples)) for name, value in quality.items() if samples}


@TASKS.register("image_classification")
class ImageClassification(Task):
    """Which one of the data set's classes an image shows."""

    main_metric = "top1"

    def __init__(self, dataset: ImageSet, options: TaskConfig | None = None):
        self.classes = len(dataset.classes)
        self.occurring = dataset.occurring

    def loss(self, prediction: Tensor, targets: Tensor | Sequence[Tensor], label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of logits (N, classes) and class indices (N,)."""
        return functional.cross_entropy(prediction.float(), _batch(targets), label_smoothing=label_smoothing)

    def metric(self) -> Accuracy:
        """Top-1 and top-5 accuracy, and where classes don't occur top-1 among those that do."""
        return Accuracy(self.classes, self.occurring)


def _batch(values: Tensor | Sequence[Tensor]) -> Tensor:
    return values if isinstance(values, Tensor) else torch.stack(list(values))
