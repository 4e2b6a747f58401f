"""Images of varied size to squares of one size, as models for ImageNet are trained and measured."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop, functional

# The share of the area and the width over height that a random crop may have (Szegedy et al. 2015).
SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)


class Crops:
    """Cuts squares out of RGB images, with torchvision's arithmetic on Pillow's images.

    Published accuracies were measured so; other ways to resize differ by tenths of a percent.

    Args:
        resize: length of the shorter side before the central crop; at least `crop`.
        crop: side of the square.
        interpolation: of Pillow's filters the name, such as "bilinear".
    """

    def __init__(self, resize: int, crop: int, interpolation: str = "bilinear"):
        self.resize = resize
        self.crop = crop
        self._interpolation = InterpolationMode(interpolation)

    def central(self, image: Image.Image) -> Tensor:
        """Resizes the shorter side, up or down, and cuts out the middle; uint8 (3, crop, crop)."""
        resized = functional.resize(image, [self.resize], self._interpolation)
        return functional.pil_to_tensor(functional.center_crop(resized, [self.crop]))

    def random(self, image: Image.Image, key: Sequence[int]) -> Tensor:
        """Cuts out a random rectangle and resizes it; uint8 (3, crop, crop).

        Args:
            image: in RGB.
            key: non-negative numbers that the choice depends on, and on nothing else.
        """
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        # Torchvision draws from the global generator, which must not notice; no CUDA generator is concerned.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            box = RandomResizedCrop.get_params(image, list(SCALE), list(RATIO))
        cut = functional.resized_crop(image, *box, [self.crop, self.crop], self._interpolation)
        return functional.pil_to_tensor(cut)
