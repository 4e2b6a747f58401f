import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from sc2bench.config import TaskConfig
from sc2bench.core.errors import ConfigError, DataError, OutputError
from sc2bench.data import EpochSampler, load_dataset
from sc2bench.data.composing import LEAST_VISIBLE, MAX_GARMENTS, SHAPES, SIDES, compose_scene
from sc2bench.data.fashion_mnist import CLASSES as GARMENTS
from sc2bench.data.scenes import CLASSES, VARIABLE, make_scenes, scenes

SPLITS = {"train": 12, "validation": 3, "test": 5}
make_few = partial(make_scenes, **SPLITS)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 training, 3 validation and 5 test scenes."""
    return make_few(tmp_path_factory.mktemp("scenes") / "few")


def task(root: Path, name: str = "object_detection", **fields) -> TaskConfig:
    return TaskConfig(name, "scenes", str(root), **fields)


def digest(folder: Path) -> str:
    """Of the names and contents of all files; of images the pixels, for compression may differ."""
    found = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode())
            found.update(np.asarray(Image.open(path)).tobytes() if path.suffix == ".png" else path.read_bytes())
    return found.hexdigest()


@pytest.mark.slow
def test_the_same_arguments_give_the_same_scenes(few, tmp_path):
    assert digest(few) == "ee790b4edaaf2eb4"
    assert digest(make_few(tmp_path / "again")) == digest(few)
    assert digest(make_few(tmp_path / "other", seed=1)) != digest(few)
    # A scene does not depend on how many there are.
    more = make_scenes(tmp_path / "more", train=13, validation=0, test=0)
    name = "images/train_00011.png"
    assert (more / name).read_bytes() == (few / name).read_bytes()


def test_boxes_areas_and_masks_agree(few):
    for split, count in SPLITS.items():
        boxes, masks = (load_dataset(task(few, name), split) for name in ("object_detection", "semantic_segmentation"))
        coco = COCO(str(few / "annotations" / f"instances_{split}.json"))
        assert len(boxes) == len(masks) == len(coco.imgs) == count
        for (image, target), (same, mask) in ((boxes[n], masks[n]) for n in range(count)):
            assert torch.equal(image, same)
            assert tuple(image.shape[1:]) in SHAPES
            assert 1 <= len(target["labels"]) <= MAX_GARMENTS
            rest = torch.zeros_like(mask)
            annotations = coco.imgToAnns[target["image_id"]]
            for annotation, label, box, area in zip(
                annotations, target["labels"], target["boxes"], target["area"], strict=True
            ):
                outline = coco.annToMask(annotation)
                rows, columns = outline.nonzero()
                assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                assert area == outline.sum() > 0
                rest[torch.from_numpy(outline) > 0] = label.to(torch.uint8)
            assert torch.equal(mask, rest)
    assert boxes.classes == masks.classes == CLASSES == ("__background__", *GARMENTS)
    assert (few / "labels.txt").read_text().split("\n")[:-1] == list(CLASSES)


def test_a_garment_stays_mostly_in_view():
    """Squares of one size: 28 x 28 pixels that are garment all over."""
    images, labels = np.full((1, 28, 28), 200, np.uint8), np.array([4])
    counts = []
    for seed in range(60):
        scene = compose_scene(images, labels, np.random.default_rng(seed))
        counts.append(len(scene.labels))
        for garment in range(len(scene.labels)):
            rows, columns = scene.visible(garment).nonzero()
            # Whatever hides it, one of its sides is seen whole or it is at least so large.
            side = max(np.ptp(rows), np.ptp(columns)) + 1
            assert SIDES[0] <= side <= SIDES[1]
            assert len(rows) >= LEAST_VISIBLE * side**2
    # Whole squares leave each other little room.
    assert {1, 2, 3} <= set(counts) <= set(range(1, MAX_GARMENTS + 1))


def test_the_largest_garment_is_the_class(few):
    classes, boxes = (load_dataset(task(few, name), "test") for name in ("image_classification", "object_detection"))
    assert classes.classes == GARMENTS
    targets = classes[:][1]
    assert [(target.dtype, target.shape) for target in targets] == [(torch.int64, ())] * 5
    assert [int(target) for target in targets] == [
        int(target["labels"][target["area"].argmax()]) - 1 for target in boxes[:][1]
    ]


@pytest.mark.parametrize("name", ["object_detection", "semantic_segmentation", "image_classification"])
def test_training_mirrors_half_of_the_scenes(few, name):
    train, sampler = load_dataset(task(few, name), "train"), EpochSampler(12, 0)
    shown = train.in_training(sampler)
    mirrored = 0
    for sampler.epoch in range(10):
        for (image, target), (plain, truth) in zip(
            zip(*shown[:], strict=True), zip(*train[:], strict=True), strict=True
        ):
            turned = not torch.equal(image, plain)
            mirrored += turned
            assert torch.equal(image.flip(-1) if turned else image, plain)
            if name == "semantic_segmentation":
                assert torch.equal(target.flip(-1) if turned else target, truth)
            elif name == "object_detection":
                low, high = truth["boxes"][:, 0], truth["boxes"][:, 2]
                assert torch.equal(target["boxes"][:, 0], image.shape[-1] - high if turned else low)
            else:
                assert target == truth
    assert 45 < mirrored < 75


def test_samples_stay_in_memory_and_are_not_spoilt(few, monkeypatch):
    images = scenes(task(few, "semantic_segmentation"), "test")
    (first, mask), _ = images[0], images.sample(3)
    kept = first.clone(), mask.clone()
    first.zero_()
    mask.zero_()
    monkeypatch.setattr("sc2bench.data.voc.read_rgb", None)
    assert all(map(torch.equal, images[0], kept))
    with pytest.raises(TypeError):
        images[3]


@pytest.mark.slow
def test_two_processes_may_make_the_same_folder(few, tmp_path):
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        assert list(pool.map(make_few, [tmp_path / "x"] * 2)) == [tmp_path / "x"] * 2
    assert digest(tmp_path / "x") == digest(few)
    assert os.listdir(tmp_path) == ["x"]  # noqa: PTH208


@pytest.mark.slow
def test_scenes_are_made_when_they_are_needed(tmp_path, monkeypatch):
    monkeypatch.setattr("sc2bench.data.scenes.make_scenes", make_few)
    monkeypatch.setattr("sc2bench.data.scenes.CACHE_FOLDER", tmp_path / "cache")
    monkeypatch.delenv(VARIABLE, raising=False)
    unrooted = TaskConfig("object_detection", "scenes")
    assert len(scenes(unrooted, "train")) == 12
    (made,) = (tmp_path / "cache").iterdir()
    assert made.name.startswith("scenes-")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other"))
    assert len(scenes(unrooted, "test")) == 5
    assert (tmp_path / "other" / "scenes.json").is_file()


def test_wrong_folders_and_tasks_are_named(few, tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(DataError, match=r"holds no scenes; give a new folder as task\.root"):
        scenes(task(tmp_path), "test")
    with pytest.raises(OutputError, match=r"can't make .*/x/y: File exists; free space"):
        make_few(tmp_path / "x" / "y")
    old = make_few(tmp_path / "old")
    about = json.loads((old / "scenes.json").read_text())
    (old / "scenes.json").write_text(json.dumps(about | {"version": 0}))
    with pytest.raises(DataError, match="holds scenes of version 0, but 1 is current; delete it"):
        scenes(task(old), "test")
    with pytest.raises(ConfigError, match=r"task\.name: scenes have no targets for 'captions'; known: image_class"):
        scenes(task(few, "captions"), "test")
