"""Options of data sets, tasks and teachers, which stand in the groups that name them."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict

import pytest

from sc2bench.config import compose, from_resolved
from sc2bench.config.compose import compose_whole, written
from sc2bench.config.explain import explain
from sc2bench.config.overrides import Shared
from sc2bench.core import registry
from sc2bench.core.errors import ConfigError
from sc2bench.data import load_dataset, spec_of
from sc2bench.runs import api
from sc2bench.teachers import load_teacher

PLUGIN = '''
"""Black squares, told apart by their brightness."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_doc import Doc

from sc2bench.config import TaskConfig, TeacherConfig, option
from sc2bench.core.registry import DATASETS, TASKS, TEACHERS, configured
from sc2bench.data import MemoryImages
from sc2bench.tasks.image_classification import ImageClassification
from sc2bench.teachers.fashion_resnet import fashion_resnet


@dataclass
class SquaresConfig(TaskConfig):
    side: Annotated[int, Doc("Pixels of a side.")] = option(28, least=1)


@DATASETS.register("squares")
@configured(SquaresConfig)
def squares(task, split):
    images = torch.arange(20, dtype=torch.uint8).repeat_interleave(task.side**2).view(20, 1, task.side, task.side)
    return MemoryImages(images, torch.arange(20) % 10, [str(index) for index in range(10)])


@dataclass
class StrictConfig(TaskConfig):
    strictness: Annotated[float, Doc("Of the judge.")] = option(0.5, most=1, counts="measured")


@TASKS.register("strict")
class Strict(ImageClassification):
    config_class = StrictConfig

    def __init__(self, dataset, options=None):
        super().__init__(dataset)
        self.strictness = (options or StrictConfig()).strictness


@dataclass
class ClashConfig(TaskConfig):
    side: Annotated[str, Doc("Of the judge.")] = "left"


@TASKS.register("sided")
class Sided(Strict):
    config_class = ClashConfig


@dataclass
class DimConfig(TeacherConfig):
    dimming: Annotated[float, Doc("What weights are multiplied by.")] = 1.0


@TEACHERS.register("dim")
@configured(DimConfig)
def dim(config):
    teacher = fashion_resnet()
    with torch.no_grad():
        for tensor in teacher.parameters():
            tensor *= config.dimming
    return teacher
'''
MINE = [
    "task.name=strict",
    "task.dataset=squares",
    "teacher.name=dim",
    "teacher.weights=random",
    "method=input_codec",
    "method.codec=raw",
]


@pytest.fixture
def plugin(tmp_path) -> Iterator[None]:
    """Registers a data set, two tasks and a teacher for the time of a test."""
    path = tmp_path / "squares_plugin.py"
    path.write_text(PLUGIN)
    registries = (registry.DATASETS, registry.TASKS, registry.TEACHERS)
    for each in registries:
        each.names()
    before = [(dict(each._entries), dict(each._origins)) for each in registries]
    registry.load_plugins([str(path)])
    yield
    for each, (entries, origins) in zip(registries, before, strict=True):
        each._entries, each._origins = entries, origins


@pytest.mark.usefixtures("plugin")
def test_one_file_adds_a_data_set_a_task_and_a_teacher_with_options():
    config = compose([*MINE, "task.side=32", "task.strictness=0.75", "teacher.dimming=0"])
    assert (config.task.side, config.task.strictness, config.teacher.dimming) == (32, 0.75, 0.0)
    assert load_dataset(config.task, "test")[:][0].shape == (20, 1, 32, 32)
    assert load_dataset(compose(MINE).task, "test")[:][0].shape == (20, 1, 28, 28)
    assert spec_of(config.task, "test").size == (32, 32)
    assert not any(tensor.any() for tensor in load_teacher(config.teacher).parameters())
    # Copies, and what is stored, are the same.
    assert deepcopy(config) == config == from_resolved(config.resolved())
    measured = api.evaluate(api.build([*MINE, "task.side=28"]), "fashion_mnist", overrides=MINE[:4])
    assert len(measured.bytes) == 20
    assert "Pixels of a side." in explain("task.side")
    assert "applies to: task.dataset=squares" in explain("task.side")


@pytest.mark.usefixtures("plugin")
def test_options_count_as_they_say():
    usual, larger, stricter = (compose([*MINE, *more]) for more in ([], ["task.side=32"], ["task.strictness=0.1"]))
    assert len({each.config_hash() for each in (usual, larger, stricter)}) == 3
    assert usual.training_hash() == stricter.training_hash() != larger.training_hash()


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.sied=3", r"unknown key 'task.sied'; did you mean 'task.side'"),
        ("task.side=0", r"task.side: 0 is below the least value, 1"),
        ("task.side=wide", r"task.side: Value 'wide' of type 'str' could not be converted"),
        ("task.strictness=2", r"task.strictness: 2.0 is above the largest value, 1"),
        ("teacher.diming=1", r"unknown key 'teacher.diming'; did you mean 'teacher.dimming'"),
        ("task.name=sided", r"task.side: data set 'squares' and task 'sided' both have an option of this name"),
        ("task.dataset=fashion_mnist task.side=3", r"'task.side'; it belongs to sided, squares, not to"),
    ],
)
def test_mistakes_name_the_full_key(override, message):
    with pytest.raises(ConfigError, match=message):
        compose([*MINE, *override.split()])


def test_stored_configurations_are_read_as_they_were():
    """With the fields that all tasks, teachers and evaluations had; the names are those that the points had then."""
    for overrides, old, names in (
        (["task=scenes_detection"], "faster_coco_eval", ("c1eda381564b", "777cba9f3150")),
        (["task=scenes_detection"], "pycocotools", ("777cba9f3150", "777cba9f3150")),
        (["task=ilsvrc2012", "task.resize=300", "task.interpolation=bicubic"], "pycocotools", ("b70a4cd3a2ae",)),
        (["task=imagenette"], "pycocotools", ("5124605158d4", "b11f54587d64")),
    ):
        config = compose([*overrides, "method=teacher"])
        stored = config.resolved()
        common = {"resize": None, "crop": None, "interpolation": "bilinear", "keep_decoded": False}
        stored["task"] = common | stored["task"]
        for name in ("coco_backend", "bootstrap"):
            stored["task"].pop(name, None)
        stored["teacher"] = {"backbone": None} | stored["teacher"]
        stored["evaluation"] |= {"coco_backend": old, "bootstrap": 10}
        read = from_resolved(stored)
        assert (read.config_hash(), read.training_hash())[: len(names)] == names
        assert "coco_backend" not in asdict(read.evaluation)
        if "detection" in overrides[0]:
            assert (read.task.coco_backend, read.task.bootstrap) == (old, 10)
        # As it would be composed today, it has the same name.
        today = [f"task.coco_backend={old}"] if "detection" in overrides[0] else []
        assert compose([*overrides, *today, "method=teacher"]).config_hash() == names[0]


def test_settings_of_all_experiments_pass_over_those_without_the_option():
    shared = [Shared("task.coco_backend=faster_coco_eval"), Shared("task.bootstrap=5"), Shared("task.resize=64")]
    classified = compose([*shared, "method=teacher"])
    assert classified == compose(["method=teacher"])
    detected = compose([*shared, "task=scenes_detection", "method=teacher"])
    assert (detected.task.coco_backend, detected.task.bootstrap) == ("faster_coco_eval", 5)
    with pytest.raises(ConfigError, match=r"unknown key 'task.bootstrpa'"):
        compose([Shared("task.bootstrpa=5"), "method=teacher"])


def test_a_written_configuration_is_read_as_the_same(tmp_path):
    config = compose(["task=imagenette", "method=teacher", "task.classes=folders"])
    path = tmp_path / "whole.yaml"
    path.write_text(written(config))
    assert compose_whole(path) == config
