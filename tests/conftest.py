import gzip
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from sc2bench.config import TaskConfig
from sc2bench.data import MemoryImages, load_dataset
from sc2bench.data.scenes import make_scenes

# Machines differ in speed; a failure must be one of the code, and come again in the next run.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
MINI = {"train": 600, "t10k": 100}
if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests that run beside each other share the processors, and so do the processes that they start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def test_images() -> MemoryImages:
    """The first 500 real test images."""
    images = load_dataset(TaskConfig("image_classification", "fashion_mnist"), "test", 500)
    assert isinstance(images, MemoryImages)
    return images


@pytest.fixture(scope="session")
def mini_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first real samples of Fashion-MNIST, in files of the published format."""
    folder = tmp_path_factory.mktemp("fashion")
    task = TaskConfig("image_classification", "fashion_mnist")
    for prefix, split in (("train", "train"), ("t10k", "test")):
        data = load_dataset(task, split, MINI[prefix])
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", data.images[:, 0].numpy())
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", data.targets.numpy().astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def few_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 training, 4 validation and 6 test scenes."""
    return make_scenes(tmp_path_factory.mktemp("scenes") / "few", train=16, validation=4, test=6)


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.tobytes()))


# Classes of `photographs`.
PHOTOGRAPHED = ("bird", "cat", "dog", "fish")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PNG files of 32x32: 40 for training and 8 for testing, in 4 classes that differ in colour."""
    root = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 2)):
        for label, name in enumerate(PHOTOGRAPHED):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 60, (32, 32, 3))
                pixels[..., label % 3] += 60 + 60 * (label == 3)
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture
def tiny(mini_root: Path, tmp_path: Path) -> list[str]:
    """Overrides for an experiment that takes seconds and writes below `tmp_path`."""
    return [
        "task=fashion_mnist",
        f"task.root={mini_root}",
        f"output={tmp_path}/results",
        f"checkpoints={tmp_path}/checkpoints",
    ]


TINY_STUDENT = [
    "method=entropic_student",
    "method.latent_channels=4",
    "method.widths=[4,6,8]",
    "rate=0.3",
    "stage1.epochs=2",
    "stage1.batch_size=50",
    "stage2.epochs=2",
    "stage2.batch_size=50",
]


def refuse_all_but_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses data sets, files of teachers' weights, and the network, none of which loading a trained model takes."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something else than the folder is asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("sc2bench.runs.blueprint.load_dataset", refuse)
    monkeypatch.setattr("sc2bench.runs.experiment.load_dataset", refuse)
    for name in ("load.read_weights", "library.read_weights", "torchvision_models.read_weights"):
        monkeypatch.setattr(f"sc2bench.teachers.{name}", refuse)
