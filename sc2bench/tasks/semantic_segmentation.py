"""Semantic segmentation: a class for each pixel, cross-entropy, mean intersection over union."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_confusion_matrix

from sc2bench.core import processes
from sc2bench.core.intervals import Interval, bootstrap_intervals
from sc2bench.core.registry import TASKS
from sc2bench.data import ImageSet
from sc2bench.heads.segmentation import LabelMaps
from sc2bench.tasks.base import Metric, ResamplingConfig, Task

# Pixels that no loss and no metric counts.
IGNORED = 255


class IntersectionOverUnion(Metric):
    """Mean intersection over union, of the classes that images or predictions have; pixels count, not images.

    Args:
        classes: number of classes, background included.
    """

    def __init__(self, classes: int):
        self._classes = classes
        # Of each image of a batch and each class, how many pixels are hit, predicted, and labelled: (N, 3, classes).
        self._seen: list[np.ndarray] = []

    def update(self, predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Adds label maps, integers (H, W) each, of a batch."""
        pairs = zip(predictions, targets, strict=True)
        self._seen.append(np.array([self._counts(*pair) for pair in pairs]).reshape(-1, 3, self._classes))

    def compute(self) -> dict[str, float]:
        """Mean intersection over union and pixel accuracy, in percent."""
        quality = _quality(self._joined().sum(0, keepdims=True))
        return {name: float(values[0]) for name, values in quality.items()}

    def intervals(self, resamples: int) -> dict[str, Interval]:
        """Of a bootstrap over images."""
        counts = self._joined()
        images = counts.reshape(len(counts), -1).astype(float)

        def drawn(times: np.ndarray) -> dict[str, np.ndarray]:
            return _quality((times @ images).reshape(-1, 3, self._classes))

        return bootstrap_intervals(drawn, len(counts), resamples)

    def _counts(self, predicted: Tensor, target: Tensor) -> np.ndarray:
        found, known = (values.cpu().long()[None] for values in (predicted, target))
        # A row a labelled class, a column a predicted one.
        confusion = multiclass_confusion_matrix(found, known, self._classes, ignore_index=IGNORED).numpy()
        return np.stack([confusion.diagonal(), confusion.sum(0), confusion.sum(1)])

    def _joined(self) -> np.ndarray:
        """What all processes saw, int64 (images, 3, classes), in the order of one process."""
        return np.concatenate([np.zeros((0, 3, self._classes), dtype=np.int64), *processes.in_turn(self._seen)])


def _quality(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics, in percent, (N,) each, of pixels counted in several ways, (N, 3, classes)."""
    hits, predicted, labelled = counts.astype(float).transpose(1, 0, 2)
    union = predicted + labelled - hits
    # A class that occurs nowhere has no quality, neither good nor bad.
    present = union > 0
    shares = np.where(present, hits / np.where(present, union, 1), 0)
    miou = shares.sum(1) / np.maximum(present.sum(1), 1)
    return {"miou": 100 * miou, "pixel_accuracy": 100 * hits.sum(1) / np.maximum(labelled.sum(1), 1)}


@TASKS.register("semantic_segmentation")
class SemanticSegmentation(Task):
    """Which class each pixel belongs to."""

    main_metric = "miou"
    config_class = ResamplingConfig

    def __init__(self, dataset: ImageSet, options: ResamplingConfig | None = None):
        self.classes = len(dataset.classes)
        self.resamples = (options or ResamplingConfig()).bootstrap

    def loss(self, prediction: LabelMaps, targets: Sequence[Tensor], label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy over the pixels of a batch that are not ignored."""
        logits = torch.cat([image.flatten(1) for image in prediction.of_images()], dim=1)
        labels = torch.cat([target.flatten() for target in targets]).long()
        return functional.cross_entropy(logits.T, labels, ignore_index=IGNORED, label_smoothing=label_smoothing)

    def metric(self) -> IntersectionOverUnion:
        """Mean intersection over union."""
        return IntersectionOverUnion(self.classes)
