"""Two-stage detectors: the head of Faster R-CNN behind a chain of backbone layers.

Ren, He, Girshick and Sun, "Faster R-CNN", NeurIPS 2015; Lin et al., "Feature pyramid networks for object detection",
CVPR 2017. The parts are torchvision's.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

from sc2bench.heads.base import Head, Output
from sc2bench.wire.sizing import Frame, Size

# One image's detections: boxes (n, 4) as x1, y1, x2, y2 in the image's pixels, scores (n,), labels int64 (n,).
Detections = dict[str, Tensor]


@dataclass
class DetectorOutput(Output):
    """Features of a batch, from which a detector's losses or its detections are still to be computed.

    Attributes:
        head: the detector's.
        features: outputs of the layers that the head needs, by name.
        frame: the sizes of the batch.
    """

    head: "DetectionHead"
    features: Mapping[str, Tensor]
    frame: Frame

    def final(self) -> list[Detections]:
        """The detections of each image, the best first."""
        return self.head.detect(self.features, self.frame)

    def losses(self, targets: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Torchvision's four losses of proposals and boxes.

        Args:
            targets: `boxes`, float (n, 4), and `labels`, int64 (n,), of each image.
        """
        return self.head.losses(self.features, self.frame, targets)


class DetectionHead(Head):
    """Feature pyramid, proposals, boxes.

    Args:
        pyramid: torchvision's feature pyramid over the outputs of `layers`.
        rpn: torchvision's region proposal network.
        roi_heads: torchvision's box heads.
        layers: names of the layers that the pyramid is built on, from fine to coarse.
        classes: background included.
    """

    def __init__(
        self, pyramid: nn.Module, rpn: RegionProposalNetwork, roi_heads: RoIHeads, layers: Sequence[str], classes: int
    ):
        super().__init__()
        self.pyramid = pyramid
        self.rpn = rpn
        self.roi_heads = roi_heads
        self.needs = tuple(layers)
        self.classes = classes

    def forward(self, last: Tensor, features: Mapping[str, Tensor], frame: Frame) -> DetectorOutput:
        """Nothing is computed yet: a distilled student's losses need no detections, and a metric needs no losses."""
        return DetectorOutput(self, {name: features[name] for name in self.needs}, frame)

    def detect(self, features: Mapping[str, Tensor], frame: Frame) -> list[Detections]:
        """The detections of each image, in the pixels of the image as it came."""
        pyramid, images = self._pyramid(features), _image_list(frame)
        with _mode(self, training=False):
            proposals, _ = self.rpn(images, pyramid)
            found, _ = self.roi_heads(pyramid, proposals, images.image_sizes)
        for detections, scaled, size in zip(found, frame.scaled, frame.sizes, strict=True):
            detections["boxes"] = _resized(detections["boxes"], scaled, size)
        return found

    def losses(
        self, features: Mapping[str, Tensor], frame: Frame, targets: Sequence[Mapping[str, Any]]
    ) -> dict[str, Tensor]:
        """The losses, by torchvision's names."""
        pyramid, images = self._pyramid(features), _image_list(frame)
        scaled = [
            {"boxes": _resized(target["boxes"], size, to), "labels": target["labels"]}
            for target, size, to in zip(targets, frame.sizes, frame.scaled, strict=True)
        ]
        with _mode(self, training=True):
            proposals, of_proposals = self.rpn(images, pyramid, scaled)
            _, of_boxes = self.roi_heads(pyramid, proposals, images.image_sizes, scaled)
        return of_proposals | of_boxes

    def _pyramid(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # Torchvision numbers the levels; its operators on boxes want the precision of the weights.
        precision = next(self.parameters()).dtype
        numbered = OrderedDict((str(level), features[name].to(precision)) for level, name in enumerate(self.needs))
        return self.pyramid(numbered)


@contextmanager
def _mode(head: DetectionHead, *, training: bool) -> Iterator[None]:
    """Torchvision's modules give losses in training mode alone, and detections outside of it.

    Only the two themselves change: normalization and dropout within them stay as they are.
    """
    modules = (head.rpn, head.roi_heads)
    before = [module.training for module in modules]
    for module in modules:
        module.training = training
    try:
        yield
    finally:
        for module, mode in zip(modules, before, strict=True):
            module.training = mode


def _image_list(frame: Frame) -> ImageList:
    """Sizes as torchvision's modules take them; of the images' pixels they want to know nothing."""
    return ImageList(torch.empty(len(frame.sizes), 3, *frame.padded, device="meta"), list(frame.scaled))


def _resized(boxes: Tensor, before: Size, after: Size) -> Tensor:
    """Boxes in an image of another size."""
    if before == after:
        return boxes
    vertical, horizontal = after[0] / before[0], after[1] / before[1]
    return boxes * boxes.new_tensor([horizontal, vertical, horizontal, vertical])
