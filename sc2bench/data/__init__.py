"""Data sets and what is done to their samples before a model sees them."""

from sc2bench.data.base import Batch, EpochSampler, ImageSet, ManyTargets, MemoryImages, augment, load_dataset

__all__ = ["Batch", "EpochSampler", "ImageSet", "ManyTargets", "MemoryImages", "augment", "load_dataset"]
