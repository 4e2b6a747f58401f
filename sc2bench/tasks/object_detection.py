"""Object detection: boxes with classes, Faster R-CNN's losses, COCO's mean average precision."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any

import torch
from annotated_doc import Doc
from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision

from sc2bench.config import option
from sc2bench.core import processes
from sc2bench.core.errors import ConfigError
from sc2bench.core.intervals import Interval, bootstrap_intervals
from sc2bench.core.registry import TASKS
from sc2bench.data import ImageSet
from sc2bench.heads.detection import Detections, DetectorOutput
from sc2bench.tasks.base import Metric, ResamplingConfig, Task
from sc2bench.tasks.precision import DrawnPrecision

_RESULTS = {"map": "map", "map50": "map_50", "map75": "map_75"}
_OF_ANNOTATIONS = ("boxes", "labels", "iscrowd", "area")
COCO_BACKENDS = ("pycocotools", "faster_coco_eval")


@dataclass
class ObjectDetectionConfig(ResamplingConfig):
    """Options of detection."""

    coco_backend: Annotated[str, Doc("What computes mean average precision."), COCO_BACKENDS] = option(
        "pycocotools", counts="measured"
    )


class AveragePrecision(Metric):
    """COCO's mean average precision over IoU thresholds of 0.50 to 0.95 (Lin et al. 2014).

    Args:
        backend: "pycocotools", or "faster_coco_eval", which gives the same figures sooner.

    Raises:
        ConfigError: the backend is not installed.
    """

    def __init__(self, backend: str = "pycocotools"):
        if find_spec(backend) is None:
            raise ConfigError(
                f"task.coco_backend: '{backend}' is not installed; run pip install 'sc2bench[detection]', or "
                "choose pycocotools"
            )
        self._backend = backend
        self._seen: list[tuple[list[Detections], list[dict[str, Tensor]]]] = []

    def update(self, predictions: Sequence[Detections], targets: Sequence[Mapping[str, Any]]) -> None:
        """Adds the detections and the annotations of a batch; an image may have none of either."""
        found = [{name: values.detach().cpu() for name, values in image.items()} for image in predictions]
        known = [{name: torch.as_tensor(image[name]).cpu() for name in _OF_ANNOTATIONS} for image in targets]
        self._seen.append((found, known))

    def compute(self) -> dict[str, float]:
        """Mean average precision in percent, over the images of all processes; 0 where nothing is annotated."""
        # Torchmetrics joins lists of tensors only where every process has as many, which images dealt out have not.
        seen = [batch for batches in processes.gather(self._seen) for batch in batches]
        return processes.from_main(lambda: self._computed(seen))

    def intervals(self, resamples: int) -> dict[str, Interval]:
        """Of a bootstrap over images.

        Detections are matched once more, with COCO's own tools whatever the backend.
        """
        if resamples < 1:
            return {}
        # In the order of one process, so that the draws are the same images for any number of them.
        seen = [pair for batch in processes.in_turn(self._seen) for pair in zip(*batch, strict=True)]
        if not seen:
            return {}

        def drawn() -> dict[str, Interval]:
            precision = DrawnPrecision(*zip(*seen, strict=True))
            return bootstrap_intervals(precision.quality, len(seen), resamples)

        return processes.from_main(drawn)

    def _computed(self, seen: Sequence[tuple[list[Detections], list[dict[str, Tensor]]]]) -> dict[str, float]:
        metric = MeanAveragePrecision(
            box_format="xyxy",
            iou_type="bbox",
            backend=self._backend,  # type: ignore[arg-type]
            sync_on_compute=False,
        )
        # What COCO's evaluation cuts off is of no weight, and torchmetrics would say so for every crowded image.
        metric.warn_on_many_detections = False
        for found, known in seen:
            metric.update(found, known)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="torchmetrics")
            results = metric.compute()
        # COCO's evaluation says -1 where there is nothing to find.
        return {name: 100 * max(float(results[key]), 0.0) for name, key in _RESULTS.items()}


@TASKS.register("object_detection")
class ObjectDetection(Task):
    """Where objects of the data set's classes are."""

    main_metric = "map"
    config_class = ObjectDetectionConfig
    smooths_labels = False

    def __init__(self, dataset: ImageSet, options: ObjectDetectionConfig | None = None):
        self.classes = len(dataset.classes)
        options = options or ObjectDetectionConfig()
        self.resamples, self._backend = options.bootstrap, options.coco_backend

    def loss(self, prediction: DetectorOutput, targets: Any, label_smoothing: float = 0.0) -> Tensor:
        """The sum of Faster R-CNN's losses of proposals and boxes.

        Crowds and boxes without an extent, which stay in what is measured, are nothing to learn from.
        """
        return torch.stack(list(prediction.losses([_learnable(target) for target in targets]).values())).sum()

    def metric(self) -> AveragePrecision:
        """Mean average precision."""
        return AveragePrecision(self._backend)


def _learnable(target: Mapping[str, Any]) -> dict[str, Any]:
    boxes = target["boxes"]
    kept = (boxes[:, 2:] > boxes[:, :2]).all(1) & (target["iscrowd"] == 0)
    return {"boxes": boxes[kept], "labels": target["labels"][kept]}
