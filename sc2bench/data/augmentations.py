"""Augmentations of images of one size, a batch at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sc2bench.core.registry import AUGMENTATIONS


def augment(images: Tensor, names: Sequence[str]) -> Tensor:
    """Applies augmentations by name to a batch of images, uint8 (N, C, H, W)."""
    for name in names:
        images = AUGMENTATIONS[name](images)
    return images


@AUGMENTATIONS.register("flip")
def flip(images: Tensor) -> Tensor:
    """Mirrors each image left to right with probability one half."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(chosen, images.flip(-1), images)


@AUGMENTATIONS.register("shift")
def shift(images: Tensor) -> Tensor:
    """Moves each image by up to two pixels along each axis; what comes in is black."""
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    count, _, height, width = images.shape
    top, left = torch.randint(0, 5, (2, count, 1, 1, 1), device=images.device)
    rows = top + torch.arange(height, device=images.device).view(1, 1, -1, 1)
    columns = left + torch.arange(width, device=images.device).view(1, 1, 1, -1)
    sample = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(images.shape[1], device=images.device).view(1, -1, 1, 1)
    return padded[sample, channel, rows, columns]


@AUGMENTATIONS.register("erase")
def erase(images: Tensor) -> Tensor:
    """Blackens one square of each image, a quarter of its height wide, half of the time (DeVries and Taylor 2017)."""
    count, _, height, width = images.shape
    side = max(height // 4, 1)
    top = torch.randint(0, height - side + 1, (count, 1, 1, 1), device=images.device)
    left = torch.randint(0, width - side + 1, (count, 1, 1, 1), device=images.device)
    row = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    column = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    inside = (row >= top) & (row < top + side) & (column >= left) & (column < left + side)
    inside &= torch.rand(count, 1, 1, 1, device=images.device) < 0.5
    return images.masked_fill(inside, 0)
