import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from sc2bench.config import TaskConfig
from sc2bench.data import EpochSampler, load_dataset
from sc2bench.data.coco import VARIABLE, coco2017
from sc2bench.data.miniature import make_coco
from sc2bench.errors import ConfigError, DataError

SPLITS = ("train", "validation", "test")
LIST = "annotations/instances_val2017.json"


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 8 test images; of each the second has a crowd, the third nothing, the fourth a flat box."""
    return make_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture
def own(mini: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(mini, tmp_path / "root")
    return tmp_path / "root"


def task(root: Path, **fields) -> TaskConfig:
    return TaskConfig("object_detection", "coco2017", str(root), **fields)


def edit(root: Path, change) -> None:
    """Changes the test images' annotations."""
    path = root / LIST
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def ids(images) -> list[int]:
    return images.source.listing.image_ids.tolist()


def test_splits_hold_every_image_that_can_be_learnt_from_once(mini):
    train, validation, test = (load_dataset(task(mini), split) for split in SPLITS)
    # The empty image, number 2, is trained on by nobody.
    assert (len(train), ids(validation), len(test)) == (22, [9 + 16 * 23], 8)
    assert sorted(ids(train) + ids(validation) + [9 + 16 * 2]) == [9 + 16 * number for number in range(24)]
    assert train.classes == tuple(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
    assert test.image_shape == (3, 0, 0)


def test_every_hundredth_is_held_out(tmp_path):
    (tmp_path / "train2017").mkdir()
    (tmp_path / "annotations").mkdir()
    images = [{"id": 3 * number, "file_name": f"{number}.jpg", "width": 9, "height": 9} for number in range(250)]
    boxes = [{"id": 1 + n, "image_id": 3 * n, "category_id": 1, "bbox": [0, 0, 4, 4]} for n in range(250)]
    content = {"images": images[::-1], "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "annotations/instances_train2017.json").write_text(json.dumps(content))
    train, validation = (coco2017(task(tmp_path), split) for split in SPLITS[:2])
    assert ids(validation) == [297, 597]
    assert (len(train), train.classes) == (248, ("__background__", "a"))
    assert not set(ids(train)) & set(ids(validation))
    # Without an entry, the area is the box's, and there is no crowd.
    objects = train.source.listing.objects
    assert (objects.area[0], objects.iscrowd.sum()) == (16, 0)


def test_measuring_gets_what_the_file_says(mini):
    images, targets = load_dataset(task(mini), "test")[:]
    coco = COCO(str(mini / LIST))
    assert [target["image_id"] for target in targets] == sorted(coco.imgs)
    for image, target in zip(images, targets, strict=True):
        said = coco.imgToAnns[target["image_id"]]
        entry = coco.imgs[target["image_id"]]
        assert (image.dtype, image.shape) == (torch.uint8, (3, entry["height"], entry["width"]))
        assert target["labels"].tolist() == [annotation["category_id"] for annotation in said]
        assert target["iscrowd"].tolist() == [annotation["iscrowd"] for annotation in said]
        left, top, width, height = np.array([annotation["bbox"] for annotation in said]).reshape(-1, 4).T
        assert target["boxes"].numpy().tolist() == np.stack([left, top, left + width, top + height], 1).tolist()
        assert target["area"].numpy() == pytest.approx([annotation["area"] for annotation in said])
        kinds = {name: value.dtype for name, value in target.items() if name != "image_id"}
        assert kinds == {
            "boxes": torch.float32,
            "labels": torch.int64,
            "iscrowd": torch.int64,
            "area": torch.float32,
        }
    assert [len(target["boxes"]) for target in targets] == [1, 3, 0, 2, 2, 3, 1, 2]
    assert targets[2]["boxes"].shape == (0, 4)
    assert targets[1]["iscrowd"].tolist() == [0, 0, 1]


def test_training_gets_clamped_boxes_without_crowds_and_flat_ones(own):
    boxes = [[-10.5, 20, 30, 40], [300, 200, 90, 90], [0, 0, 0, 50], [-40, 5, 40, 9], [-90, 0, 40, 40], [330, 0, 9, 9]]

    def change(content):
        first = content["images"][0]
        entries = [
            {"id": 900 + n, "image_id": first["id"], "category_id": 1 + n, "bbox": box} for n, box in enumerate(boxes)
        ]
        content["annotations"] = entries

    edit(own, change)
    shutil.copy(own / LIST, own / "annotations/instances_train2017.json")
    shutil.rmtree(own / "train2017")
    shutil.copytree(own / "val2017", own / "train2017")
    train, test = coco2017(task(own), "train"), coco2017(task(own), "test")
    _, target = train[0]
    assert len(train) == 1
    assert target["boxes"].tolist() == [[0, 20, 19.5, 60], [300, 200, 320, 240]]
    assert target["labels"].tolist() == [1, 2]
    # Measuring keeps what the file says, but for the three boxes that are outside.
    assert test[0][1]["labels"].tolist() == [1, 2, 3]
    assert test[0][1]["boxes"][:2].tolist() == [[-10.5, 20, 19.5, 60], [300, 200, 390, 290]]


def test_images_and_boxes_are_mirrored_together_half_of_the_time(mini):
    train, sampler = load_dataset(task(mini), "train"), EpochSampler(22, 0)
    shown = train.in_training(sampler)
    mirrored = 0
    for sampler.epoch in range(4):
        for (image, target), (plain, truth) in zip(
            zip(*shown[:], strict=True), zip(*train[:], strict=True), strict=True
        ):
            boxes = target["boxes"]
            if not torch.equal(image, plain):
                mirrored += 1
                image, width = image.flip(-1), image.shape[-1]
                boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
            assert torch.equal(image, plain)
            assert torch.equal(boxes, truth["boxes"])
    assert 30 < mirrored < 58
    again = train.first(5).in_training(sampler)
    assert torch.equal(again[4][0], shown[4][0])


def test_batches_are_lists_and_workers_change_nothing(mini):
    train, sampler = load_dataset(task(mini), "train"), EpochSampler(22, 1)
    alone, shared = (list(train.loader(4, sampler=sampler, workers=workers)) for workers in (0, 2))
    assert [len(images) for images, _ in alone] == [4] * 5
    for (images, targets), (others, those) in zip(alone, shared, strict=True):
        assert isinstance(images, list)
        assert all(map(torch.equal, images, others))
        assert [target["image_id"] for target in targets] == [target["image_id"] for target in those]
        assert all(torch.equal(one["boxes"], other["boxes"]) for one, other in zip(targets, those, strict=True))
    assert [image.shape for image in train.sample(2)] == [(3, 240, 320), (3, 320, 240)]


def _unlisted_image(content) -> None:
    content["annotations"][0]["image_id"] = 5


def _unknown_category(content) -> None:
    content["annotations"][0]["category_id"] = 12


def _zeroth_category(content) -> None:
    content["categories"].append({"id": 0, "name": "thing"})


def _half_a_box(content) -> None:
    content["annotations"][0]["bbox"] = [1, 2, 3]


def _endless_box(content) -> None:
    content["annotations"][0]["bbox"] = [1, 2, float("inf"), 3]


def _no_width(content) -> None:
    del content["images"][0]["width"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / LIST).unlink(), r"annotation file .*val2017\.json can't be read: No such file"),
        (lambda root: (root / LIST).write_text((root / LIST).read_text()[:-50]), r"is damaged: .* line \d+ column"),
        (lambda root: (root / LIST).write_text("[]"), r"is damaged: annotation file format .* not supported"),
        (lambda root: (root / LIST).write_bytes(b"\xff\xfe\0"), r"is damaged: 'utf-8' codec"),
        (lambda root: (root / LIST).write_text("{}"), "lists no images"),
        (lambda root: edit(root, _unlisted_image), "annotation 1 names image 5, which is not listed"),
        (lambda root: edit(root, _unknown_category), "annotation 1 names category 12, which is not listed"),
        (lambda root: edit(root, _zeroth_category), r"has category 'thing' with id 0; .* use 1 \.\.\. 9999"),
        (lambda root: edit(root, _half_a_box), "is damaged: setting an array element"),
        (lambda root: edit(root, _endless_box), "is damaged: a box is not finite"),
        (lambda root: edit(root, _no_width), "is damaged: an entry has no 'width'"),
        (lambda root: shutil.rmtree(root / "val2017"), r"folder .*/val2017 does not exist; mend task\.root or SC2"),
    ],
)
def test_wrong_files_are_named(own, damage, message):
    damage(own)
    with pytest.raises(DataError, match=message) as error:
        coco2017(task(own), "test")
    assert "\n" not in str(error.value)


def _too_large(path: Path) -> None:
    Image.new("L", (8193, 8)).save(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, r"9\.jpg, which .*/instances_val2017\.json lists, is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-900]), r"9\.jpg is damaged"),
        (lambda path: Image.new("L", (32, 40)).save(path), r"9\.jpg has 32x40 pixels, but .*json says 320x240"),
        (_too_large, r"9\.jpg has 8193x8 pixels, but 8192 a side are the most"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_is_named_from_workers_too(own, damage, message, workers):
    damage(own / "val2017" / "000000000009.jpg")
    with pytest.raises(DataError, match=message) as error:
        list(coco2017(task(own), "test").loader(4, workers=workers))
    assert "\n" not in str(error.value)


def test_root_and_sizes(mini, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    unrooted = TaskConfig("object_detection", "coco2017")
    with pytest.raises(DataError, match=rf"give task.root=FOLDER or set {VARIABLE}"):
        coco2017(unrooted, "test")
    monkeypatch.setenv(VARIABLE, str(mini))
    assert len(coco2017(unrooted, "test")) == 8
    with pytest.raises(ConfigError, match=r"task\.resize: images of coco2017 are used in their own sizes"):
        coco2017(task(mini, resize=800), "test")
