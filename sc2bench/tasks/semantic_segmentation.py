"""Semantic segmentation: a class for each pixel, cross-entropy, mean intersection over union."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import MulticlassConfusionMatrix

from sc2bench.config import EvaluationConfig
from sc2bench.data import ImageSet
from sc2bench.registry import TASKS
from sc2bench.tasks.base import Metric, Task
from sc2bench.teachers.segmentation import LabelMaps

# Pixels that no loss and no metric counts.
IGNORED = 255


class IntersectionOverUnion(Metric):
    """Mean intersection over union, of the classes that images or predictions have; pixels count, not images.

    Args:
        classes: number of classes, background included.
    """

    def __init__(self, classes: int):
        self._confusion = MulticlassConfusionMatrix(classes, ignore_index=IGNORED)

    def update(self, predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Adds label maps, integers (H, W) each, of a batch."""
        for predicted, target in zip(predictions, targets, strict=True):
            self._confusion.update(predicted.cpu().long()[None], target.cpu().long()[None])

    def compute(self) -> dict[str, float]:
        """Mean intersection over union and pixel accuracy, in percent."""
        counts = self._confusion.compute().double()
        hits = counts.diagonal()
        union = counts.sum(0) + counts.sum(1) - hits
        # A class that occurs nowhere has no quality, neither good nor bad.
        present = union > 0
        miou = (hits[present] / union[present]).mean() if present.any() else torch.tensor(0.0)
        return {"miou": 100 * float(miou), "pixel_accuracy": 100 * float(hits.sum() / counts.sum().clamp(min=1))}


@TASKS.register("semantic_segmentation")
class SemanticSegmentation(Task):
    """Which class each pixel belongs to."""

    main_metric = "miou"

    def __init__(self, dataset: ImageSet, evaluation: EvaluationConfig | None = None):
        self.classes = len(dataset.classes)

    def loss(self, prediction: LabelMaps, targets: Sequence[Tensor], label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy over the pixels of a batch that are not ignored."""
        logits = torch.cat([image.flatten(1) for image in prediction.of_images()], dim=1)
        labels = torch.cat([target.flatten() for target in targets]).long()
        return functional.cross_entropy(logits.T, labels, ignore_index=IGNORED, label_smoothing=label_smoothing)

    def metric(self) -> IntersectionOverUnion:
        """Mean intersection over union."""
        return IntersectionOverUnion(self.classes)
