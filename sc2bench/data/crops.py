"""Images of varied size to squares of one size, as models for ImageNet are trained and measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import numpy as np
import torch
from annotated_doc import Doc
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop, functional

from sc2bench.config import TaskConfig, option

# The share of the area and the width over height that a random crop may have (Szegedy et al. 2015).
SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)

Square = TypeVar("Square", Tensor, np.ndarray)
# Those of Pillow.
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


@dataclass
class SizesConfig(TaskConfig):
    """Options of data sets of files whose images are brought to a size."""

    resize: Annotated[
        int | None,
        Doc(
            "Pixels that the shorter side is resized to; null: the data set's own size, and for segmentation images "
            "stay as they are."
        ),
    ] = option(None, least=1)
    crop: Annotated[
        int | None,
        Doc(
            "Pixels of the square that is cut out of the middle, in training out of a random place; null: the data "
            "set's own size. For segmentation nothing is cut out but in training."
        ),
    ] = option(None, least=1)
    interpolation: Annotated[str, Doc("How images are resized: one of Pillow's filters."), INTERPOLATIONS] = "bilinear"

    def problems(self) -> dict[str, str]:
        """A crop of a smaller image, which would have black margins."""
        if self.resize is not None and self.crop is not None and self.resize < self.crop:
            return {"resize": f"{self.resize} is below the least value, {self.crop}"}
        return super().problems()


class Crops:
    """Cuts squares out of RGB images, with torchvision's arithmetic on Pillow's images.

    Published accuracies were measured so; other ways to resize differ by tenths of a percent.

    Args:
        resize: length of the shorter side before the central crop; at least `crop`.
        crop: side of the square.
        interpolation: of Pillow's filters the name, such as "bilinear".
        window: side of the squares that training sees, at most `resize`; `None`: `crop`, of random scale and shape.
    """

    def __init__(self, resize: int, crop: int, interpolation: str = "bilinear", window: int | None = None):
        self.resize = resize
        self.crop = crop
        self.window = window
        self.interpolation = interpolation
        self._interpolation = InterpolationMode(interpolation)

    def central(self, image: Image.Image) -> Tensor:
        """Resizes the shorter side, up or down, and cuts out the middle; uint8 (3, crop, crop)."""
        return self._middle(image, self.crop)

    def square(self, image: Image.Image) -> Tensor:
        """Resizes the shorter side and cuts out the largest middle; uint8 (3, resize, resize)."""
        return self._middle(image, self.resize)

    def central_of(self, square: Square) -> Square:
        """What `central` gives, out of what `square` gave, if their sides differ by a multiple of 4."""
        start = (self.resize - self.crop) // 2
        return square[:, start : start + self.crop, start : start + self.crop]

    def window_of(self, square: Square, key: Sequence[int]) -> Square:
        """A random window of what `square` gave, (3, window, window); the choice depends on `key` alone."""
        assert self.window is not None
        top, left = np.random.default_rng(tuple(key)).integers(0, self.resize - self.window + 1, 2).tolist()
        return square[:, top : top + self.window, left : left + self.window]

    @property
    def training_side(self) -> int:
        """Side of the squares that training sees."""
        return self.window or self.crop

    def _middle(self, image: Image.Image, side: int) -> Tensor:
        resized = functional.resize(image, [self.resize], self._interpolation)
        return functional.pil_to_tensor(functional.center_crop(resized, [side]))

    def random(self, image: Image.Image, key: Sequence[int]) -> Tensor:
        """Cuts out a random rectangle and resizes it, or a window; uint8 (3, training_side, training_side).

        Args:
            image: in RGB.
            key: non-negative numbers that the choice depends on, and on nothing else.
        """
        if self.window is not None:
            return self.window_of(self.square(image), key)
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        # Torchvision draws from the global generator, which must not notice; no CUDA generator is concerned.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            box = RandomResizedCrop.get_params(image, list(SCALE), list(RATIO))
        cut = functional.resized_crop(image, *box, [self.crop, self.crop], self._interpolation)
        return functional.pil_to_tensor(cut)
