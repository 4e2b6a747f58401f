"""Data sets and what is done to their samples before a model sees them."""

from sc2bench.data.augmentations import augment
from sc2bench.data.base import Batch, EpochSampler, ImageSet, ManyTargets, MemoryImages
from sc2bench.data.loading import PixelLimit, watching
from sc2bench.data.opening import checked_fingerprint, fingerprint_of, load_dataset, spec_of
from sc2bench.data.parts import in_random_order

__all__ = [
    "Batch",
    "EpochSampler",
    "ImageSet",
    "ManyTargets",
    "MemoryImages",
    "PixelLimit",
    "augment",
    "checked_fingerprint",
    "fingerprint_of",
    "in_random_order",
    "load_dataset",
    "spec_of",
    "watching",
]
