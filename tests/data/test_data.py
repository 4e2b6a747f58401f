import gzip
import shutil
from dataclasses import replace

import pytest
import torch

from sc2bench.config import TaskConfig
from sc2bench.core.errors import DataError
from sc2bench.data import EpochSampler, augment, load_dataset
from sc2bench.data.fashion_mnist import VARIABLE, fashion_mnist
from sc2bench.wire.inputs import ImageSpec
from tests.conftest import MINI

TASK = TaskConfig("image_classification", "fashion_mnist")


def rooted(folder: object) -> TaskConfig:
    return replace(TASK, root=str(folder))


def test_splits_have_their_published_sizes():
    train, validation, test = (load_dataset(TASK, split) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (55_000, 5_000, 10_000)
    assert train.images.dtype == torch.uint8
    assert test.spec == ImageSpec(1, (28, 28))
    assert test.targets[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    # No validation image is trained on: it is every twelfth one of the published training set.
    assert torch.bincount(validation.targets).min() > 400


def test_validation_is_held_out_of_train(mini_root):
    train, validation = (fashion_mnist(rooted(mini_root), split) for split in ("train", "validation"))
    assert (len(train), len(validation)) == (550, 50)
    assert not (train.images[:, None] == validation.images[None, :]).flatten(2).all(-1).any()


def test_environment_variable_names_the_folder(mini_root, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(mini_root))
    assert len(fashion_mnist(TASK, "test")) == MINI["t10k"]


def test_unpacked_files_are_read_too(mini_root, tmp_path):
    for file in mini_root.iterdir():
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    assert torch.equal(fashion_mnist(rooted(tmp_path), "test").images, fashion_mnist(rooted(mini_root), "test").images)


def test_without_folders_torchvision_is_asked(mini_root, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sc2bench.data.fashion_mnist.SYSTEM_FOLDER", tmp_path / "none")
    monkeypatch.setattr("sc2bench.data.fashion_mnist.CACHE_FOLDER", tmp_path)
    # What torchvision leaves after a download: it finds these files and downloads nothing.
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in mini_root.iterdir():
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    assert len(fashion_mnist(TASK, "test")) == MINI["t10k"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "is damaged"),
        (lambda file: file.write_bytes(b"not gzip"), "is damaged"),
        (lambda file: file.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x02ab")), "is not an IDX file"),
        (lambda file: file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1])), "bytes of data where"),
        (lambda file: file.write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\0\0\0\x01" * 3 + b"a")), "don't fit"),
        # More than there is memory for, and a product that overflows 64 bits.
        (
            lambda file: file.write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3)),
            "0 bytes of data where",
        ),
        (
            lambda file: file.write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\0\x40\0\0" * 3 + b"a")),
            "1 bytes of data where",
        ),
        (lambda file: file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()) + bytes(9))), "more bytes of"),
    ],
)
def test_missing_and_damaged_files_are_named(mini_root, tmp_path, damage, message):
    shutil.copytree(mini_root, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / "t10k-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match=message) as error:
        fashion_mnist(rooted(tmp_path), "test")
    assert VARIABLE in str(error.value)


def test_missing_folder_and_too_many_samples(mini_root):
    with pytest.raises(DataError, match=r"folder /nowhere does not exist"):
        fashion_mnist(rooted("/nowhere"), "test")
    with pytest.raises(DataError, match="has 100 samples, but 101 are asked for"):
        load_dataset(rooted(mini_root), "test", 101)


def test_samples_come_singly_and_in_slices(test_images):
    image, target = test_images[-1]
    assert torch.equal(image, test_images.images[499])
    assert target == test_images.targets[499]
    images, targets = test_images[10:20:3]
    assert torch.equal(images, test_images.images[10:20:3])
    assert torch.equal(targets, test_images.targets[10:20:3])
    assert torch.equal(test_images.sample(2), test_images.images[:2])
    with pytest.raises(IndexError):
        test_images[500]


def test_batches_keep_the_order_and_the_dtype(test_images):
    batches = list(test_images.loader(128))
    assert [len(images) for images, _ in batches] == [128, 128, 128, 116]
    assert torch.equal(torch.cat([images for images, _ in batches]), test_images.images)
    assert batches[0][0].dtype == torch.uint8


def test_sampler_depends_on_seed_and_epoch_only():
    first, again, other = EpochSampler(100, 1), EpochSampler(100, 1), EpochSampler(100, 2)
    assert list(first) == list(again) != list(other)
    again.epoch = 1
    assert list(first) != list(again)
    assert sorted(again) == list(range(100))


def test_augmentations_keep_shape_and_content(test_images):
    images = test_images.images[:64]
    flipped = augment(images, ["flip"])
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    same = (flipped == images).flatten(1).all(1)
    assert (mirrored | same).all()
    assert 10 < mirrored.sum() < 54
    shifted = augment(images, ["shift"])
    assert shifted.shape == images.shape
    assert shifted.dtype == torch.uint8
    # Two pixels of margin at most are lost, so the inner 24 x 24 pixels of the original stay in view.
    inner = images[0, 0, 2:26, 2:26]
    places = [(r, c) for r in range(5) for c in range(5) if torch.equal(shifted[0, 0, r : r + 24, c : c + 24], inner)]
    assert len(places) == 1
    erased = augment(torch.full((200, 1, 28, 28), 9, dtype=torch.uint8), ["erase"])
    assert set((erased == 0).flatten(1).sum(1).tolist()) == {0, 49}
