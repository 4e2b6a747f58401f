"""Photographs in class folders of any names."""

from pathlib import Path

import numpy as np
import pytest

from sc2bench.core.errors import ConfigError, DataError
from sc2bench.data import load_dataset
from sc2bench.data.imagenet_folders import PhotographsConfig
from tests.conftest import PHOTOGRAPHED


def task(root: Path, **fields) -> PhotographsConfig:
    return PhotographsConfig("image_classification", "image_folder", str(root), resize=32, crop=32, **fields)


def test_folders_are_the_classes(photographs, tmp_path):
    train, validation, test = (load_dataset(task(photographs), split) for split in ("train", "validation", "test"))
    assert train.classes == test.classes == PHOTOGRAPHED
    # Of so few images a fifth is held out, as many of each class.
    assert np.bincount(validation.strata).tolist() == [2, 2, 2, 2]
    assert (len(train), len(test), test.folder.name) == (32, 8, "test")
    assert not {train.path(i) for i in range(32)} & {validation.path(i) for i in range(8)}
    for name in ("train", "test"):
        (tmp_path / name).symlink_to(photographs / name)
    (tmp_path / "val").symlink_to(photographs / "test")
    whole, own = (load_dataset(task(tmp_path), split) for split in ("train", "validation"))
    assert (len(whole), len(own), own.folder.name) == (40, 8, "val")
    with pytest.raises(ConfigError, match=r"validation_fraction: .*/val is what is validated on"):
        load_dataset(task(tmp_path, validation_fraction=0.1), "train")


def test_folders_that_are_missing_are_told(photographs, tmp_path):
    with pytest.raises(DataError, match=r"^image_folder needs its folder, .*; give task.root=FOLDER$"):
        load_dataset(PhotographsConfig("image_classification", "image_folder"), "train")
    with pytest.raises(DataError, match=r"folder .*/none does not exist; mend task.root$"):
        load_dataset(task(tmp_path / "none"), "train")
    (tmp_path / "train").symlink_to(photographs / "train")
    with pytest.raises(DataError, match=r"folder .*/val does not exist nor test/ beside it; task.root needs train/"):
        load_dataset(task(tmp_path), "test")
    (tmp_path / "val" / "cow").mkdir(parents=True)
    with pytest.raises(DataError, match=r"class folder .*/val/cow has no counterpart in train/"):
        load_dataset(task(tmp_path), "test")
