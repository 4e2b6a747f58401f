"""Image classification: logits, cross-entropy, top-1 and top-5 accuracy."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from sc2bench.config import EvaluationConfig
from sc2bench.core import processes
from sc2bench.core.intervals import Interval, binomial_interval
from sc2bench.core.registry import TASKS
from sc2bench.data import ImageSet
from sc2bench.tasks.base import Metric, Task


class Accuracy(Metric):
    """Top-1 and top-5 accuracy over samples.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int):
        self._samples = 0
        self._metrics = {
            f"top{k}": MulticlassAccuracy(classes, top_k=k, average="micro") for k in (1, 5) if k <= classes
        }

    def update(self, predictions: Tensor | Sequence[Tensor], targets: Tensor | Sequence[Tensor]) -> None:
        """Adds logits (N, classes) and class indices (N,), as tensors or one by one."""
        self._samples += len(targets)
        for metric in self._metrics.values():
            metric.update(_batch(predictions).float().cpu(), _batch(targets).cpu())

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

    def __init__(self, dataset: ImageSet, evaluation: EvaluationConfig | None = None):
        self.classes = len(dataset.classes)

    def loss(self, prediction: Tensor, targets: Tensor | Sequence[Tensor], label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of logits (N, classes) and class indices (N,)."""
        return functional.cross_entropy(prediction.float(), _batch(targets), label_smoothing=label_smoothing)

    def metric(self) -> Accuracy:
        """Top-1 and top-5 accuracy."""
        return Accuracy(self.classes)


def _batch(values: Tensor | Sequence[Tensor]) -> Tensor:
    return values if isinstance(values, Tensor) else torch.stack(list(values))
