import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from sc2bench.config import TaskConfig, compose
from sc2bench.core.errors import DataError
from sc2bench.data import EpochSampler, load_dataset
from sc2bench.data.coco import VARIABLE, coco2017
from sc2bench.data.coco_entries import read_entries
from sc2bench.data.miniature import make_coco
from sc2bench.runs.experiment import Experiment
from sc2bench.wire.inputs import ImageSpec

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
    # The empty image, number 2, is trained on by nobody; of so few images a sixth is held out.
    assert (len(train), len(validation), len(test)) == (19, 4, 8)
    assert sorted(ids(train) + ids(validation) + [9 + 16 * 2]) == [9 + 16 * number for number in range(24)]
    assert train.classes == tuple(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
    assert test.spec == ImageSpec(3)


def test_every_hundredth_is_held_out(tmp_path):
    (tmp_path / "train2017").mkdir()
    (tmp_path / "annotations").mkdir()
    images = [{"id": 3 * number, "file_name": f"{number}.jpg", "width": 9, "height": 9} for number in range(5050)]
    boxes = [{"id": 1 + n, "image_id": 3 * n, "category_id": 1, "bbox": [0, 0, 4, 4]} for n in range(5050)]
    content = {"images": images[::-1], "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "annotations/instances_train2017.json").write_text(json.dumps(content))
    train, validation = (coco2017(task(tmp_path), split) for split in SPLITS[:2])
    assert ids(validation) == [3 * number for number in range(99, 5050, 100)]
    assert (len(train), train.classes) == (5000, ("__background__", "a"))
    assert not set(ids(train)) & set(ids(validation))
    # Without an entry, the area is the box's, and there is no crowd.
    objects = train.source.listing.objects
    assert (objects.area[0], objects.iscrowd.sum()) == (16, 0)


def test_training_and_measuring_must_have_the_same_classes(mini, own):
    sound, other = (
        Experiment(compose(["task=coco2017", f"task.root={root}", "method=teacher"])) for root in (mini, own)
    )
    assert [len(images) for images in sound.training_sets()] == [19, 4]
    edit(own, lambda content: content["categories"][2].update(name="lorry"))
    with pytest.raises(
        DataError, match="coco2017/train has the class 'car' where test has 'lorry'; give both the same"
    ):
        other.training_sets()


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
    boxes = [[-10.5, 20, 30, 40], [300, 200, 90, 90], [0, 0, 0, 50], [-40, 5, 40, 9], [-90, 0, 89, 40], [321, 0, 9, 9]]

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
    # Measuring keeps what the file says.
    assert test[0][1]["labels"].tolist() == [1, 2, 3, 4, 5, 6]
    assert test[0][1]["boxes"][:2].tolist() == [[-10.5, 20, 19.5, 60], [300, 200, 390, 290]]


def test_images_and_boxes_are_mirrored_together_half_of_the_time(mini):
    train, sampler = load_dataset(task(mini), "train"), EpochSampler(19, 0)
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
    assert 25 < mirrored < 51


@pytest.mark.slow
def test_batches_are_lists_and_workers_change_nothing(mini):
    train, sampler = load_dataset(task(mini), "train"), EpochSampler(19, 1)
    alone, shared = (list(train.loader(4, sampler=sampler, workers=workers)) for workers in (0, 2))
    assert [len(images) for images, _ in alone] == [4] * 4
    for (images, targets), (others, those) in zip(alone, shared, strict=True):
        assert isinstance(images, list)
        assert all(map(torch.equal, images, others))
        assert [target["image_id"] for target in targets] == [target["image_id"] for target in those]
        assert all(torch.equal(one["boxes"], other["boxes"]) for one, other in zip(targets, those, strict=True))
    assert [image.shape for image in train[:2][0]] == [(3, 240, 320), (3, 320, 240)]


# Each changes the first entry of a list, or repeats it, or puts another list in the place of it.
FIRST_BOX = [10, 12, 30, 40]
WRONG = [
    ("annotations", {"image_id": 5}, "annotation 1 names image 5, which is not listed"),
    ("annotations", {"image_id": "9"}, "annotation 1 names image '9', which is not listed"),
    ("annotations", {"category_id": 12}, "annotation 1 names category 12, which is not listed"),
    ("annotations", {"id": 2}, "annotation 2 is there twice"),
    ("annotations", {"id": None}, "entry 0 of its list of annotation entries has the id None, which is no integer"),
    ("annotations", {"bbox": [1, 2, 3]}, r"annotation 1 has the bbox \[1, 2, 3\], which is not four finite numbers"),
    ("annotations", {"bbox": [1, 2, float("inf"), 3]}, r"annotation 1 has the bbox .*inf.* not four finite numbers"),
    ("annotations", {"bbox": [float("nan"), 2, 1, 3]}, r"annotation 1 has the bbox .*nan.* not four finite numbers"),
    ("annotations", {"bbox": [10, 20, -5, 5]}, r"annotation 1 has the bbox .*, whose width or height is negative"),
    ("annotations", {"bbox": [322, 0, 5, 5]}, r"annotation 1 has the bbox .*, which lies outside of image 9"),
    ("annotations", {"bbox": [0, -30, 5, 5]}, r"annotation 1 has the bbox .*, which lies outside of image 9"),
    ("annotations", {"area": -1}, "annotation 1 has the area -1, which is no number from 0"),
    ("annotations", {"iscrowd": 2}, "annotation 1 has iscrowd 2, which is neither 0 nor 1"),
    ("annotations", {"segmentation": {"size": [320, 240], "counts": "0"}}, "annotation 1 has a segmentation whose run"),
    ("annotations", {"segmentation": {"size": [240, 320], "counts": [1, 2]}}, "annotation 1 has a segmentation whose"),
    ("annotations", {"segmentation": {"size": [240, 320], "counts": "5~"}}, "annotation 1 has a segmentation whose"),
    ("images", {"id": 25}, "image 25 is there twice"),
    (
        "images",
        {"file_name": "000000000025.jpg"},
        "image 25 has the file_name 0+25.jpg, which image 9 has, too",
    ),
    ("images", {"file_name": ""}, "image 9 has the file_name '', which no file can have"),
    ("images", {"width": 0}, "image 9 has the width 0, which is no positive integer"),
    ("images", {"height": 240.5}, "image 9 has the height 240.5, which is no positive integer"),
    ("categories", {"id": 2}, "category 2 is there twice"),
    ("categories", {"id": 0}, r"category 'person' has the id 0, but .* 1 \.\.\. 9999 \(0 is the background\)"),
    ("categories", {"name": 7}, "category 1 has the name 7, which is no text"),
]


@pytest.mark.parametrize(("kind", "fields", "message"), WRONG)
def test_every_wrong_entry_is_named_with_its_file(tmp_path, kind, fields, message):
    path = tmp_path / "x.json"
    images = [{"id": 9 + 16 * n, "file_name": f"{9 + 16 * n:012d}.jpg", "width": 320, "height": 240} for n in range(2)]
    boxes = [{"id": 1 + n, "image_id": 9, "category_id": 1, "bbox": FIRST_BOX} for n in range(2)]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]
    content = {"images": images, "annotations": boxes, "categories": categories}
    path.write_text(json.dumps(content))
    assert len(read_entries(path).annotations) == 2
    content[kind][0] |= fields
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as error:
        read_entries(path)
    assert str(error.value).startswith(f"annotation file {path}: ")
    # The same entry without any of its fields that has to be there.
    for field in ("id", "image_id", "category_id", "bbox", "file_name", "width", "height", "name"):
        if field in content[kind][1]:
            lacking = {key: value for key, value in content[kind][1].items() if key != field}
            path.write_text(json.dumps({**content, kind: [lacking]}))
            with pytest.raises(DataError, match=f"has no '{field}'|names image|names category"):
                read_entries(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / LIST).unlink(), r"annotation file .*val2017\.json can't be read: No such file"),
        (lambda root: (root / LIST).write_text((root / LIST).read_text()[:-50]), r"is damaged: .* line \d+ column"),
        (lambda root: (root / LIST).write_text("[]"), r": it holds no object with images, annotations and categories"),
        (lambda root: (root / LIST).write_text("[" * 100_000), r"is damaged: maximum recursion depth"),
        (lambda root: (root / LIST).write_bytes(b'"\xff\xff"'), r"is damaged: 'utf-8' codec"),
        (lambda root: (root / LIST).write_text("{}"), "it has no list of images"),
        (lambda root: edit(root, lambda content: content.update(images=[])), "it lists no images"),
        (lambda root: edit(root, lambda content: content["images"].append(3)), "entry 8 of its list of image entries"),
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


@pytest.mark.slow
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


def test_the_root_may_be_a_variable(mini, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    unrooted = TaskConfig("object_detection", "coco2017")
    with pytest.raises(DataError, match=rf"give task.root=FOLDER or set {VARIABLE}"):
        coco2017(unrooted, "test")
    monkeypatch.setenv(VARIABLE, str(mini))
    assert len(coco2017(unrooted, "test")) == 8
