import ctypes
import multiprocessing
import os
import pickle
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import get_worker_info

from sc2bench.core.errors import DataError
from sc2bench.data import EpochSampler, PixelLimit, watching
from sc2bench.data.loading import LoaderError, bounded_batches, collate, default_workers
from sc2bench.data.varied import VariedImages

SIZES = ((3, 5), (1, 9), (8, 2))


class Drawn:
    """Small images of varied sizes; `trouble` comes in the worker that reads number 40."""

    def __init__(self, count: int, trouble: Callable[[], object] = int):
        self.count = count
        self.trouble = trouble

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        if index == 40 and get_worker_info() is not None:
            self.trouble()
        return Image.new("RGB", SIZES[index % 3][::-1], (index % 256, 7, 9)), index


def present(image: Image.Image, annotation: int, random: np.random.Generator | None):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    half = torch.full((2,), annotation, dtype=torch.bfloat16)
    return pixels, {"boxes": torch.full((0, 4), 1.0), "label": torch.tensor(annotation), "name": "x", "half": half}


def drawn(count: int = 300, **options) -> VariedImages:
    return VariedImages(("a",), Drawn(count, **options), present)


def check_batches(workers: int) -> None:
    """Goes through all batches and looks at each sample."""
    images = drawn()
    seen = 0
    with watching(images.loader(250, workers=workers)) as batches:
        for found, targets in batches:
            for image, target in zip(found, targets, strict=True):
                assert image.shape == (3, *SIZES[seen % 3])
                assert image.dtype == torch.uint8
                assert image[0].unique().tolist() == [seen % 256]
                assert (target["label"].item(), target["boxes"].shape, target["name"]) == (seen, (0, 4), "x")
                assert target["half"].dtype == torch.bfloat16
                image.zero_()
                seen += 1
    assert seen == 300


@contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """So many more files may be opened, or none at all; what hangs is stopped."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208

    def give_up(*_):
        raise AssertionError("the loader hangs")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare if spare else 3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.slow
def test_workers_need_few_descriptors():
    """A batch has 250 images, each with three tensors more."""
    with descriptors(60):
        check_batches(workers=2)


def without_shared_memory() -> None:
    """In a process of its own: `/dev/shm` has room for semaphores alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    private = 0x20000
    recursive_private = (1 << 18) | 0x4000
    if libc.unshare(private) or libc.mount(None, b"/", None, recursive_private, None):
        os._exit(77)
    if libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=128k"):
        os._exit(77)
    signal.alarm(60)
    check_batches(workers=2)


def test_workers_need_no_shared_memory():
    child = multiprocessing.get_context("fork").Process(target=without_shared_memory)
    child.start()
    child.join()
    if child.exitcode == 77:
        pytest.skip("mounting needs root")
    assert child.exitcode == 0


def kill_worker() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def want_memory() -> None:
    raise MemoryError


def want_data() -> None:
    raise DataError("image x is damaged; replace it")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "kind", "message"),
    [
        (
            kill_worker,
            LoaderError,
            r"a process that reads data can't go on \(DataLoader worker \(pid.* (killed by signal|exited unexp).*"
            r"; set workers lower than 2, or raise what is short",
        ),
        (want_memory, LoaderError, "a process that reads data failed: MemoryError; set workers lower than 2, or raise"),
        (want_data, DataError, "^image x is damaged; replace it$"),
    ],
)
def test_trouble_in_a_worker_is_one_sentence(trouble, kind, message):
    loader = drawn(60, trouble=trouble).loader(10, workers=2)
    with pytest.raises(kind, match=message) as error, descriptors(60), watching(loader) as batches:
        for _ in batches:
            pass
    assert type(error.value) is kind
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_workers_that_cannot_be_started_are_one_sentence():
    loader = drawn(60).loader(10, workers=2)
    with pytest.raises(LoaderError, match="Too many open files; set workers lower than 2"), descriptors(0):  # noqa: SIM117
        with watching(loader) as batches:
            next(batches)


def test_errors_of_who_works_on_the_batches_stay_as_they_are():
    with pytest.raises(RuntimeError, match=r"^mine$"), watching(drawn(20).loader(10)):
        raise RuntimeError("mine")


def test_workers_are_chosen_from_the_machine(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)))
    assert [default_workers(batches) for batches in (0, 1, 3, 100)] == [0, 0, 2, 5]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert default_workers(100) == 2
    # As on macOS.
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 40)
    assert default_workers(100) == 8
    assert drawn().loader(10, workers=None).num_workers == 8
    assert drawn().loader(300, workers=None).num_workers == 0
    assert drawn().loader(10).num_workers == 0


def test_sets_can_be_handed_to_workers_that_are_started_anew():
    """As on macOS and Windows, and on Linux from Python 3.14."""
    sampler = EpochSampler(300, 1)
    handed = pickle.loads(pickle.dumps(drawn().part(100).in_training(sampler)))
    assert torch.equal(handed[7][0], drawn().part(100)[7][0])
    assert pickle.loads(pickle.dumps(collate)) is collate


def test_data_in_memory_needs_no_workers(test_images):
    assert test_images.loader(10, workers=None).num_workers == 0


def test_batches_are_bounded_by_their_pixels():
    sizes = [(10, 10)] * 5 + [(10, 20)] * 2 + [(40, 40), (2, 2), (2, 2)]
    assert bounded_batches(sizes, 3, 400) == [[0, 1, 2], [3, 4], [5, 6], [7], [8, 9]]
    assert bounded_batches([], 3, 400) == []
    # A network that doubles each side takes a quarter of the images.
    limit = PixelLimit(16 * 18 * 8, lambda size: (2 * size[0], 2 * size[1]))
    loader = drawn(30).loader(25, limit=limit)
    assert [len(images) for images, _ in loader] == [8, 8, 8, 6]
    assert [target["label"] for _, targets in loader for target in targets] == list(range(30))
