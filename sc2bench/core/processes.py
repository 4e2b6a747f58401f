"""Several processes that work on one experiment together, as `accelerate launch` and Slurm start them.

Everything here works in a single process too, where it costs nothing. What is called in one process must be called in
all, in the same order: most functions wait for the others.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import zip_longest
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import InitProcessGroupKwargs, parse_flag_from_env
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Sampler

from sc2bench.core.errors import CheckpointError, ConfigError, OutputError, Sc2benchError, TrainingError
from sc2bench.core.state import load_state, unique_state

Value = TypeVar("Value")
# Processes wait for each other while one of them measures slow codecs; that one died is noticed by who started them.
_PATIENCE = timedelta(days=1)


class ProcessError(Sc2benchError):
    """Another of the processes failed."""


class Diverged(Sc2benchError):
    """One process failed where the others wait for it, so that all must end."""


def start() -> None:
    """Joins the processes that were started together; nothing to do for a lone one, or a second time."""
    if PartialState._shared_state:
        return
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    forced = parse_flag_from_env("ACCELERATE_USE_CPU")
    # Accelerate joins processes on the processor only if it is told that there is nothing better.
    on_processor = forced or (launched > 1 and not torch.accelerator.is_available())
    if launched == 1 and "MASTER_ADDR" in os.environ and "ACCELERATE_MIXED_PRECISION" in os.environ:
        print(
            "warning: `accelerate launch` has started a single process; without MPI it starts more on the processor "
            "only if it is given --multi_gpu, and not --cpu",
            file=sys.stderr,
        )
    options = InitProcessGroupKwargs(timeout=_PATIENCE).to_kwargs() if launched > 1 else {}
    if launched > 1 and not on_processor and torch.cuda.is_available():
        # Metrics gather states that lie on the host.
        options["backend"] = "cuda:nccl,cpu:gloo"
    PartialState(on_processor, **options)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    # Neither macOS nor Windows has it.
    return os.cpu_count() or 1


def count() -> int:
    """How many processes work together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def index() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if count() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that writes and talks."""
    return index() == 0


def gather(value: Value) -> list[Value]:
    """The values of all processes, in their order, in each of them."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return values


def from_main(function: Callable[[], Value]) -> Value:
    """Calls `function` in the main process alone; its result, or its error, comes out of all."""
    if count() == 1:
        return function()
    outcome: list[Any] = [None, None]
    own: Exception | None = None
    if is_main():
        try:
            outcome[0] = function()
        except Exception as error:
            own = error
            outcome[1] = error if isinstance(error, Sc2benchError) else ProcessError(describe(error))
    distributed.broadcast_object_list(outcome, src=0)
    if own is not None:
        raise own
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def together(function: Callable[[], Value]) -> Value:
    """Calls `function`, in which no process waits for another, in all; if it fails in one, all go on with an error.

    Raises:
        ProcessError: it failed in another process; the sentence says which and why.
    """
    if count() == 1:
        return function()
    own: Exception | None = None
    value: Any = None
    try:
        value = function()
    except Exception as error:
        own = error
    sentences = gather(None if own is None else describe(own))
    if own is not None:
        raise own
    for number, sentence in enumerate(sentences):
        if sentence is not None:
            raise ProcessError(f"process {number} failed: {sentence}")
    return value


def in_step(function: Callable[[], Value]) -> Value:
    """Calls `function`, in which processes do wait for each other.

    Raises:
        Diverged: it failed in a way that others may not have shared: they wait, so going on is impossible.
    """
    try:
        return function()
    except (ConfigError, CheckpointError, OutputError, TrainingError, ProcessError):
        # What is configured, and what comes out of `from_main`, is the same everywhere.
        raise
    except Exception as error:
        if count() == 1:
            raise
        raise Diverged(describe(error)) from error


def describe(error: BaseException) -> str:
    """An error in one sentence; of those that are not ours, with its type."""
    return str(error) if isinstance(error, Sc2benchError) else f"{type(error).__name__}: {error}"


def share_state(module: nn.Module) -> None:
    """Gives all processes the main one's parameters and buffers, also such whose sizes were learned."""
    if count() == 1:
        return
    state = from_main(lambda: {name: tensor.cpu() for name, tensor in unique_state(module).items()})
    if not is_main():
        load_state(module, state, "of the main process")


def total(*values: Tensor | float) -> list[float]:
    """Each value summed over the processes, in double precision."""
    numbers = [float(value) for value in values]
    return [sum(column) for column in zip(*gather(numbers), strict=True)]


def summed(values: Tensor) -> Tensor:
    """A tensor summed over the processes, without gradients, on its device."""
    if count() == 1:
        return values
    values = values.detach().clone()
    distributed.all_reduce(values)
    return values


class Batches(Sampler[list[int]]):
    """Fixed batches of indices."""

    def __init__(self, batches: Sequence[list[int]]):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def whole_batches(loader: "DataLoader[Any]") -> "DataLoader[Any]":
    """Deals a loader's batches out to the processes in turn.

    Batches are not cut: networks round differently for batches of another size, and rounding decides about bytes.
    """
    if count() == 1:
        return loader
    return _with_batches(loader, _indices(loader)[index() :: count()])


def in_turn(own: list[Value]) -> list[Value]:
    """What was made of this process's `whole_batches`, one item a batch, joined with the others' in their order."""
    missing = object()
    rounds: Iterable[Any] = zip_longest(*gather(own), fillvalue=missing)
    return [item for dealt in rounds for item in dealt if item is not missing]


def parts_of_batches(loader: "DataLoader[Any]") -> "DataLoader[Any]":
    """Cuts each of a loader's batches into as many parts as there are processes, of equal size or one less.

    Every process gets as many batches as the others, and no sample is doubled to fill one. A batch that has fewer
    samples than there are processes is joined to the one before; the first one, to the one behind it.

    Raises:
        ConfigError: there are fewer samples than processes.
    """
    if count() == 1:
        return loader
    batches: list[list[int]] = []
    for batch in _indices(loader):
        if batches and min(len(batch), len(batches[-1])) < count():
            batches[-1] += batch
        else:
            batches.append(batch)
    if len(batches[0]) < count():
        raise ConfigError(f"{len(batches[0])} samples can't be divided among {count()} processes; start fewer")
    bounds = [[len(batch) * part // count() for part in (index(), index() + 1)] for batch in batches]
    return _with_batches(loader, [batch[a:b] for batch, (a, b) in zip(batches, bounds, strict=True)])


def _indices(loader: "DataLoader[Any]") -> list[list[int]]:
    assert loader.batch_sampler is not None
    return [list(batch) for batch in loader.batch_sampler]


def _with_batches(loader: "DataLoader[Any]", batches: Sequence[list[int]]) -> "DataLoader[Any]":
    return DataLoader(
        loader.dataset,
        batch_sampler=Batches(batches),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        persistent_workers=loader.persistent_workers,
    )
