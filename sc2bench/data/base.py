"""What a data set is here: uint8 images with targets, fetched a batch at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sc2bench.core.processes import Batches
from sc2bench.data.fingerprints import digest
from sc2bench.data.loading import PATIENCE_SECONDS, PixelLimit, bounded_batches, collate, default_workers
from sc2bench.data.parts import part_of
from sc2bench.wire.inputs import ImageSpec

# Images and targets. Where all images are of one size and have one class each: uint8 (N, C, H, W) and int64 (N,).
# Sets of another kind give sequences; nothing here but `MemoryImages` asks for more than that both can be indexed.
Batch = tuple[Any, Any]
# How many samples a fingerprint covers, of sets that say nothing better.
_LOOKED_AT = 64


class ImageSet(Dataset[Batch], ABC):
    """Images with targets; where they come from is up to the subclasses.

    Args:
        classes: names of the classes, in the order of their indices.
        in_random_order: whether the samples are in random order, so that the first ones are a fair part.
    """

    # Whether fetching a batch reads files, so that other processes had better do it.
    reads_files = False
    # The indices of the classes that occur, where the classes are those of a larger set, such as ImageNet's.
    occurring: tuple[int, ...] | None = None

    def __init__(self, classes: Sequence[str], in_random_order: bool = False):
        self.classes = tuple(classes)
        self.in_random_order = in_random_order

    @property
    @abstractmethod
    def spec(self) -> ImageSpec:
        """What one image is that a model gets."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Fetches a whole batch at once; PyTorch's loader calls this where it exists."""

    @abstractmethod
    def subset(self, indices: np.ndarray) -> "ImageSet":
        """The samples at `indices`, int64 (n,), sorted."""

    @property
    def strata(self) -> np.ndarray | None:
        """Int64, (N,): the class of each sample, where each has one; a part has its share of each."""
        return None

    def part(self, samples: int | None) -> "ImageSet":
        """A fixed part of `samples` samples that stands for the whole set, or all for `None` or if there are no more.

        It has its share of each class, and is spread over all samples; of a set in random order it is the first ones.
        A smaller part lies within a larger one.
        """
        if samples is None or samples >= len(self):
            return self
        if self.in_random_order:
            return self.subset(np.arange(samples))
        return self.subset(part_of(len(self), samples, self.strata))

    @property
    def fingerprint(self) -> str:
        """Names what the set holds, as 16 hexadecimal digits: results on equal ones may be shared.

        It covers the number of samples, the classes, and the content of samples spread over all. Sets that know better
        what they hold say it.
        """
        contents = (
            part for index in np.linspace(0, len(self) - 1, _LOOKED_AT).astype(int) for part in self[int(index)]
        )
        return digest(str(len(self)), *self.classes, *map(_as_bytes, contents))

    def image_size(self, index: int) -> tuple[int, int]:
        """(H, W) of one image; the image is read if they vary and nothing else says it."""
        if self.spec.size is not None:
            return self.spec.size
        height, width = self[index][0].shape[-2:]
        return height, width

    def __getitem__(self, index: int | slice) -> Batch:
        """One sample, or the batch of a slice."""
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return self.__getitems__(chosen)
        images, targets = self.__getitems__([chosen])
        return images[0], targets[0]

    def sample(self, count: int) -> Any:
        """The images of a part as a batch; for sets of one size uint8 (N, C, H, W)."""
        return self.part(count)[:][0]

    def in_training(self, sampler: "EpochSampler") -> "ImageSet":
        """What a training loader reads: this set, or one whose images vary with the sampler's seed and epoch."""
        return self

    def loader(
        self,
        batch_size: int,
        *,
        sampler: "EpochSampler | None" = None,
        workers: int | None = 0,
        limit: PixelLimit | None = None,
    ) -> "DataLoader[Batch]":
        """Batches of images and targets; `watching` is what to go through them in.

        Args:
            batch_size: samples in each.
            sampler: gives the order to train in, without a short last batch; `None`: all samples in their own order.
            workers: processes that fetch; 0: this one; `None`: as many as suit the machine, where files are read.
            limit: the most pixels of a batch, which then may have fewer samples; for samples in their own order.
        """
        source = self if sampler is None else self.in_training(sampler)
        order: dict[str, Any] = {"batch_size": batch_size, "sampler": sampler, "drop_last": sampler is not None}
        count = -(-len(self) // batch_size)
        if limit is not None and sampler is None:
            sizes = (limit.scaled(self.image_size(index)) for index in range(len(self)))
            batches = bounded_batches(sizes, batch_size, limit.pixels)
            order, count = {"batch_sampler": Batches(batches)}, len(batches)
        if workers is None:
            workers = default_workers(count) if self.reads_files else 0
        return DataLoader(
            source,
            **order,
            num_workers=workers,
            collate_fn=collate,
            timeout=PATIENCE_SECONDS if workers else 0,
            # The thread that pins what workers send can't be stopped while one of them dies in the middle of a batch.
            pin_memory=torch.cuda.is_available() and not workers,
            # A worker that outlives an epoch never hears of the next one's number.
            persistent_workers=workers > 0 and source is self,
        )


class MemoryImages(ImageSet):
    """Images of one size, held in memory.

    Args:
        images: uint8, (N, C, H, W).
        targets: int64, (N,), class indices.
        classes: names of the classes, in the order of their indices.
        in_random_order: whether the samples are in random order.
    """

    def __init__(self, images: Tensor, targets: Tensor, classes: Sequence[str], in_random_order: bool = False):
        super().__init__(classes, in_random_order)
        self.images = images
        self.targets = targets

    @property
    def spec(self) -> ImageSpec:
        """Of every image."""
        return ImageSpec.from_list(self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Copies the samples at `indices`."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return self.images[chosen], self.targets[chosen]

    @property
    def fingerprint(self) -> str:
        """Of all images, targets and classes."""
        return digest(*self.classes, self.images.numpy(), self.targets.numpy())

    @property
    def strata(self) -> np.ndarray:
        """The targets."""
        return self.targets.numpy()

    def subset(self, indices: np.ndarray) -> "MemoryImages":
        """The samples at `indices`; without a copy, if they are the first ones."""
        first = len(indices) == 0 or indices[-1] == len(indices) - 1
        chosen = slice(len(indices)) if first else torch.from_numpy(indices)
        return MemoryImages(self.images[chosen], self.targets[chosen], self.classes, self.in_random_order)


class ManyTargets(ImageSet):
    """The same images with the targets of several tasks, a dictionary a sample.

    Args:
        parts: by the name of the task; all have the same images in the same order. The classes are those of the first.
        fingerprint: of all of them; `None`: it is made of theirs.
    """

    def __init__(self, parts: Mapping[str, ImageSet], fingerprint: str | None = None):
        self.parts = dict(parts)
        self._fingerprint = fingerprint
        self._first, *_ = self.parts.values()
        self.occurring = self._first.occurring
        super().__init__(self._first.classes, all(part.in_random_order for part in self.parts.values()))
        self.reads_files = any(part.reads_files for part in self.parts.values())

    @property
    def spec(self) -> ImageSpec:
        """Of the images."""
        return self._first.spec

    def __len__(self) -> int:
        return len(self._first)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Fetches the samples at `indices`."""
        batches = {name: part.__getitems__(indices) for name, part in self.parts.items()}
        images, _ = next(iter(batches.values()))
        columns = zip(*(targets for _, targets in batches.values()), strict=True)
        return images, [dict(zip(batches, column, strict=True)) for column in columns]

    @property
    def fingerprint(self) -> str:
        """As it was given, or of what each task sees."""
        return self._fingerprint or digest(
            *(part for name, each in self.parts.items() for part in (name, each.fingerprint))
        )

    @property
    def strata(self) -> np.ndarray | None:
        """Those of the first task."""
        return self._first.strata

    def image_size(self, index: int) -> tuple[int, int]:
        """(H, W) of one image."""
        return self._first.image_size(index)

    def subset(self, indices: np.ndarray) -> "ManyTargets":
        """The samples at `indices`, of all tasks."""
        return ManyTargets({name: part.subset(indices) for name, part in self.parts.items()})


class EpochSampler(Sampler[int]):
    """A random order that depends on nothing but seed and epoch, so that a resumed run sees the same batches.

    Args:
        count: number of samples.
        seed: of the run.
    """

    def __init__(self, count: int, seed: int):
        self.count = count
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed((self.seed << 20) + self.epoch)
        return iter(torch.randperm(self.count, generator=generator).tolist())


def _as_bytes(value: Any) -> bytes | np.ndarray:
    """A tensor, or a target of another kind, as what can be hashed."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, Mapping):
        return digest(*(part for key in sorted(value) for part in (str(key), _as_bytes(value[key])))).encode()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return digest(*map(_as_bytes, value)).encode()
    return repr(value).encode()
