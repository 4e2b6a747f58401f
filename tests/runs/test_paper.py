"""The paper suite holds each published experiment exactly once."""

import csv
from collections import Counter
from types import SimpleNamespace

import pytest

from sc2bench.config import ExperimentConfig, StageConfig
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.suite import Suite
from tests import FIXTURES, REPOSITORY

EXPERIMENTS = FIXTURES / "paper_experiments.csv"
METHODS = {
    "codec_input_compression": "input_codec",
    "codec_feature_compression": "feature_codec",
    "neural_input_compression": "neural_input_codec",
    "channel_reduction_quantization": "channel_reduction",
    "entropy_bottleneck_finetuning": "entropy_bottleneck",
    "entropic_student": "entropic_student",
    "end_to_end": "end_to_end",
}
TEACHERS = {
    "regnety6.4gf": "regnety_064",
    "hybrid_vit_small_r26_s32_224": "vit_small_r26_s32_224",
    "faster_rcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn",
}
PRIORS = {
    "fp": "factorized",
    "factorized_prior": "factorized",
    "mshp": "mean_scale_hyperprior",
    "joint_autoregressive_hierarchical_prior": "joint_autoregressive",
    "none": None,
}
# The paper does not say which qualities its VTM points have.
UNSPECIFIED = "22:47:5"


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite.load("paper")


def published_points() -> Counter[tuple]:
    """One entry a point: task, data set, method, teacher, codec, prior, where the bottleneck stands, rate."""
    points: Counter[tuple] = Counter()
    with EXPERIMENTS.open() as file:
        for row in csv.DictReader(file):
            method = METHODS[row["method"]]
            teacher = TEACHERS.get(row["reference_model"], row["reference_model"])
            name, _, stage = row["prior_or_codec"].partition("@")
            codec, prior = (name, None) if method.endswith("_codec") and "neural" not in method else (None, name)
            prior = PRIORS.get(prior, prior)
            for rate in rates_of(row["rate_values"]):
                points[row["task"], row["dataset"], method, teacher, codec, prior, stage or None, rate] += 1
    return points


def rates_of(text: str) -> list[float]:
    start, *rest = (UNSPECIFIED if text == "unspecified" else text).split(":")
    return [float(value) for value in range(int(start), int(rest[0]) + 1, int(rest[1]))] if rest else [float(start)]


def point_of(run: Experiment) -> tuple:
    config = run.config
    method = config.method
    stage = method.after if method.name == "entropy_bottleneck" else None
    # What has no choice of prior has the factorized one.
    prior = getattr(method, "prior", "factorized" if method.name == "entropy_bottleneck" else None)
    codec = getattr(method, "codec", None)
    task = config.task
    return task.name, task.dataset, method.name, config.teacher.name, codec, prior, stage, config.rate


def test_each_published_experiment_is_there_exactly_once(suite):
    expected = published_points()
    assert len(expected) == 546
    assert set(expected.values()) == {1}
    found = Counter(point_of(run) for run in suite.all_experiments())
    assert found == expected
    assert len({run.id for run in suite.all_experiments()}) == len(suite.all_experiments())


def test_all_rows_of_the_table_are_read():
    with EXPERIMENTS.open() as file:
        rows = Counter(row["dataset"] for row in csv.DictReader(file))
    assert rows == {"ilsvrc2012": 133, "coco2017": 25, "pascal_voc2012": 31}


def run_of(suite: Suite, label: str) -> Experiment:
    return suite.experiments[label][0]


def flat(stage: StageConfig) -> SimpleNamespace:
    """A stage with the options of its optimizer, its schedule and its losses side by side."""
    options = {key: value for each in stage.chosen().values() for key, value in vars(each).items()}
    names = {"optimizer": stage.optimizer.name, "schedule": stage.schedule.name}
    losses = {name: loss.weight for name, loss in stage.losses.items()}
    return SimpleNamespace(**(options | vars(stage) | names | {"losses": losses}))


def stages_of(config: ExperimentConfig) -> list[SimpleNamespace]:
    return [flat(stage) for stage in config.stages.values()]


def test_recipes_are_the_published_ones(suite):
    student = run_of(suite, "Entropic Student, ResNet-50").config
    first, second = stages_of(student)
    assert (first.epochs, first.batch_size, first.optimizer, first.learning_rate) == (10, 64, "adam", 1e-3)
    assert (first.milestones, first.losses) == ([5, 8], {"feature_sse": 1.0, "rate": 0.08})
    assert first.features == ["layer1", "layer2", "layer3", "layer4"]
    assert (second.epochs, second.batch_size, second.optimizer, second.learning_rate) == (10, 128, "sgd", 1e-3)
    assert (second.momentum, second.weight_decay, second.milestones) == (0.9, 5e-4, [5])
    assert (second.losses, second.alpha, second.temperature) == ({"kd": 1.0}, 0.5, 1.0)
    assert "device.encoder" not in second.trainable

    reduction = run_of(suite, "CR+BQ, ResNet-50").config
    (only,) = stages_of(reduction)
    assert (only.epochs, only.batch_size, only.optimizer, only.learning_rate) == (20, 64, "adam", 1e-3)
    assert (only.milestones, only.losses) == ([5, 10, 15], {"feature_sse": 1.0})

    joint = run_of(suite, "End-to-end, ResNet-50").config
    (only,) = stages_of(joint)
    assert (only.epochs, only.batch_size, only.learning_rate, only.weight_decay) == (60, 256, 1e-3, 1e-4)
    assert (only.schedule, only.losses) == ("cosine", {"task": 1.0, "rate": 1.28e-8})

    for layer, batch_size in (("layer1", 128), ("layer2", 128), ("layer3", 256), ("layer4", 256), ("avgpool", 256)):
        (only,) = stages_of(run_of(suite, f"Entropy bottleneck at {layer}, ResNet-50").config)
        assert (only.epochs, only.batch_size, only.accumulation_steps, only.milestones) == (10, batch_size, 2, [5, 8])


def test_recipes_of_other_tasks_take_encoders_over_from_imagenet(suite):
    for label in ("Faster R-CNN", "DeepLabv3"):
        for method in ("Entropic Student", "End-to-end"):
            for run in suite.experiments[f"{method}, {label}"]:
                (source,) = run.parts
                assert source.config.task.dataset == "ilsvrc2012"
                assert source.config.teacher.name == "resnet50"
                assert (source.config.method, source.config.rate) == (run.config.method, run.config.rate)
                trained = [path for stage in run.config.stages.values() for path in stage.trainable]
                assert not any(path.startswith("device") for path in trained)
        assert run_of(suite, f"CR+BQ, {label}").parts == []

    first, second = stages_of(run_of(suite, "Entropic Student, Faster R-CNN").config)
    assert (first.epochs, first.learning_rate, first.milestones, first.losses) == (5, 1e-3, [3], {"feature_sse": 1.0})
    assert (second.epochs, second.optimizer, second.learning_rate, second.losses) == (5, "sgd", 1e-4, {"task": 1.0})
    (only,) = stages_of(run_of(suite, "End-to-end, Faster R-CNN").config)
    assert (only.epochs, only.optimizer, only.learning_rate, only.milestones) == (10, "sgd", 1e-4, [5])
    (only,) = stages_of(run_of(suite, "CR+BQ, Faster R-CNN").config)
    assert (only.epochs, only.optimizer, only.learning_rate, only.milestones) == (20, "adam", 1e-3, [5, 15])

    first, second = stages_of(run_of(suite, "Entropic Student, DeepLabv3").config)
    assert (first.epochs, first.batch_size, first.milestones) == (40, 16, [30, 35])
    assert (first.features, first.trainable) == (
        ["layer2", "layer3", "layer4"],
        ["server.decoder", "server.tail.layer2"],
    )
    assert (second.epochs, second.learning_rate, second.schedule, second.losses) == (
        10,
        2.5e-3,
        "polynomial",
        {"task": 1},
    )
    (only,) = stages_of(run_of(suite, "End-to-end, DeepLabv3").config)
    assert (only.epochs, only.batch_size, only.weight_decay, only.schedule) == (50, 8, 1e-4, "polynomial")
    (only,) = stages_of(run_of(suite, "CR+BQ, DeepLabv3").config)
    assert (only.epochs, only.batch_size, only.milestones) == (50, 16, [30, 40])


def test_configuration_stays_small():
    files = (REPOSITORY / "configs").rglob("*.yaml")
    assert sum(len(path.read_text().splitlines()) for path in files) < 1500
