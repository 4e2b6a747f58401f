"""Images of varied sizes, each with a target of its own kind: what detection and segmentation read."""

from collections.abc import Sequence
from copy import copy
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from sc2bench.data.base import Batch, EpochSampler, ImageSet
from sc2bench.data.fingerprints import digest
from sc2bench.wire.inputs import ImageSpec

# More pixels a side than any data set has that we know of; a stray panorama would take the memory of a whole batch.
MAX_SIDE = 8192


class Source(Protocol):
    """Samples as they lie in files: an RGB image and its annotation.

    One that knows how large an image is before it is decoded says so with `image_size(index)`, (H, W). A presentation
    that makes another size of it has an `image_size`, too, of the size as it was.
    """

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
        in_random_order: whether the samples are in random order.
        fingerprint: of what the source holds; `None`: the source says it (`fingerprint`), or it is made of samples.
    """

    def __init__(
        self,
        classes: Sequence[str],
        source: Source,
        present: Presentation,
        in_random_order: bool = False,
        fingerprint: str | None = None,
    ):
        super().__init__(classes, in_random_order)
        self._fingerprint = fingerprint
        self.source = source
        self._present = present
        # Of the samples the places in the source.
        self._places = np.arange(len(source))
        self._sampler: EpochSampler | None = None
        # Workers would each decode and keep their own.
        self.reads_files = not isinstance(source, Remembered)

    @property
    def spec(self) -> ImageSpec:
        """Colour, in no common size."""
        return ImageSpec(3)

    def __len__(self) -> int:
        return len(self._places)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Reads files; raises `ImageError` that names a damaged one."""
        samples = [self._sample(index) for index in indices]
        return [image for image, _ in samples], [target for _, target in samples]

    def image_size(self, index: int) -> tuple[int, int]:
        """(H, W) of one image as it is presented outside of training; decoded only if the source can't tell."""
        if not hasattr(self.source, "image_size"):
            return super().image_size(index)
        size = self.source.image_size(int(self._places[index]))
        return self._present.image_size(size) if hasattr(self._present, "image_size") else size

    @property
    def fingerprint(self) -> str:
        """As it was given, or of classes and source."""
        if self._fingerprint is not None:
            return self._fingerprint
        found = getattr(self.source, "fingerprint", None)
        return super().fingerprint if found is None else digest(*self.classes, found)

    def subset(self, indices: np.ndarray) -> "VariedImages":
        """The samples at `indices`; no file is read."""
        part = copy(self)
        part._places = self._places[indices]
        return part

    def in_training(self, sampler: EpochSampler) -> "VariedImages":
        """The same samples, presented anew each epoch."""
        part = copy(self)
        part._sampler = sampler
        return part

    def _sample(self, index: int) -> tuple[Tensor, Any]:
        sampler = self._sampler
        random = None if sampler is None else np.random.default_rng((sampler.seed, sampler.epoch, index))
        return self._present(*self.source[int(self._places[index])], random)


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
