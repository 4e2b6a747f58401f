"""Batches from processes that read files: how many, what goes between them, and what is said when one dies."""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from sc2bench.core.errors import DataError, Sc2benchError
from sc2bench.core.processes import processors

MAX_WORKERS = 8
# No batch takes so long; workers that send nothing for as long never will.
PATIENCE_SECONDS = 900


class LoaderError(DataError):
    """Processes that read the data can't be started, died, or say nothing any more."""


def default_workers(batches: int) -> int:
    """How many processes read files beside this one, where nobody says: one for each processor that is left.

    Args:
        batches: that are read in one pass; the first one has nothing to be read beside.
    """
    # `torchrun` and `accelerate launch` say how many processes share this machine.
    sharing = os.environ.get("LOCAL_WORLD_SIZE", "1")
    available = processors() // max(int(sharing) if sharing.isdigit() else 1, 1)
    return max(min(available - 1, MAX_WORKERS, batches - 1), 0)


@dataclass(frozen=True)
class PixelLimit:
    """How large a batch may be.

    Attributes:
        pixels: the most of a batch; of its highest times its widest image times their number.
        scaled: (height, width) that a network makes of that of an image.
    """

    pixels: int
    scaled: Callable[[tuple[int, int]], tuple[int, int]] = lambda size: size


def bounded_batches(sizes: Iterable[tuple[int, int]], batch_size: int, max_pixels: int) -> list[list[int]]:
    """Cuts samples, in their order, into batches; one with more pixels than a batch may have is a batch of its own.

    Args:
        sizes: (height, width) of each sample.
        batch_size: the most samples of a batch.
        max_pixels: the most pixels, with what is added to pad all to one size.
    """
    batches: list[list[int]] = []
    height = width = 0
    for index, own in enumerate(sizes):
        height, width = max(height, own[0]), max(width, own[1])
        full = not batches or len(batches[-1]) == batch_size
        if full or (len(batches[-1]) + 1) * height * width > max_pixels:
            batches.append([])
            height, width = own
        batches[-1].append(index)
    return batches


def collate(batch: Any) -> Any:
    """What a loader makes of a fetched batch: nothing, but a worker wraps it for its way to the main process."""
    return batch if get_worker_info() is None else _Parcel(batch)


class _Parcel:
    """A batch on its way out of a worker; the main process receives the batch itself.

    PyTorch would send each tensor through shared memory: a descriptor a tensor, of which a process may have 1,024 on
    most systems, and room in `/dev/shm`, of which containers have 64 MB. What fails there, fails in a thread, and the
    main process waits for ever. Bytes through the pipe need neither; they are made here, where an error is told.
    """

    def __init__(self, batch: Any):
        self._bytes = pickle.dumps(_packed(batch), protocol=5)

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return _opened, (self._bytes,)


def _opened(data: bytes) -> Any:
    return _unpacked(pickle.loads(data))


def _packed(value: Any) -> Any:
    """Tensors as arrays, which are pickled in one piece; those of kinds that NumPy has not, PyTorch pickles itself."""
    if type(value) is Tensor:
        try:
            return _Array(value.numpy(force=True))
        except TypeError:
            return value
    return _mapped(value, _packed)


def _unpacked(value: Any) -> Any:
    return torch.from_numpy(value.values) if isinstance(value, _Array) else _mapped(value, _unpacked)


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    if type(value) is dict:
        return {key: function(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(function, value))
    return value


@dataclass(frozen=True)
class _Array:
    """Marks what was a tensor, for a batch may have arrays of its own."""

    values: np.ndarray


@contextmanager
def watching(loader: Any) -> Iterator[Iterator[Any]]:
    """Gives the batches of a loader; within it, that the loader's workers can't go on is told in a sentence.

    That a worker died may be noticed at any moment, also while a batch is worked on, so that all of it is within.

    Args:
        loader: PyTorch's `DataLoader`, or what Accelerate has made of one.

    Raises:
        LoaderError: workers can't be started, died, or say nothing any more.
        DataError: what the data set itself raised.
    """
    workers = getattr(loader, "num_workers", 0)
    try:
        yield _batches(loader, workers)
    except RuntimeError as error:
        if type(error) is not RuntimeError or not str(error).startswith(_SAID):
            raise
        reason = str(error).partition(". ")[0].strip()
        raise LoaderError(
            f"a process that reads data can't go on ({reason}), perhaps for want of memory; {_remedy(workers)}"
        ) from error


# How PyTorch's sentences about its workers begin.
_SAID = ("DataLoader worker", "DataLoader timed out", "Too many open files. Communication with the workers")


def _batches(loader: Any, workers: int) -> Iterator[Any]:
    try:
        if workers:
            # As much as PyTorch will want for them; what it can't finish to start, it can't take down without noise.
            queues = [get_context().Queue() for _ in range(2 * workers + 1)]
            for queue in queues:
                queue.close()
        yield from loader
    except (OSError, MemoryError) as error:
        if not workers:
            raise
        raise LoaderError(f"a process that reads data failed: {_sentence(error)}; {_remedy(workers)}") from error
    except Sc2benchError as error:
        # Of a worker's error PyTorch gives the traceback, whose last entry is the error itself.
        if str(error).startswith("Caught "):
            raise type(error)(_sentence(error)) from error
        raise


def _sentence(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    reason = getattr(error, "strerror", None) or str(error).rpartition(f"{name}: ")[2].strip()
    return " ".join(reason.splitlines()[-1:]) or kind.__name__


def _remedy(workers: int) -> str:
    return f"set workers lower than {workers}, or raise what is short (ulimit -n, ulimit -u, memory, /dev/shm)"
