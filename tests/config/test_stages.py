"""Options of a stage: their spellings, and the names that experiments have had since all of them lay in the stage."""

import json

import pytest

from sc2bench.config import compose, from_resolved
from sc2bench.core.errors import ConfigError
from tests import REPOSITORY

IMAGENET = "task=ilsvrc2012 method=entropic_student rate=2"
# Hashes of training and of the whole, computed while all options lay in the stage.
HASHES = {
    "task=fashion_mnist method=entropic_student rate=2": ("21ff3cbc8d87", "21ff3cbc8d87"),
    "task=fashion_mnist method=channel_reduction rate=2": ("01c6298d9740", "01c6298d9740"),
    "task=fashion_mnist method=entropy_bottleneck rate=2": ("326a57d6d60a", "326a57d6d60a"),
    "task=coco2017 method=entropic_student rate=2": ("09a769803c4a", "be1800df87cf"),
    "task=coco2017 method=end_to_end rate=2": ("75711e6640c2", "6a41a7b5a835"),
    "task=pascal_voc2012 method=entropic_student rate=2": ("de775db0a006", "28bc5f57d4f1"),
    "task=scenes_all method=multi_task rate=2": ("ec26fea8dae5", "ec26fea8dae5"),
    "task=scenes_detection method=channel_reduction rate=2 stage1.losses.task=0.5": ("1b2a5c943d46", "b20ccb221090"),
    "method=teacher recipe=train_fashion_resnet": ("c1a3792f3895", "c1a3792f3895"),
    "method=teacher recipe=train_fashion_resnet stage1.optimizer=adamw stage1.epochs=7": ("9dcab5eb215b",) * 2,
    "method=teacher recipe=train_scenes_detector": ("09a43b0d8960", "2f9074e89aae"),
    # The milestones, which have no effect then, are a part of the name, and the weight decay stays.
    f"{IMAGENET} stage1.schedule=cosine": ("8d579f3653f4", "f97f6c6b78d1"),
    f"{IMAGENET} stage2.optimizer=adam": ("14ef30c68dba", "bebd860efcba"),
    f"{IMAGENET} stage1.schedule=cosine stage1.schedule=multi_step stage1.epochs=20": ("629fef867757", "0efdac012e49"),
}
# A second stage as it was stored then, but for what is the same now.
OLD_STAGE = {
    "kd_alpha": 0.9,
    "kd_temperature": 4.0,
    "label_smoothing": 0.1,
    "momentum": 0.8,
    "nesterov": True,
    "weight_decay": 0.0,
    "warmup": 0.2,
    "milestones": [],
    "gamma": 0.1,
    "optimizer": "sgd",
    "schedule": "one_cycle",
    "losses": {"kd": 1.0, "task": 0.5},
}
STUDENT = ["method=entropic_student", "rate=0.5"]


@pytest.mark.parametrize("overrides", HASHES)
def test_experiments_keep_their_names(overrides):
    config = compose(overrides.split())
    assert (config.training_hash(), config.config_hash()) == HASHES[overrides]


def test_records_of_then_are_read_with_their_names():
    read = 0
    for path in sorted((REPOSITORY / "results").glob("embedded*/**/*student*/*.json"))[::4]:
        record = json.loads(path.read_text())
        assert from_resolved(record["config"]).config_hash() == record["config_hash"], path
        read += 1
    assert read > 3


def test_a_stage_of_then_is_upgraded():
    stored = compose([*STUDENT, "stage1.schedule.warmup=0.3"]).resolved()
    stored["stage2"] |= OLD_STAGE
    config = from_resolved(stored)
    stage = config.stages["stage2"]
    assert (stage.losses["kd"].alpha, stage.losses["kd"].temperature) == (0.9, 4.0)
    assert [loss.label_smoothing for loss in stage.losses.values()] == [0.1, 0.1]
    assert (stage.optimizer.momentum, stage.optimizer.nesterov) == (0.8, True)
    assert config.config_hash() == "e37873026af2"
    spelled = [
        "stage1.schedule.warmup=0.3",
        "stage2.losses={kd: {alpha: 0.9, temperature: 4, label_smoothing: 0.1}}",
        "stage2.losses.task={weight: 0.5, label_smoothing: 0.1}",
        "stage2.optimizer={name: sgd, momentum: 0.8, nesterov: true}",
    ]
    assert compose([*STUDENT, *spelled]) == config


def test_settings_without_effect_of_a_stage_of_then_are_a_part_of_its_name():
    stored = compose(["task=ilsvrc2012", "method=entropic_student"]).resolved()
    flat = {"schedule": "cosine", "milestones": [5, 8], "gamma": 0.1, "optimizer": "adam", "momentum": 0.9}
    stored["stage1"] |= flat | {"losses": {"feature_sse": 1.0, "rate": 0.16}}
    config = from_resolved(stored)
    assert config.stages["stage1"].former == {"milestones": [5, 8]}
    assert (config.training_hash(), config.config_hash()) == ("1321a21f2825", "b36ff53fd6b3")
    assert from_resolved(json.loads(json.dumps(config.resolved()))) == config
    stored["stage1"]["milestones"] = "x"
    with pytest.raises(ConfigError, match=r"stage1.schedule.multi_step.milestones: 'x' is no list"):
        from_resolved(stored)


def test_short_and_long_forms_are_the_same_and_nested_fields_are_set():
    short = compose(STUDENT)
    long = [
        "stage2.losses.kd={name: kd, weight: 1.0}",
        "stage2.optimizer={name: adam}",
        "stage2.schedule.name=one_cycle",
    ]
    assert compose([*STUDENT, *long]) == short
    nested = ["stage2.losses.kd.temperature=4", "stage2.losses.kd=2", "stage2.optimizer=sgd"]
    stage = compose([*STUDENT, *nested, "stage2.optimizer.momentum=0.8"]).stages["stage2"]
    # A number is the weight, and leaves the other options.
    assert (stage.losses["kd"].weight, stage.losses["kd"].temperature) == (2.0, 4.0)
    assert (stage.optimizer.name, stage.optimizer.momentum) == ("sgd", 0.8)
    milestones = ["stage2.schedule={name: multi_step, milestones: [1, 2]}", "stage2.epochs=8"]
    assert compose([*STUDENT, *milestones]).stages["stage2"].schedule.milestones == [1, 2]
    # Another name brings options of its own; what both have from a common base stays.
    decayed = compose(["task=ilsvrc2012", "method=entropic_student", "stage2.optimizer.name=adamw"]).stages["stage2"]
    assert vars(decayed.optimizer) == {"name": "adamw", "weight_decay": 5e-4}


def test_one_loss_may_stand_twice():
    late = "stage1.losses.late={name: feature_relative, weight: 0.5, layers: [fc]}"
    config = compose([*STUDENT, late])
    found = config.stages["stage1"].losses["late"]
    assert (found.name, found.weight, found.layers) == ("feature_relative", 0.5, ["fc"])  # type: ignore[attr-defined]
    names = {config.config_hash()}
    for other in (STUDENT, [*STUDENT, late.replace("fc", "layer1")], [*STUDENT, late.replace("relative", "sse")]):
        names.add(compose(other).config_hash())
    assert len(names) == 4
    # Both distil, at temperatures that differ: there was no spelling for that.
    twice = [*STUDENT, "stage2.losses.soft={name: kd, weight: 1, temperature: 4}"]
    assert compose(twice).config_hash() != compose([*twice, "stage2.losses.kd.temperature=4"]).config_hash()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "stage2.losses.kd.temprature=4",
            "stage2.losses.kd.temprature: unknown option of loss 'kd'; did you mean 'temperature'?",
        ),
        ("stage2.losses.kd.temperature=x", "stage2.losses.kd.temperature: Value 'x' of type 'str' could not be"),
        ("stage2.losses.kd.temperature=0", "stage2.losses.kd.temperature: 0.0 must be above 0"),
        ("stage1.losses.kd.alpha=0.3", "stage1.losses.kd.weight: no value is given, and without one there is no such"),
        (
            "stage1.losses.late={name: feature_sss, weight: 1}",
            "unknown loss 'feature_sss'; did you mean 'feature_sse'?",
        ),
        ("stage1.optimizer={name: sgd, nesterov: true, momentum: 0}", "stage1.optimizer.nesterov: needs a momentum"),
        ("stage1.optimizer=[sgd]", "stage1.optimizer: '['sgd']' is no name"),
        ("stage1.schedule=null", "stage1.schedule: null, where a value is expected"),
        (
            "stage1.momentum=0.9",
            "stage1.momentum: options belong to what they configure; write stage1.optimizer.momentum",
        ),
        ("stage1.label_smoothing=0.1", "write stage1.losses.kd.label_smoothing or stage1.losses.task.label_smoothing"),
    ],
)
def test_mistakes_in_options_name_the_full_key(override, message):
    with pytest.raises(ConfigError) as error:
        compose([*STUDENT, override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)
