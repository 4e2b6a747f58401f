"""Average precision of drawn images: COCO's evaluation of single images, added up again for every draw."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_convert

# What a part of the draws may take of memory, in numbers.
_CHUNK = 2_000_000
# Places of IoU thresholds 0.50 and 0.75 among COCO's ten.
_SINGLE = {"map50": 0, "map75": 5}


@dataclass(frozen=True)
class _Category:
    """The detections of a class in all images, by falling score.

    Attributes:
        image: int64, (D,), the place of a detection's image.
        hits: bool, (thresholds, D), whether it is matched with an object, at each threshold of the IoU.
        counted: bool, (thresholds, D), whether it is a hit or a false alarm; not so where it is matched with a crowd.
        objects: int64, (images,), how many objects each image has, without crowds.
    """

    image: np.ndarray
    hits: np.ndarray
    counted: np.ndarray
    objects: np.ndarray


class DrawnPrecision:
    """Matches detections and annotations once; then gives the average precision of any number of draws of the images.

    Args:
        found: for each image `boxes` (N, 4), corners in pixels, `scores` (N,) and `labels` (N,).
        known: for each image `boxes` (M, 4), `labels` (M,), `iscrowd` (M,) and `area` (M,).
    """

    def __init__(self, found: Sequence[Mapping[str, Tensor]], known: Sequence[Mapping[str, Tensor]]):
        labels = {int(label) for image in (*found, *known) for label in image["labels"].tolist()}
        self._images = len(found)
        self._categories: list[_Category] = []
        self._recalls = np.zeros(0)
        self._thresholds = 0
        if labels:
            with contextlib.redirect_stdout(io.StringIO()):
                evaluation = COCOeval(
                    _coco([_annotations(image) for image in known], self._images, labels),
                    _coco([_detections(image) for image in found], self._images, labels),
                    "bbox",
                )
                # Only what counts objects of any size, and all detections that COCO does.
                evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
                evaluation.params.maxDets = evaluation.params.maxDets[-1:]
                # Rounded to single precision, as for the measured value, lest what lies on a threshold falls otherwise.
                measured = MeanAveragePrecision(box_format="xyxy", iou_type="bbox")
                evaluation.params.iouThrs = np.array(measured.iou_thresholds)
                evaluation.params.recThrs = np.array(measured.rec_thresholds)
                evaluation.evaluate()
            self._recalls = evaluation.params.recThrs
            self._thresholds = len(evaluation.params.iouThrs)
            pages = np.array(evaluation.evalImgs, dtype=object).reshape(len(labels), self._images)
            self._categories = [self._category(row) for row in pages]

    def quality(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The precision of draws.

        Args:
            counts: int64, (draws, images), how often each image is drawn.

        Returns:
            `map`, `map50` and `map75` in percent, (draws,) each; 0 where a draw has nothing to find.
        """
        total = np.zeros((len(counts), self._thresholds or 1))
        present = np.zeros(len(counts))
        for category in self._categories:
            rows = max(1, _CHUNK // max(len(category.image), 1))
            for start in range(0, len(counts), rows):
                part = slice(start, start + rows)
                objects = counts[part] @ category.objects
                total[part] += self._average(category, counts[part], objects)
                present[part] += objects > 0
        # As COCO does, over the classes that are there to be found.
        mean = 100 * total / np.maximum(present, 1)[:, None]
        single = {name: mean[:, place] if self._thresholds else mean[:, 0] for name, place in _SINGLE.items()}
        return {"map": mean.mean(1), **single}

    def _average(self, category: _Category, counts: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """A class's average precision of some draws, (draws, thresholds); 0 where there is nothing to find."""
        drawn, result = counts[:, category.image], np.zeros((len(counts), self._thresholds))
        if not len(category.image):
            return result
        wanted = self._hits_for_recalls(objects)
        # Hits of a draw rise up to its objects; this far apart, those of all draws are one rising sequence to search.
        apart = np.arange(len(counts))[:, None] * (objects.max() + 2)
        all_seen = np.cumsum(drawn, axis=1, dtype=np.int32)
        for threshold, (hit, counted) in enumerate(zip(category.hits, category.counted, strict=True)):
            seen = all_seen if counted.all() else np.cumsum(drawn * counted, axis=1, dtype=np.int32)
            # Between hits precision only falls, so that the best of what follows is always that of a hit.
            hits = np.cumsum(drawn[:, hit], axis=1)
            precision = hits / np.maximum(seen[:, hit], 1)
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            places = np.searchsorted((hits + apart).ravel(), (wanted + apart).ravel()).reshape(wanted.shape)
            places -= np.arange(len(hits))[:, None] * hits.shape[1]
            # Behind the last hit lie recalls that are not reached.
            padded = np.concatenate([envelope, np.zeros((len(hits), 1))], axis=1)
            result[:, threshold] = np.take_along_axis(padded, places, axis=1).mean(1)
        return result * (objects > 0)[:, None]

    def _hits_for_recalls(self, objects: np.ndarray) -> np.ndarray:
        """The fewest hits with which draws reach each recall, as COCO compares in doubles: int64, (draws, recalls)."""
        several = np.maximum(objects, 1)[:, None]
        hits = np.ceil(self._recalls * several)
        hits -= (hits - 1) / several >= self._recalls
        hits += hits / several < self._recalls
        return hits.astype(np.int64)

    def _category(self, pages: Sequence[Mapping[str, Any] | None]) -> _Category:
        """Joins the evaluations of one class in all images; `None` for an image that has nothing of it."""
        objects = np.zeros(self._images, dtype=np.int64)
        scores, images = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
        hits, counted = ([np.zeros((self._thresholds, 0), dtype=bool)] for _ in range(2))
        for place, page in enumerate(pages):
            if page is None:
                continue
            objects[place] = np.count_nonzero(page["gtIgnore"] == 0)
            scores.append(np.asarray(page["dtScores"], dtype=float))
            images.append(np.full(len(page["dtScores"]), place))
            counted.append(~np.asarray(page["dtIgnore"], dtype=bool))
            hits.append(counted[-1] & (np.asarray(page["dtMatches"]) != 0))
        # The order of COCO's own evaluation.
        order = np.argsort(-np.concatenate(scores), kind="mergesort")
        image, hit, seen = (np.concatenate(parts, axis=-1)[..., order] for parts in (images, hits, counted))
        return _Category(image, hit, seen, objects)


def _annotations(image: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    columns = (image[name].tolist() for name in ("labels", "iscrowd", "area"))
    rows = zip(_boxes(image), *columns, strict=True)
    return [{"bbox": box, "category_id": label, "iscrowd": crowd, "area": area} for box, label, crowd, area in rows]


def _detections(image: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    rows = zip(_boxes(image), image["labels"].tolist(), image["scores"].tolist(), strict=True)
    return [
        {"bbox": box, "category_id": label, "score": score, "area": box[2] * box[3], "iscrowd": 0}
        for box, label, score in rows
    ]


def _boxes(image: Mapping[str, Tensor]) -> list[list[float]]:
    return box_convert(image["boxes"].float(), "xyxy", "xywh").tolist()


def _coco(images: Sequence[Sequence[dict[str, Any]]], count: int, labels: set[int]) -> COCO:
    rows = [row | {"image_id": place} for place, rows in enumerate(images) for row in rows]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": place} for place in range(count)],
        "categories": [{"id": label} for label in sorted(labels)],
        # Zero would say that there is no match.
        "annotations": [row | {"id": number} for number, row in enumerate(rows, start=1)],
    }
    coco.createIndex()
    return coco
