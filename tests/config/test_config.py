import json

import pytest

from sc2bench.config import compose, config_dir, from_resolved, load_suite
from sc2bench.core.errors import ConfigError


def test_files_and_overrides_compose():
    config = compose(["task=fashion_mnist", "method=entropic_student", "rate=0.25", "stage1.epochs=3"])
    assert config.task.dataset == "fashion_mnist"
    assert config.method.bottleneck == "fp_small"  # from the recipe of this task and method
    assert config.stage1 is not None
    assert config.stage1.epochs == 3
    assert {name: loss.weight for name, loss in config.stage1.losses.items()} == {
        "feature_relative": 1.0,
        "rate": 0.25,
    }  # the recipe drops feature_sse
    assert list(config.stages) == ["stage1", "stage2"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mehtod.prior=factorized", "unknown key 'mehtod'; did you mean 'method'?"),
        ("sede=1", "unknown key 'sede'; did you mean 'seed'?"),
        ("stage1.epocs=3", "unknown key 'stage1.epocs'; did you mean 'stage1.epochs'?"),
        ("method.latent_chanels=3", "unknown key 'method.latent_chanels'; did you mean 'method.latent_channels'?"),
        ("method=entropic_studnet", "method: unknown method 'entropic_studnet'; did you mean 'entropic_student'?"),
        ("task=fashion", "task: unknown task 'fashion'; did you mean 'fashion_mnist'?"),
        ("task.dataset=fashion_mnits", "task.dataset: unknown data set 'fashion_mnits'; did you mean 'fashion_mnist'?"),
        ("stage1.epochs=many", "stage1.epochs: Value 'many' of type 'str' could not be converted to Integer"),
        ("stage1.epochs=0", "stage1.epochs: 0 is below the least value, 1"),
        ("stage1.losses.kdd=1", "stage1.losses.kdd: unknown loss 'kdd'; did you mean 'kd'?"),
        ("stage1.optimizer=adamm", "stage1.optimizer: unknown optimizer 'adamm'; did you mean 'adam'?"),
        ("stage1=3", "stage1: expected fields, got '3'"),
        ("rate", "'rate' is not of the form key=value"),
        ("rate=null", "rate: method 'entropic_student' needs one; add rate=VALUE (its beta)"),
        ("stage1.augment=[flop]", "stage1.augment: unknown augmentation 'flop'; did you mean 'flip'?"),
        ("method.widths=[a", "method.widths: the value '[a' can't be parsed"),
        ("evaluation.server_precision=bf61", "evaluation.server_precision: unknown value 'bf61'; did you mean 'bf16'?"),
        ("seed=-1", "seed: -1 is not in 0 ... 2047"),
    ],
)
def test_typos_on_the_command_line_name_the_full_key(override, message):
    with pytest.raises(ConfigError) as error:
        compose(["task=fashion_mnist", "method=entropic_student", override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "# @package _global_\nmethod: {name: input_codec, codek: w}\n",
            "'method.codek'; did you mean 'method.codec'?",
        ),
        ("# @package _global_\nmethod: {name: input_codec}\nstgae1: {}\n", "'stgae1'; did you mean 'stage1'?"),
        ("# @package _global_\nmethod: {name: input_codec\n", "is not valid YAML"),
        ("# @package _global_\nmethod: {name: input_kodec}\n", "method.name: unknown method 'input_kodec'"),
    ],
)
def test_typos_in_files_name_the_full_key(tmp_path, content, message):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text(content)
    with pytest.raises(ConfigError) as error:
        compose(["method=mine", "rate=20"], [str(tmp_path)])
    assert message in str(error.value)


def test_hash_depends_on_what_matters():
    base = compose(["method=input_codec", "rate=20"])
    assert compose(["method=input_codec", "rate=20", "output=/elsewhere", "task.root=/data"]).config_hash() == (
        base.config_hash()
    )
    assert compose(["method=input_codec", "rate=30"]).config_hash() != base.config_hash()
    other_evaluation = compose(["method=input_codec", "rate=20", "evaluation.samples=10"])
    assert other_evaluation.config_hash() != base.config_hash()
    assert other_evaluation.training_hash() == base.training_hash()


def test_resolved_configuration_survives_json():
    config = compose(["method=entropic_student", "rate=0.5"])
    again = from_resolved(json.loads(json.dumps(config.resolved())))
    assert again == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("curves: []\n", "lists no curves"),
        ("curves:\n- {labl: a}\n", "unknown key 'curves[0].labl'; did you mean 'curves[0].label'?"),
        ("curves:\n- {label: a, rates: [x]}\n", "curves[0].rates[0]"),
        ("base: x\ncurves: [{label: b}]\n", "known: anchor, curves, figures, metric, name, overrides"),
        ("curve:\n- {label: a}\ncurves: [{label: b}]\n", "unknown key 'curve'; did you mean 'curves'?"),
        ("curves:\n- {label: a}\n- {label: a}\n", "two curves with the label 'a'"),
        ("anchor: b\ncurves:\n- {label: a}\n", "has no curve 'b'"),
        ("curves: [\n", "is not valid YAML"),
        (
            "figures: {a: [WebP, Jpg]}\ncurves:\n- {label: WebP}\n- {label: JPEG}\n",
            "figures.a: suite 'mine' has no curve 'Jpg'",
        ),
        ("figures: {a: [webp]}\ncurves:\n- {label: Webp}\n", "has no curve 'webp'; did you mean 'Webp'?"),
        ("figures: {a: []}\ncurves:\n- {label: WebP}\n", "figures.a: no curves"),
        ("figures: {a/b: [WebP]}\ncurves:\n- {label: WebP}\n", "'a/b' is not a file name"),
        ("figures: {a: WebP}\ncurves:\n- {label: WebP}\n", "figures.a"),
    ],
)
def test_wrong_suites_are_refused(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        load_suite(str(path))
    assert message in str(error.value)


def test_unknown_suite_lists_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown suite 'embeded'; did you mean 'embedded'\?"):
        load_suite("embeded")


@pytest.mark.slow
def test_every_shipped_suite_composes():
    from sc2bench.runs.suite import Suite

    for path in (config_dir() / "suite").glob("*.yaml"):
        runs = Suite.load(path.stem).all_experiments()
        assert len({run.record_path for run in runs}) == len(runs)


def test_all_yaml_stays_small():
    assert sum(len(path.read_text().splitlines()) for path in config_dir().rglob("*.yaml")) < 1500
