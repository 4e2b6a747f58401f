"""What a data set is here: uint8 images with targets, fetched a batch at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sc2bench.config import TaskConfig
from sc2bench.errors import DataError
from sc2bench.registry import AUGMENTATIONS, DATASETS

# Images and targets. Where all images are of one size and have one class each: uint8 (N, C, H, W) and int64 (N,).
# Sets of another kind give sequences; nothing here but `MemoryImages` asks for more than that both can be indexed.
Batch = tuple[Any, Any]


class ImageSet(Dataset[Batch], ABC):
    """Images with targets; where they come from is up to the subclasses.

    Args:
        classes: names of the classes, in the order of their indices.
    """

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that a model gets."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Fetches a whole batch at once; PyTorch's loader calls this where it exists."""

    @abstractmethod
    def first(self, samples: int | None) -> "ImageSet":
        """The first `samples` samples, or all for `None`."""

    def __getitem__(self, index: int | slice) -> Batch:
        """One sample, or the batch of a slice."""
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return self.__getitems__(chosen)
        images, targets = self.__getitems__([chosen])
        return images[0], targets[0]

    def sample(self, count: int) -> Any:
        """The first `count` images as a batch; for sets of one size uint8 (N, C, H, W)."""
        return self[:count][0]

    def in_training(self, sampler: "EpochSampler") -> "ImageSet":
        """What a training loader reads: this set, or one whose images vary with the sampler's seed and epoch."""
        return self

    def loader(
        self, batch_size: int, *, sampler: "EpochSampler | None" = None, workers: int = 0
    ) -> "DataLoader[Batch]":
        """Batches of images and targets.

        Args:
            batch_size: samples in each.
            sampler: gives the order to train in, without a short last batch; `None`: all samples in their own order.
            workers: processes that fetch; 0: this one.
        """
        source = self if sampler is None else self.in_training(sampler)
        return DataLoader(
            source,
            batch_size,
            sampler=sampler,
            drop_last=sampler is not None,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
            # A worker that outlives an epoch never hears of the next one's number.
            persistent_workers=workers > 0 and source is self,
        )


class MemoryImages(ImageSet):
    """Images of one size, held in memory.

    Args:
        images: uint8, (N, C, H, W).
        targets: int64, (N,), class indices.
        classes: names of the classes, in the order of their indices.
    """

    def __init__(self, images: Tensor, targets: Tensor, classes: Sequence[str]):
        super().__init__(classes)
        self.images = images
        self.targets = targets

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Copies the samples at `indices`."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return self.images[chosen], self.targets[chosen]

    def first(self, samples: int | None) -> "MemoryImages":
        """The first `samples` samples, or all for `None`, without a copy."""
        return MemoryImages(self.images[:samples], self.targets[:samples], self.classes)


class ManyTargets(ImageSet):
    """The same images with the targets of several tasks, a dictionary a sample.

    Args:
        parts: by the name of the task; all have the same images in the same order. The classes are those of the first.
    """

    def __init__(self, parts: Mapping[str, ImageSet]):
        self.parts = dict(parts)
        self._first, *_ = self.parts.values()
        super().__init__(self._first.classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images, or (C, 0, 0)."""
        return self._first.image_shape

    def __len__(self) -> int:
        return len(self._first)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Fetches the samples at `indices`."""
        batches = {name: part.__getitems__(indices) for name, part in self.parts.items()}
        images, _ = next(iter(batches.values()))
        columns = zip(*(targets for _, targets in batches.values()), strict=True)
        return images, [dict(zip(batches, column, strict=True)) for column in columns]

    def first(self, samples: int | None) -> "ManyTargets":
        """The first `samples` samples, or all for `None`."""
        return ManyTargets({name: part.first(samples) for name, part in self.parts.items()})


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


def _as_it_is(batch: Any) -> Any:
    return batch


def load_dataset(config: TaskConfig, split: str, samples: int | None = None) -> ImageSet:
    """Loads one split ("train", "validation" or "test") of the task's data set.

    Raises:
        ConfigError: a field of the task that this data set can't follow.
        DataError: missing or damaged files, or fewer samples than asked for.
    """
    dataset = _loaded(astuple(config), split)
    if samples is not None and samples > len(dataset):
        raise DataError(
            f"{config.dataset}/{split} has {len(dataset)} samples, but {samples} are asked for; ask for fewer"
        )
    return dataset.first(samples)


@cache
def _loaded(task: tuple[Any, ...], split: str) -> ImageSet:
    config = TaskConfig(*task)
    return DATASETS[config.dataset](config, split)


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
