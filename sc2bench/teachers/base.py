"""What a teacher is: a chain of layers with a head, and what is done to an image before it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_doc import Doc
from torch import Tensor, nn

from sc2bench.chain import Chain
from sc2bench.config import TeacherConfig
from sc2bench.core.registry import TEACHERS
from sc2bench.heads.base import Head, LastLayer, final
from sc2bench.wire.inputs import check_any_images
from sc2bench.wire.sizing import Frame, Size, Sizing, image_sizes

# Of one size: uint8 (N, C, H, W); else uint8 (C, H, W) each.
Images = Tensor | Sequence[Tensor]


class Preprocess(nn.Module):
    """What every model does to an image first: pad with black, normalize, scale.

    Args:
        mean: of each channel, for images in 0..1.
        std: of each channel.
        pad: pixels added at each side.
        sizing: how images are scaled and padded; `None`: by `pad` alone.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], pad: int = 0, sizing: Sizing | None = None):
        super().__init__()
        # Not persistent: they are no weights, and come with the teacher's name.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1) * 255, persistent=False)
        self.sizing = sizing or Sizing(margin=pad)

    def forward(self, images: Images, scaled: Size | None = None) -> Tensor:
        """Takes uint8 images; returns float32 (N, C, H', W'), channels last in memory.

        Images of one size give the same result together as each alone. Others are padded at the right and at the
        bottom, which is for training.

        Args:
            images: as they came.
            scaled: what images of one size are scaled to, for graphs that can't work it out; `None`: as sizing says.
        """
        if isinstance(images, Tensor):
            # One image tells the size of all, so that a traced graph takes batches of any number.
            size = self.frame(images[:1]).scaled[0] if scaled is None else scaled
            return self._padded(self._scaled(images, size), *self.sizing.padded(size))
        frame = self.frame(images)
        each = zip(images, frame.scaled, strict=True)
        return torch.cat([self._padded(self._scaled(image[None], size), *frame.padded) for image, size in each])

    def frame(self, images: Images) -> Frame:
        """The sizes of images before and after."""
        return self.sizing.frame(image_sizes(images))

    def _scaled(self, images: Tensor, size: Size) -> Tensor:
        framed = nn.functional.pad(images, (self.sizing.margin,) * 4)
        normalized = (framed - self.mean) / self.std
        if self.sizing.shorter is None:
            return normalized
        return nn.functional.interpolate(normalized, size=size, mode="bilinear", align_corners=False)

    def _padded(self, images: Tensor, height: int, width: int) -> Tensor:
        added = (0, width - images.shape[-1], 0, height - images.shape[-2])
        return nn.functional.pad(images, added).contiguous(memory_format=torch.channels_last)


@dataclass
class BackboneConfig(TeacherConfig):
    """Options of teachers that can start with layers of others."""

    backbone: Annotated[
        str | None,
        Doc("A model registered here whose packaged layers are what one with random weights starts with."),
        TEACHERS,
    ] = None

    def problems(self) -> dict[str, str]:
        """A backbone beside weights that have their own."""
        if self.backbone is not None and self.weights != "random":
            return {"backbone": f"'{self.backbone}' goes with teacher.weights=random; set that, or leave it out"}
        return super().problems()


class Teacher(nn.Module):
    """A reference model with the preprocessing that it was trained with.

    Args:
        preprocess: uint8 images to the chain's input.
        chain: the model's layers.
        head: makes predictions of the layers' outputs; `None`: for a classifier, whose last layer gives logits.
        input_size: (C, H, W) of the images that the model was made for; `None`: those of its data set.
        resize: length of an image's shorter side before its centre is cut out, in pixels; `None`: not resized.
        interpolation: of that resizing ("bilinear", "bicubic", ...).
    """

    def __init__(
        self,
        preprocess: Preprocess,
        chain: Chain,
        input_size: tuple[int, int, int] | None = None,
        resize: int | None = None,
        interpolation: str | None = None,
        head: Head | None = None,
    ):
        super().__init__()
        self.preprocess = preprocess
        self.chain = chain
        self.head = LastLayer() if head is None else head
        self.input_size = input_size
        self.resize = resize
        self.interpolation = interpolation
        # What its library needs to build it again beside the configuration, JSON-ready; see `Library.bare`.
        self.built_as: dict[str, Any] = {}

    @property
    def classes(self) -> int | None:
        """How many classes it tells apart, background included; `None` if that can't be seen."""
        *_, last = self.chain.children()
        return self.head.classes or getattr(last, "out_features", None)

    @property
    def learned_head(self) -> nn.Module:
        """What to train with a frozen body: the head, or, of a classifier, the last layer that has parameters."""
        layers = [layer for layer in (*self.chain.children(), self.head) if next(layer.parameters(), None) is not None]
        return layers[-1]

    def outputs(self, images: Images, wanted: Collection[str] = ()) -> tuple[Any, dict[str, Tensor]]:
        """Takes uint8 images; returns the head's prediction and the outputs of the wanted layers by name.

        Raises:
            InputError: no image, or some that are not uint8.
        """
        check_any_images(images)
        last, outputs = self.chain.outputs(self.preprocess(images), {*wanted, *self.head.needs})
        prediction = self.head(last, outputs, self.preprocess.frame(images))
        return prediction, {name: output for name, output in outputs.items() if name in wanted}

    def forward(self, images: Images) -> Any:
        """Takes uint8 images; returns final predictions, for a classifier logits (N, classes)."""
        return final(self.outputs(images)[0])
