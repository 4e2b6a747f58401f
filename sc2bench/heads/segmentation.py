"""Heads that label each pixel, behind a chain of backbone layers.

Chen, Papandreou, Schroff and Adam, "Rethinking atrous convolution for semantic image segmentation", 2017 (DeepLabv3);
Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sc2bench.heads.base import Head, Output
from sc2bench.wire.sizing import Frame


@dataclass
class LabelMaps(Output):
    """Logits of each pixel of a batch.

    Attributes:
        logits: float (N, classes, h, w), of the network's input.
        frame: the sizes of the batch.
    """

    logits: Tensor
    frame: Frame

    def of_images(self) -> list[Tensor]:
        """The logits of each image in its own size, float (classes, H, W)."""
        images = []
        for logits, (height, width), size in zip(self.logits, self.frame.scaled, self.frame.sizes, strict=True):
            cropped = logits[:, :height, :width].float()
            if (height, width) != size:
                cropped = functional.interpolate(cropped[None], size, mode="bilinear", align_corners=False)[0]
            images.append(cropped)
        return images

    def final(self) -> list[Tensor]:
        """The likeliest class of each pixel, uint8 (H, W) an image."""
        return [logits.argmax(0).to(torch.uint8) for logits in self.of_images()]


class SegmentationHead(Head):
    """A classifier of positions, whose logits are scaled up to the network's input.

    Args:
        classifier: the chain's result, (N, C, h, w), to logits (N, classes, h, w).
        classes: background included.
    """

    def __init__(self, classifier: nn.Module, classes: int):
        super().__init__()
        self.classifier = classifier
        self.classes = classes

    def forward(self, last: Tensor, features: Mapping[str, Tensor], frame: Frame) -> LabelMaps:
        """Classifies the positions of the chain's result."""
        logits = self.classifier(last)
        return LabelMaps(functional.interpolate(logits, frame.padded, mode="bilinear", align_corners=False), frame)


class SkipHead(Head):
    """A fully convolutional head: coarse features are scaled up and joined by finer ones.

    Logits have twice the height and width of the finest features, from whose channels they are unfolded (Shi et al.,
    "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural network",
    CVPR 2016).

    Args:
        channels: of the outputs of the layers, by their names, from fine to coarse.
        context: the chain's result to features that are coarser still, of `context_channels`.
        context_channels: of its result.
        width: channels of the joined features.
        classes: background included.
    """

    def __init__(
        self, channels: Mapping[str, int], context: nn.Module, context_channels: int, width: int, classes: int
    ):
        super().__init__()
        self.needs = tuple(channels)
        self.classes = classes
        self.context = nn.Sequential(context, _normalized(context_channels, width, 1))
        self.lateral = nn.ModuleDict({name: _normalized(before, width, 1) for name, before in channels.items()})
        self.joined = nn.ModuleDict({name: _normalized(width, width, 3) for name in self.needs})
        self.classifier = nn.Sequential(nn.Conv2d(width, classes * 4, 1), nn.PixelShuffle(2))

    def forward(self, last: Tensor, features: Mapping[str, Tensor], frame: Frame) -> LabelMaps:
        """Joins the layers' features from coarse to fine."""
        joined = self.context(last)
        for name in reversed(self.needs):
            lateral = self.lateral[name](features[name])
            joined = self.joined[name](lateral + _scaled_to(joined, lateral.shape[-2:]))
        return LabelMaps(_scaled_to(self.classifier(joined), frame.padded), frame)


def _scaled_to(values: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(values, tuple(size), mode="bilinear", align_corners=False)


def _normalized(before: int, after: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
