"""What a teacher is: a chain of stages, and what is done to an image before it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sc2bench.chain import Chain


class Preprocess(nn.Module):
    """What every model does to an image first: pad with black, scale to 0..1, normalize.

    Args:
        mean: of each channel, for images in 0..1.
        std: of each channel.
        pad: pixels added at each side.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], pad: int = 0):
        super().__init__()
        # Not persistent: they are no weights, and come with the teacher's name.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1) * 255, persistent=False)
        self.pad = pad

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 (N, C, H, W); returns float32 (N, C, H + 2 pad, W + 2 pad), channels last in memory."""
        padded = nn.functional.pad(images, (self.pad,) * 4)
        return ((padded - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


class Teacher(nn.Module):
    """A reference model with the preprocessing that it was trained with.

    Args:
        preprocess: uint8 images to the chain's input.
        chain: the model.
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
    ):
        super().__init__()
        self.preprocess = preprocess
        self.chain = chain
        self.input_size = input_size
        self.resize = resize
        self.interpolation = interpolation

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 (N, C, H, W); returns logits (N, classes)."""
        return self.chain(self.preprocess(images))
