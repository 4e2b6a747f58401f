"""Losses and metrics of detection and segmentation."""

import math

import numpy as np
import pytest
import torch

from sc2bench.config import compose
from sc2bench.core.errors import ConfigError
from sc2bench.core.intervals import binomial_interval, resampled_counts
from sc2bench.data import MemoryImages
from sc2bench.heads.detection import DetectorOutput
from sc2bench.heads.segmentation import LabelMaps
from sc2bench.tasks.image_classification import Accuracy
from sc2bench.tasks.multi_task import Metrics
from sc2bench.tasks.object_detection import AveragePrecision, ObjectDetection
from sc2bench.tasks.precision import DrawnPrecision
from sc2bench.tasks.semantic_segmentation import IntersectionOverUnion, SemanticSegmentation
from sc2bench.teachers import Sizing

EMPTY = MemoryImages(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64), ("a", "b", "c"))


def detections(*found: tuple[list[float], float, int]) -> dict[str, torch.Tensor]:
    boxes = torch.tensor([box for box, _, _ in found]).reshape(-1, 4)
    return {
        "boxes": boxes,
        "scores": torch.tensor([score for _, score, _ in found]),
        "labels": torch.tensor([label for _, _, label in found], dtype=torch.int64),
    }


def annotations(*known: tuple[list[float], int], crowd: tuple[int, ...] = ()) -> dict:
    boxes = torch.tensor([box for box, _ in known]).reshape(-1, 4)
    return {
        "boxes": boxes,
        "labels": torch.tensor([label for _, label in known], dtype=torch.int64),
        "iscrowd": torch.tensor([int(place in crowd) for place in range(len(known))], dtype=torch.int64),
        "area": (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
        "image_id": 1,
    }


BOX, OTHER, FAR = [10.0, 10, 50, 50], [100.0, 100, 160, 150], [200.0, 10, 260, 60]


@pytest.mark.parametrize("backend", ["pycocotools", "faster_coco_eval"])
def test_average_precision_counts_as_coco_does(backend):
    metric = AveragePrecision(backend)
    # All of class 1 is found; of class 2 one in two, and the other with an IoU of 0.825, good for 7 of 10 thresholds.
    metric.update(
        [detections((BOX, 0.9, 1), (OTHER, 0.8, 2)), detections(([10.0, 10, 43, 50], 0.7, 2)), detections()],
        [annotations((BOX, 1), (OTHER, 2)), annotations((BOX, 2)), annotations()],
    )
    values = metric.compute()
    # Precision at 101 recalls: half are reached by the first hit alone.
    half = 51 / 101
    expected = (1 + (7 * 1 + 3 * half) / 10) / 2
    assert values["map"] == pytest.approx(100 * expected, abs=0.01)
    assert values["map50"] == pytest.approx(100)


@pytest.mark.parametrize("backend", ["pycocotools", "faster_coco_eval"])
def test_crowds_are_neither_missed_nor_wrongly_found(backend):
    metric = AveragePrecision(backend)
    metric.update(
        [detections((BOX, 0.9, 1), (FAR, 0.8, 1), (OTHER, 0.95, 1))],
        [annotations((BOX, 1), (FAR, 1), ([90.0, 90, 190, 190], 1), crowd=(2,))],
    )
    assert metric.compute()["map"] == pytest.approx(100)


def test_nothing_to_find_and_nothing_found_are_no_crash():
    metric = AveragePrecision()
    metric.update([detections(), detections((BOX, 0.9, 1))], [annotations(), annotations()])
    assert metric.compute()["map"] == 0
    metric = AveragePrecision()
    metric.update([detections()], [annotations((BOX, 1))])
    assert metric.compute()["map"] == 0


def test_backend_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"task.coco_backend: unknown value 'pycoco'; did you mean"):
        compose(["task=scenes_detection", "method=teacher", "task.coco_backend=pycoco"])
    with pytest.raises(ConfigError, match=r"'no_such_backend' is not installed; run pip install"):
        AveragePrecision("no_such_backend")


def test_absent_classes_do_not_count_and_ignored_pixels_neither():
    metric = IntersectionOverUnion(4)
    target = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 255]], dtype=torch.uint8)
    predicted = torch.tensor([[0, 0, 1, 0], [0, 0, 1, 3]], dtype=torch.uint8)
    metric.update([predicted], [target])
    # Background 4 of 5, class 1 2 of 3; classes 2 and 3 occur nowhere.
    assert metric.compute()["miou"] == pytest.approx(100 * (4 / 5 + 2 / 3) / 2)
    assert metric.compute()["pixel_accuracy"] == pytest.approx(100 * 6 / 7)
    # A class that is predicted without being there has an intersection of nothing.
    metric.update([torch.full((1, 1), 2, dtype=torch.uint8)], [torch.zeros(1, 1, dtype=torch.uint8)])
    assert metric.compute()["miou"] == pytest.approx(100 * (4 / 6 + 2 / 3 + 0) / 3)


def test_images_of_several_sizes_are_labelled_in_their_own():
    sizing = Sizing(shorter=8, multiple=4)
    frame = sizing.frame([(4, 6), (8, 8)])
    assert (frame.scaled, frame.padded) == (((8, 12), (8, 8)), (8, 12))
    logits = torch.zeros(2, 3, 8, 12)
    logits[0, 2, :, 6:] = 5
    logits[1, 1, :4] = 5
    # What is padded is nobody's.
    logits[1, 2, :, 8:] = 50
    first, second = LabelMaps(logits, frame).final()
    assert first.tolist() == [[0, 0, 0, 2, 2, 2]] * 4
    assert second.tolist() == [[1] * 8] * 4 + [[0] * 8] * 4
    task = SemanticSegmentation(EMPTY)
    sharp = LabelMaps(100 * logits, frame)
    # Half of the pixels are certain, the other half favour none of three classes.
    assert task.loss(sharp, [first, second]).item() == pytest.approx(math.log(3) / 2, abs=1e-4)
    ignored = torch.full_like(second, 255)
    ignored[0, 0] = 0
    wrong = task.loss(LabelMaps(logits, frame), [torch.full_like(first, 255), ignored])
    assert wrong.item() == pytest.approx(math.log(2 + math.exp(5)), rel=1e-4)


def test_detectors_learn_from_nothing_but_whole_boxes():
    seen = []

    class Watched(DetectorOutput):
        def losses(self, targets):
            seen.extend(targets)
            return {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}

    known = annotations((BOX, 1), ([5.0, 5, 5, 9], 2), (OTHER, 2), crowd=(2,))
    assert ObjectDetection(EMPTY).loss(Watched(None, {}, None), [known]).item() == 3
    (target,) = seen
    assert target["boxes"].tolist() == [BOX]
    assert target["labels"].tolist() == [1]


def made_up_detections(images: int) -> tuple[list[dict], list[dict]]:
    """Objects of three classes, of which most are found more or less exactly; crowds and false alarms among them."""
    random = np.random.default_rng(1)
    found, known = [], []
    for _ in range(images):
        corners = random.uniform(0, 80, (random.integers(0, 5), 2))
        boxes = np.hstack([corners, corners + random.uniform(10, 60, corners.shape)])
        labels = random.integers(1, 4, len(boxes))
        moved = boxes + random.normal(0, 3, boxes.shape)
        kept = random.random(len(boxes)) < 0.8
        guesses = np.where(random.random(len(boxes)) < 0.9, labels, 1)[kept]
        alarms = [([x, y, x + 20, y + 20], 0.4 * s, 1) for x, y, s in random.uniform(0.1, 0.9, (2, 3)) * [90, 90, 1]]
        rows = zip(moved[kept].tolist(), random.random(kept.sum()), guesses.tolist(), strict=True)
        found.append(detections(*rows, *alarms))
        crowd = tuple(np.flatnonzero(random.random(len(boxes)) < 0.1))
        known.append(annotations(*zip(boxes.tolist(), labels.tolist(), strict=True), crowd=crowd))
    return found, known


def average_precision(found: list[dict], known: list[dict], backend: str = "pycocotools") -> AveragePrecision:
    metric = AveragePrecision(backend)
    metric.update(found, known)
    return metric


def test_drawn_images_have_the_precision_of_a_set_of_just_these():
    found, known = made_up_detections(30)
    counts = resampled_counts(30, 4)
    counts[0] = 1
    drawn = DrawnPrecision(found, known).quality(counts)
    for row, times in enumerate(counts):
        places = np.repeat(np.arange(30), times)
        alone = average_precision([found[i] for i in places], [known[i] for i in places]).compute()
        assert {name: values[row] for name, values in drawn.items()} == pytest.approx(alone, abs=1e-4)


def test_intervals_of_average_precision_are_percentiles_over_draws():
    found, known = made_up_detections(30)
    metric = average_precision(found, known)
    intervals = metric.intervals(200)
    values = DrawnPrecision(found, known).quality(resampled_counts(30, 200))
    for name, value in metric.compute().items():
        low, high = intervals[name]
        assert (low, high) == pytest.approx(np.percentile(values[name], [2.5, 97.5]))
        assert low < value < high
    assert average_precision(found, known, "faster_coco_eval").intervals(200) == intervals
    assert metric.intervals(0) == {}
    # One image does not say how images differ.
    assert average_precision(found[:1], known[:1]).intervals(200) == {}
    assert average_precision([detections()] * 2, [annotations()] * 2).intervals(200)["map"] == (0, 0)


def test_intervals_of_intersections_are_percentiles_over_draws():
    random = np.random.default_rng(2)
    target = torch.from_numpy(random.integers(0, 4, (12, 6, 6)))
    predicted = torch.where(torch.from_numpy(random.random((12, 6, 6)) < 0.7), target, 0)
    target[3, :2] = 255
    metric = IntersectionOverUnion(5)
    metric.update(predicted[:7], target[:7])
    metric.update(predicted[7:], target[7:])
    values: dict[str, list[float]] = {"miou": [], "pixel_accuracy": []}
    for times in resampled_counts(12, 50):
        places = np.repeat(np.arange(12), times)
        alone = IntersectionOverUnion(5)
        alone.update(predicted[places], target[places])
        for name, value in alone.compute().items():
            values[name].append(value)
    intervals = metric.intervals(50)
    for name, found in values.items():
        assert intervals[name] == pytest.approx(np.percentile(found, [2.5, 97.5]))
    assert metric.intervals(0) == {}


def test_intervals_of_accuracies_are_binomial():
    metric = Accuracy(10)
    logits = torch.eye(10)[torch.arange(100) % 10]
    labels = torch.arange(100) % 10
    labels[:10] = 9 - labels[:10]
    metric.update(logits[:60], labels[:60])
    metric.update(list(logits[60:]), list(labels[60:]))
    assert metric.compute()["top1"] == pytest.approx(90)
    # As published for 90 of 100 (Wilson 1927).
    assert metric.intervals(0)["top1"] == pytest.approx((82.56, 94.48), abs=0.01)
    assert Metrics({"image_classification": metric}).intervals(0) == metric.intervals(0)
    assert binomial_interval(100, 50)[1] == 100
    assert binomial_interval(0, 50)[0] == 0
