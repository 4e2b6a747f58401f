"""What is drawn: images with what a model, or an annotation, says about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sc2bench.core.errors import ConfigError, nearest
from sc2bench.data import ImageSet
from sc2bench.methods import SplitModel
from sc2bench.tasks.semantic_segmentation import IGNORED
from sc2bench.wire.packet import Packet

# Detections with lower scores are not shown.
LEAST_SCORE = 0.5
# Images with fewer objects show little.
_LEAST_OBJECTS = 3


@dataclass(frozen=True)
class Boxes:
    """Objects of an image.

    Attributes:
        boxes: float, (n, 4): left, top, right and bottom edge in pixels.
        labels: class index of each, (n,).
        scores: of each, (n,), from 0 to 1; `None` for annotations.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None

    def classes(self) -> set[int]:
        """The classes that occur."""
        return set(self.labels.tolist())


@dataclass(frozen=True)
class LabelMap:
    """A class for each pixel.

    Attributes:
        labels: integers, (H, W): 0 for the background, 255 where the annotation leaves it open.
    """

    labels: np.ndarray

    def classes(self) -> set[int]:
        """The classes that occur, without the background."""
        return set(np.unique(self.labels).tolist()) - {0, IGNORED}


Marks = Boxes | LabelMap


@dataclass(frozen=True)
class Picture:
    """One image with its prediction.

    Attributes:
        image: uint8, (H, W, 3).
        marks: what is said about it.
        size_bytes: of its packet; `None` for an annotation.
    """

    image: np.ndarray
    marks: Marks
    size_bytes: int | None = None


@dataclass(frozen=True)
class Column:
    """The pictures of one model or of the annotations, one a scene.

    Attributes:
        title: of the curve.
        subtitle: which of its points this is.
        pictures: in the order of the scenes.
        decoded: whether the images are those that the server decodes.
    """

    title: str
    subtitle: str
    pictures: tuple[Picture, ...]
    decoded: bool = False

    def mean_bytes(self) -> float:
        """Of the packets."""
        return float(np.mean([picture.size_bytes or 0 for picture in self.pictures]))


def predicted_boxes(prediction: Mapping[str, Tensor]) -> Boxes:
    """The detections of an image that are sure enough, the surest first."""
    boxes, labels, scores = (prediction[name].float().cpu().numpy() for name in ("boxes", "labels", "scores"))
    kept = np.flatnonzero(scores >= LEAST_SCORE)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return Boxes(boxes[kept], labels[kept].astype(int), scores[kept])


def true_boxes(target: Mapping[str, Any]) -> Boxes:
    """The annotated objects of an image, without crowds."""
    single = target["iscrowd"].numpy() == 0
    return Boxes(target["boxes"].numpy()[single], target["labels"].numpy()[single])


def label_map(labels: Tensor) -> LabelMap:
    """A label map, predicted or annotated."""
    return LabelMap(labels.cpu().numpy())


# How predictions and targets of a task become marks. Other tasks have nothing to be drawn on an image.
PREDICTED: dict[str, Callable[[Any], Marks]] = {"object_detection": predicted_boxes, "semantic_segmentation": label_map}
TRUE: dict[str, Callable[[Any], Marks]] = {"object_detection": true_boxes, "semantic_segmentation": label_map}


def require_drawn(tasks: Sequence[str]) -> None:
    """Raises `ConfigError` if predictions of none of the tasks can be drawn."""
    if not PREDICTED.keys() & set(tasks):
        raise ConfigError(f"predictions of task '{tasks[0]}' can't be drawn; {nearest(tasks[0], PREDICTED)}")


def choose_scenes(dataset: ImageSet, task: str, count: int) -> list[int]:
    """The first images with at least three objects, or classes in segmentation; then the first others.

    Args:
        dataset: images are read until enough are found.
        task: of its targets.
        count: how many images are wanted.

    Returns:
        Their indices, rising.
    """
    rich: list[int] = []
    others: list[int] = []
    for index in range(len(dataset)):
        marks = TRUE[task](dataset[index][1])
        objects = len(marks.labels) if isinstance(marks, Boxes) else len(marks.classes())
        (rich if objects >= _LEAST_OBJECTS else others).append(index)
        if len(rich) == count:
            return rich
    return sorted([*rich, *others[: count - len(rich)]])


def truth_column(task: str, images: Sequence[Tensor], targets: Sequence[Any]) -> Column:
    """The images as they are, with their annotations."""
    pairs = zip(images, targets, strict=True)
    return Column("Ground truth", "", tuple(Picture(_pixels(image), TRUE[task](target)) for image, target in pairs))


def model_column(title: str, subtitle: str, task: str, model: SplitModel, images: Sequence[Tensor]) -> Column:
    """Sends images through a model as a measurement does, and shows what arrives.

    Args:
        title: of the column.
        subtitle: likewise.
        task: of the model's predictions.
        model: on the processor, ready to encode and decode.
        images: uint8, (C, H, W) each.
    """
    session = model.session
    sent = [packet.to_bytes(session) for packet in model.encode(images)]
    packets = [Packet.from_bytes(data, session) for data in sent]
    predictions = model.decode(packets)
    decoded = model.decode_images(packets)
    shown = images if decoded is None else decoded
    pictures = tuple(
        Picture(_pixels(image), PREDICTED[task](prediction), len(data))
        for image, prediction, data in zip(shown, predictions, sent, strict=True)
    )
    return Column(title, subtitle, pictures, decoded is not None)


def _pixels(image: Tensor) -> np.ndarray:
    """An image, uint8 (C, H, W), for the eye: (H, W, 3)."""
    return image.cpu().expand(3, -1, -1).permute(1, 2, 0).numpy()
