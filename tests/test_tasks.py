"""Losses and metrics of detection and segmentation."""

import math

import pytest
import torch

from sc2bench.config import compose
from sc2bench.data import MemoryImages
from sc2bench.errors import ConfigError
from sc2bench.tasks.object_detection import AveragePrecision, ObjectDetection
from sc2bench.tasks.semantic_segmentation import IntersectionOverUnion, SemanticSegmentation
from sc2bench.teachers import Sizing
from sc2bench.teachers.detection import DetectorOutput
from sc2bench.teachers.segmentation import LabelMaps

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
    with pytest.raises(ConfigError, match=r"evaluation.coco_backend: unknown value 'pycoco'; did you mean"):
        compose(["task=scenes_detection", "method=teacher", "evaluation.coco_backend=pycoco"])
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
