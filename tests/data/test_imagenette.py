"""Photographs of some of ImageNet's classes: labels among 1000, layouts, splits, and images that are kept decoded."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sc2bench.cli import app
from sc2bench.config import compose
from sc2bench.core.errors import ConfigError, DataError
from sc2bench.data import EpochSampler, load_dataset
from sc2bench.data import kept as keeping
from sc2bench.data.decoding import ImageError
from sc2bench.data.imagenet_folders import PhotographsConfig
from sc2bench.data.imagenette import VARIABLE
from sc2bench.data.kept import KeptImages
from sc2bench.data.miniature import IMAGENETTE_WNIDS, make_imagenet
from sc2bench.tasks.image_classification import Accuracy, ImageClassification
from sc2bench.wire.inputs import ImageSpec

SIZES = ((64, 49), (48, 64), (81, 60), (20, 26), (36, 36))
# Of the miniature's classes among ImageNet's 1000.
INDICES = (0, 217, 482, 491)
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 12 test images of 4 of Imagenette's classes, in several sizes."""
    return make_imagenet(tmp_path_factory.mktemp("imagenette"), sizes=SIZES, wnids=IMAGENETTE_WNIDS)


def task(root: Path, dataset: str = "imagenette", **fields) -> PhotographsConfig:
    return PhotographsConfig("image_classification", dataset, str(root), **({"resize": 36, "crop": 32} | fields))


def test_labels_are_those_of_imagenets_classes(mini, monkeypatch):
    train, validation, test = (load_dataset(task(mini), split) for split in SPLITS)
    assert (len(train), len(validation), len(test)) == (20, 4, 12)
    # One of each class is held out.
    assert validation.strata.tolist() == list(INDICES)
    assert test.strata.tolist() == [index for index in INDICES for _ in range(3)]
    assert (len(test.classes), test.classes[217], test.occurring) == (1000, "n02102040", INDICES)
    files = [dataset.path(index) for dataset in (train, validation) for index in range(len(dataset))]
    assert sorted(files) == sorted((mini / "train").glob("*/*.JPEG"))
    images, targets = test[:]
    assert (images.shape, images.dtype, targets.dtype) == ((12, 3, 32, 32), torch.uint8, torch.int64)
    # A part has its share of each class, and still knows all that occur.
    part = load_dataset(task(mini), "test", 4)
    assert (part.strata.tolist(), part.occurring) == (list(INDICES), INDICES)
    monkeypatch.setenv(VARIABLE, str(mini))
    assert len(load_dataset(PhotographsConfig("image_classification", "imagenette"), "test")) == 12


def test_other_parts_of_imagenet_are_read_alike(mini, tmp_path):
    same = load_dataset(task(mini, "ilsvrc2012", classes="imagenet1k"), "test")
    assert same.strata.tolist() == load_dataset(task(mini), "test").strata.tolist()
    assert load_dataset(task(mini, classes="folders"), "test").classes == IMAGENETTE_WNIDS
    # ImageNet-V2 has no training images, and names its folders by indices.
    for wnid, index in zip(IMAGENETTE_WNIDS, INDICES, strict=True):
        shutil.copytree(mini / "val" / wnid, tmp_path / "val" / str(index))
    numbered = load_dataset(task(tmp_path), "test")
    assert (sorted(numbered.strata.tolist()), numbered.occurring) == (sorted(same.strata.tolist()), INDICES)
    assert numbered.path(3) == tmp_path / "val" / "217" / "ILSVRC2012_val_00000004.JPEG"
    with pytest.raises(DataError, match=r"folder .*/train does not exist; mend task.root or SC2BENCH_IMAGENETTE"):
        load_dataset(task(tmp_path), "train")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            "n01440765",
            r"class folder .*/val/n01440765 is none of ImageNet's 1000 classes.*\(did you mean 'n0\d+'\?\); na",
        ),
        (
            "tench",
            r"class folder .*/val/tench is none of ImageNet's 1000 classes, or one twice; name it by its WordNet",
        ),
        ("7", r"class folders .*/val/7 and .*/val/n01440764 are named in two ways"),
    ],
)
def test_folders_of_no_class_are_refused(mini, tmp_path, wrong, message):
    shutil.copytree(mini / "val", tmp_path / "val")
    (tmp_path / "val" / IMAGENETTE_WNIDS[3]).rename(tmp_path / "val" / wrong)
    with pytest.raises(DataError, match=message):
        load_dataset(task(tmp_path), "test")


def test_damage_is_told(mini, tmp_path):
    shutil.copytree(mini / "val", tmp_path / "val")
    (tmp_path / "val" / "n01440764" / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"\xff\xd8\xff no image")
    for fields in ({}, {"keep_decoded": True}):
        with pytest.raises(ImageError, match=r"image .*00000001.JPEG is damaged or of an unknown kind"):
            load_dataset(task(tmp_path, **fields), "test")[:]
    (tmp_path / "less" / "val" / "n02102040").mkdir(parents=True)
    with pytest.raises(DataError, match=r"class folder .*/n02102040 has no image"):
        load_dataset(task(tmp_path / "less"), "test")
    (tmp_path / "empty" / "val").mkdir(parents=True)
    with pytest.raises(DataError, match=r"/val has no class folders"):
        load_dataset(task(tmp_path / "empty"), "test")


@pytest.mark.parametrize("in_file", [False, True])
def test_kept_images_are_those_of_the_files(mini, tmp_path, monkeypatch, in_file):
    monkeypatch.setattr(keeping, "home_folder", lambda: tmp_path)
    if in_file:
        monkeypatch.setattr(keeping, "MOST_IN_MEMORY", 0)
    fields = {"training_crop": 20, "resize": 36, "crop": 32}
    files = load_dataset(task(mini, **fields), "train")
    kept = KeptImages(files)
    assert (kept.fingerprint, kept.occurring, kept.spec) == (files.fingerprint, INDICES, ImageSpec(3, (32, 32)))
    small = kept.part(5)
    assert small.strata.tolist() == files.part(5).strata.tolist()
    for own, other in ((small, files.part(5)), (kept, files), (kept.part(5), files.part(5))):
        assert torch.equal(own[:][0], other[:][0])
        assert torch.equal(own[:][1], other[:][1])
    samplers = [EpochSampler(len(files), seed=3) for _ in range(2)]
    for epoch in range(2):
        for sampler in samplers:
            sampler.epoch = epoch
        batches = [next(iter(s.loader(8, sampler=sampler))) for s, sampler in zip((kept, files), samplers, strict=True)]
        assert batches[0][0].shape == (8, 3, 20, 20)
        assert torch.equal(batches[0][0], batches[1][0])
    found = list(tmp_path.rglob("*.npy"))
    assert len(found) == 2 * in_file
    if in_file:
        # The next process maps what is there; a changed file makes another one.
        monkeypatch.setattr(keeping._Store, "_fill", lambda *args: pytest.fail("decoded again"))
        assert torch.equal(KeptImages(files)[3][0], files[3][0])
        os.utime(files.path(0), ns=(1, 1))
        assert not KeptImages(files)._store.is_there()


def test_images_that_do_not_fit_on_the_disk_are_told(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "home_folder", lambda: tmp_path)
    monkeypatch.setattr(keeping, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(keeping.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(DataError, match=r"12 decoded images take 0.0 GB, but 0.0 GB are free.*keep_decoded=false"):
        load_dataset(task(mini, keep_decoded=True), "test")[:]
    assert not list(tmp_path.rglob("*.npy"))


def test_an_archive_that_can_not_be_had_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sc2bench.data.imagenette.home_folder", lambda: tmp_path)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(
        DataError, match=r"^Imagenette can't be downloaded .*set SC2BENCH_IMAGENETTE or give task.root="
    ):
        load_dataset(PhotographsConfig("image_classification", "imagenette"), "test")
    assert not list((tmp_path / ".cache" / "sc2bench").iterdir())


def test_random_windows_have_the_scale_of_the_test(mini):
    whole = load_dataset(task(mini, training_crop=36, crop=36), "train")
    sampler = EpochSampler(len(whole), seed=0)
    images, _ = whole.in_training(sampler)[:]
    assert torch.equal(images, whole[:][0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"training_crop": 40}, "task.training_crop: 40 exceeds task.resize, 36"),
        ({"crop": 33}, "task.keep_decoded: task.resize - task.crop is 3, but only for a"),
        ({"classes": "imagenet"}, "task.classes: unknown value 'imagenet'; did you mean 'imagenet1k'"),
    ],
)
def test_choices_that_can_not_be_followed(fields, message):
    fields = {"resize": 36, "crop": 32, "training_crop": 20} | fields
    with pytest.raises(ConfigError, match=message):
        compose(["task=imagenette", "method=teacher", *(f"task.{name}={value}" for name, value in fields.items())])


def test_choices_belong_to_data_sets_that_have_them():
    for override in ("task.training_crop=8", "task.keep_decoded=true", "task.classes=imagenet1k"):
        key = override.partition("=")[0]
        with pytest.raises(ConfigError, match=rf"'{key}'; it belongs to ilsvrc2012, image_folder, imagenette, not"):
            compose(["task=fashion_mnist", "method=teacher", override])
    usual = compose(["task=imagenette", "method=teacher"])
    files = compose(["task=imagenette", "method=teacher", "task.keep_decoded=false"])
    other = compose(["task=imagenette", "method=teacher", "task.training_crop=160"])
    # Where decoded images are kept changes no result.
    assert usual.config_hash() == files.config_hash() != other.config_hash()


def test_accuracy_among_the_classes_that_occur(mini):
    logits = torch.zeros(4, 1000)
    logits[:, 5] = 3
    logits[[0, 1, 2, 3], [0, 217, 482, 482]] = 2
    metric = ImageClassification(load_dataset(task(mini), "test")).metric()
    metric.update(logits, torch.tensor(INDICES))
    assert metric.compute() == {"top1": 0.0, "top5": 75.0, "top1_subset": 75.0}
    assert metric.intervals(0)["top1_subset"] == metric.intervals(0)["top5"]
    assert "top1_subset" not in Accuracy(1000).compute()


@pytest.mark.slow
def test_the_teacher_is_measured_by_one_command(mini, tmp_path):
    arguments = ["run", "task=imagenette", "method=teacher", f"task.root={mini}", "teacher.weights=random"]
    places = [f"output={tmp_path / 'results'}", f"checkpoints={tmp_path / 'weights'}"]
    options = ["task.resize=64", "task.crop=64", "task.training_crop=32", "evaluation.latency_repeats=0"]
    done = CliRunner().invoke(app, [*arguments, *places, *options])
    assert done.exit_code == 0, done.output
    from sc2bench.records import load_records

    (record,) = load_records(tmp_path / "results").to_dict("records")
    assert (record["samples"], set(record["quality"])) == (12, {"top1", "top5", "top1_subset"})
    assert np.isclose(record["bytes_mean"], 3 * 64 * 64, atol=20)
