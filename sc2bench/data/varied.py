"""Images of varied sizes, each with a target of its own kind: what detection and segmentation read."""

from collections.abc import Sequence
from copy import copy
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from sc2bench.data.base import Batch, EpochSampler, ImageSet

# More pixels a side than any data set has that we know of; a stray panorama would take the memory of a whole batch.
MAX_SIDE = 8192


class Source(Protocol):
    """Samples as they lie in files: an RGB image and its annotation."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]: ...


class Presentation(Protocol):
    """Makes the pair that a model sees of a sample: a uint8 tensor (3, H, W), and a target as the task wants it."""

    def __call__(self, image: Image.Image, annotation: Any, random: np.random.Generator | None) -> tuple[Tensor, Any]:
        """Presents one sample; `random` decides what varies in training, `None`: nothing varies."""


class VariedImages(ImageSet):
    """Images whose sizes differ; a batch is a list of tensors, uint8 (3, H, W), and a list of targets.

    In training (a loader with a sampler) the presentation varies. It then depends only on the sampler's seed and epoch
    and on the sample's index, so that neither workers nor resuming change it.

    Args:
        classes: names of the classes, in the order of their indices.
        source: the samples.
        present: makes tensors of them.
    """

    def __init__(self, classes: Sequence[str], source: Source, present: Presentation):
        super().__init__(classes)
        self.source = source
        self._present = present
        self._count = len(source)
        self._sampler: EpochSampler | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, 0, 0): colour, in no common size."""
        return 3, 0, 0

    def __len__(self) -> int:
        return self._count

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Reads files; raises `ImageError` that names a damaged one."""
        samples = [self._sample(index) for index in indices]
        return [image for image, _ in samples], [target for _, target in samples]

    def first(self, samples: int | None) -> "VariedImages":
        """The first `samples` samples, or all for `None`; no file is read."""
        part = copy(self)
        part._count = len(range(self._count)[:samples])
        return part

    def in_training(self, sampler: EpochSampler) -> "VariedImages":
        """The same samples, presented anew each epoch."""
        part = copy(self)
        part._sampler = sampler
        return part

    def _sample(self, index: int) -> tuple[Tensor, Any]:
        sampler = self._sampler
        random = None if sampler is None else np.random.default_rng((sampler.seed, sampler.epoch, index))
        return self._present(*self.source[index], random)


class Remembered:
    """A source that reads each sample once and keeps it, decoded: four bytes a pixel, and one for a mask's.

    Args:
        source: what is read.
    """

    def __init__(self, source: Source):
        self.source = source
        self._kept: dict[int, tuple[Image.Image, Any]] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]:
        """The sample as it was first read."""
        if index not in self._kept:
            self._kept[index] = self.source[index]
        return self._kept[index]
