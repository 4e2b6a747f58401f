"""Data sets and what is done to their samples before a model sees them."""

from sc2bench.data.base import Batch, EpochSampler, ImageSet, ManyTargets, MemoryImages, augment, load_dataset
from sc2bench.data.loading import PixelLimit, watching

__all__ = [
    "Batch",
    "EpochSampler",
    "ImageSet",
    "ManyTargets",
    "MemoryImages",
    "PixelLimit",
    "augment",
    "load_dataset",
    "watching",
]
