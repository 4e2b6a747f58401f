"""Values of wrong types, settings without effect, recipes, and suites that are shrunk."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from sc2bench.config import (
    CurveConfig,
    EvaluationConfig,
    StageConfig,
    SuiteConfig,
    TaskConfig,
    TeacherConfig,
    compose,
    config_dir,
    from_resolved,
    load_suite,
)
from sc2bench.config.fields import type_at
from sc2bench.config.schemas import Settings
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import METHODS
from sc2bench.runs.suite import Suite

WRONG = {
    int: ["x", "1.5", "nan", "inf", "1e3", "", "10,20", "[1]", "{a: 1}", "[]", "true"],
    float: ["x", "nan", "inf", "-inf", "1,5", "", "10,20", "[1]", "{a: 1}", "[]", "true"],
    bool: ["x", "2", "nan", "", "[true]", "{a: 1}"],
    list: ["x", "1", "{a: 1}", "a,b", "true"],
    dict: ["x", "1", "[1]", "[]", "true"],
}
INNER = {int: ["x", "1.5", "nan", "[1]", "null"], float: ["x", "nan", "[1]", "{a: 1}"], str: ["[1]", "{a: 1}", "null"]}
JSON = {
    int: [1.5, True, "x", [1], {}, [None]],
    float: [True, "x", [1.0], {}, float("nan"), float("inf")],
    bool: ["x", 2, [], {}],
    str: [True, 1.5, [], {}],
    list: ["x", 1, {}, True],
    dict: ["x", 1, [], True],
}

# Other tests of the same process load plugins.
SHIPPED = [name for name in METHODS.names() if METHODS[name].__module__.startswith("sc2bench.")]


def kinds(schema: type, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in fields(schema):
        if field.name != "name" or prefix in ("task", "teacher"):
            kind, _ = type_at(schema, [field.name])
            if is_dataclass(kind):
                continue
            yield (f"{prefix}.{field.name}" if prefix else field.name), kind


def all_fields() -> list[tuple[str, str, Any]]:
    groups = {"": Settings, "task": TaskConfig, "teacher": TeacherConfig, "stage1": StageConfig}
    groups["evaluation"] = EvaluationConfig
    found = [("end_to_end", *pair) for prefix, schema in groups.items() for pair in kinds(schema, prefix)]
    # Of what a stage chooses, which has options of its own.
    chosen = [("optimizer.weight_decay", float), ("losses.task.weight", float)]
    found += [("end_to_end", f"stage1.{key}", kind) for key, kind in chosen]
    return found + [(name, *pair) for name in SHIPPED for pair in kinds(METHODS[name].config_class, "method")]


def wrong_texts(kind: Any) -> list[str]:
    if get_origin(kind) is list:
        return [*WRONG[list], *(f"[{text}]" for text in INNER[get_args(kind)[0]])]
    if get_origin(kind) is dict:
        return [*WRONG[dict], *(f"{{a: {text}}}" for text in INNER.get(get_args(kind)[1], []) if text != "null")]
    return WRONG.get(kind, [])


@pytest.mark.slow
def test_values_of_wrong_types_name_the_full_key():
    tried = 0
    for method, key, kind in all_fields():
        rate = [] if method == "teacher" else ["rate=1"]
        base = ["recipe=none", f"method={method}", *rate, "stage1.trainable=[device]", "stage1.losses={task: 1}"]
        for text in wrong_texts(kind):
            with pytest.raises(ConfigError) as error:
                compose([*base, f"{key}={text}"])
            assert str(error.value).startswith(key), (key, text, str(error.value))
            assert "\n" not in str(error.value)
            tried += 1
    assert tried > 370


def test_values_of_wrong_types_in_stored_configurations_name_the_full_key():
    stored = compose(["method=end_to_end"]).resolved()
    for method, key, kind in all_fields():
        if method != "end_to_end":
            continue
        for value in JSON[get_origin(kind) or kind]:
            raw = json.loads(json.dumps(stored))
            place = raw
            *groups, name = key.split(".")
            for group in groups:
                place = place[group]
            place[name] = value
            with pytest.raises(ConfigError) as error:
                from_resolved(raw)
            assert str(error.value).startswith(key), (key, value, str(error.value))
    for raw in ([], "x", None, 3, {"method": []}, stored | {"members": 3}, stored | {"source": "x"}):
        with pytest.raises(ConfigError):
            from_resolved(raw)


def test_values_of_wrong_types_in_suites_name_the_place(tmp_path):
    path = tmp_path / "s.yaml"
    curve = {"label": "a", "overrides": ["method=input_codec"], "rates": [1]}
    for schema, prefix in ((CurveConfig, "curves[1]."), (SuiteConfig, "")):
        for name, hint in get_type_hints(schema).items():
            kind, _ = type_at(schema, [name])
            for text in wrong_texts(kind) if name != "curves" else []:
                suite: dict[str, Any] = {"curves": [curve, curve | {"label": "b"}]}
                (suite["curves"][1] if prefix else suite)[name] = "HERE"
                path.write_text(
                    json.dumps(suite).replace('"HERE"', text if text[:1] in ("[", "{") else json.dumps(text))
                )
                with pytest.raises(ConfigError, match=r"s\.yaml") as error:
                    load_suite(str(path))
                assert f"{prefix}{name}" in str(error.value), (name, hint, text)
    for rates, message in (
        ("[]", r"curves\[0\].rates: empty"),
        ("[1, 1.0]", r"curves\[0\].rates\[1\]: 1 is there twice"),
    ):
        path.write_text(f"curves: [{{label: a, rates: {rates}}}]\n")
        with pytest.raises(ConfigError, match=message):
            load_suite(str(path))
    path.write_text("curves: [{label: a, overrides: [method=teacher]}, {label: b, overrides: [rate=x]}]\n")
    with pytest.raises(ConfigError, match=r"curves\[1\], curve 'b': rate: .*'x'.* could not be converted"):
        Suite.load(str(path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage1.prior_learning_rate=0", "stage1.prior_learning_rate: 0.0 must be above 0"),
        ("stage1.schedule.warmup=1.5", r"stage1.schedule.warmup: 1.5 is not in 0 ... 1"),
        ("stage1.optimizer.weight_decay=-1", "stage1.optimizer.weight_decay: -1.0 is below"),
        ("stage2.losses.kd.label_smoothing=2", r"stage2.losses.kd.label_smoothing: 2.0 is not in"),
        ("method=neural_input_codec", "rate: method 'neural_input_codec' needs one"),
        ("stage3.epochs=2", "stage3: the experiment has no such stage"),
        ("output=", "output: '' is no path of a folder"),
        ("task.root=a\0b", "task.root: .* is no path of a folder"),
        ("a..b=1", "is not of the form key=value"),
        ("=1", "is not of the form key=value"),
        ("output.a=1", r"output: \{'a': '1'\} is no single value"),
        ("stage1.losses.rate.x=1", "stage1.losses.rate.*"),
        ("source=task=x", "source: 'task=x' is no list of overrides"),
        ("members=[a]", r"members\[0\]: 'a' is no list of overrides"),
        ("stage1.losses={kd: 1, kd: 2}", "the key 'kd' twice"),
        ("rate=${oc.env:HOME}", "can be referred to"),
    ],
)
def test_other_wrong_values(override, message):
    with pytest.raises(ConfigError, match=message):
        compose(["method=entropic_student", override])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=teacher", "rate=3"], "rate: method 'teacher' has no rate knob"),
        (
            ["method=input_codec", "method.codec=raw", "rate=3"],
            "rate: method 'input_codec' with codec 'raw' has no rate knob",
        ),
        (
            ["method=feature_codec", "method.codec=raw", "rate=3"],
            "rate: method 'feature_codec' with codec 'raw' has no rate knob",
        ),
        (
            ["stage1.kd_alpha=0.9"],
            "stage1.kd_alpha: options belong to what they .*; write stage1.losses.kd.alpha",
        ),
        (["stage1.schedule.milestones=[1]"], "unknown option of schedule 'one_cycle'; known: name, warmup"),
        (["stage1.optimizer.momentum=0.5"], "unknown option of optimizer 'adam'; known: name, weight_decay"),
        (
            ["task.resize=64", "task.crop=32"],
            r"'task.resize'; it belongs to ilsvrc2012, image_folder, imagenette, pascal",
        ),
        (["task.coco_backend=pycocotools"], "'task.coco_backend'; it belongs to multi_task, object_detection, not to"),
        (["task.rezise=64"], "unknown key 'task.rezise'; did you mean"),
        (["evaluation.coco_backend=pycocotools"], "evaluation.coco_backend: .* write task.coco_backend"),
        (
            ["teacher.backbone=fashion_resnet"],
            "'teacher.backbone'; it belongs to scenes_detector, scenes_seg",
        ),
        (
            ["task=scenes_detection", "stage2.losses.task.label_smoothing=0.1"],
            "stage2.losses.task.label_smoothing: the loss of task 'object_detection' smooths no labels",
        ),
        *(
            (["task=scenes_detection", override], f"{override.partition('=')[0]}: the loss of .* smooths no labels")
            for override in (
                "stage2.losses.task={weight: 1, label_smoothing: 0.1}",
                "stage2.losses={again: {name: task, weight: 1, label_smoothing: 0.1}}",
                "stage2={losses: {task: {weight: 1, label_smoothing: 0.1}}}",
            )
        ),
        (["stage1.former={momentum: 0.5}"], "stage1.former: it has no effect, .*; leave it out"),
        (["stage1={former: {momentum: 0.5}}"], "stage1.former: it has no effect, .*; leave it out"),
        (["stage1.former.momentum=0.5"], "stage1.former.momentum: it has no effect, .*; leave it out"),
        (
            ["method=neural_input_codec", "rate=1", "method.weights=x.pt"],
            "method.weights: layout 'small' is trained here",
        ),
    ],
)
def test_settings_without_effect_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        compose(overrides)


def test_settings_to_their_defaults_are_never_in_the_way():
    compose(["stage2.losses.kd.label_smoothing=0", "task.resize=null", "stage2.epochs=1", "stage2=null"])
    assert compose(["method=teacher", "rate=null"]).rate is None


def test_a_method_that_learns_needs_a_recipe_for_the_task(tmp_path):
    with pytest.raises(ConfigError) as error:
        compose(["task=scenes_detection", "method=entropy_bottleneck"])
    assert "no recipe of it for task 'scenes_detection'" in str(error.value)
    assert "fashion_mnist_entropy_bottleneck, ilsvrc2012_entropy_bottleneck" in str(error.value)
    assert "recipe=NAME" in str(error.value)
    assert "write recipe/scenes_detection_entropy_bottleneck.yaml with 'include: NAME'" in str(error.value)
    # What learns by its options needs one as well.
    small = ["task=scenes_detection", "method=neural_input_codec", "method.layout=small", "method.weights=random"]
    with pytest.raises(ConfigError, match=r"recipe=NAME \(fashion_mnist_neural_input_codec\)"):
        compose([*small, "rate=1"])
    assert compose([*small, "rate=1", "recipe=fashion_mnist_neural_input_codec"]).stages["stage1"].epochs == 2
    chosen = compose(["task=scenes_detection", "method=entropy_bottleneck", "recipe=ilsvrc2012_entropy_bottleneck"])
    assert chosen.stages["stage1"].epochs == 10
    bare = ["task=scenes_detection", "method=entropy_bottleneck", "recipe=none"]
    for without in (bare, ["stage1=null", "stage2=null"]):
        with pytest.raises(ConfigError, match="would measure random weights of"):
            compose(without)
    own = compose([*bare, "stage1.trainable=[device, server]", "stage1.losses={task:1.0,rate:${rate}}"])
    weights = {name: loss.weight for name, loss in own.stages["stage1"].losses.items()}
    assert weights == {"task": 1.0, "rate": own.rate}
    # Those that learn nothing need none.
    for method in ("teacher", "input_codec", "feature_codec", "neural_input_codec"):
        compose(["task=coco2017", f"method={method}", *(["rate=1"] if method != "teacher" else [])])


def test_files_include_others(tmp_path):
    """A file lies over those that it includes, in their order; a folder of one's own goes before the package's."""
    for folder in ("recipe", "suite"):
        (tmp_path / folder).mkdir()

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.yaml").write_text(text)

    def stage() -> tuple[int, int]:
        made = compose(["method=end_to_end"], [str(tmp_path)]).stages["stage1"]
        return made.epochs, made.batch_size

    own, head = "recipe/fashion_mnist_end_to_end", "# @package _global_\n"
    write("recipe/mine", head + "stage1: {epochs: 9, batch_size: 7}\n")
    write("recipe/other", head + "stage1: {epochs: 8}\n")
    write(own, head + "include: mine\nstage1: {epochs: 3}\n")
    assert stage() == (3, 7)
    write(own, head + "include: [mine, other]\n")
    assert stage() == (8, 7)
    for i in range(11):
        write(f"recipe/deep{i}", head + (f"include: deep{i + 1}\n" if i < 10 else "stage1: {epochs: 4}\n"))
    for text, message in (
        (
            "include: fashion_mnist_end_to_end\n",
            r"includes itself \(fashion_mnist_end_to_end, fashion_mnist_end_to_end",
        ),
        ("include: mien\n", "fashion_mnist_end_to_end.yaml: include: unknown recipe 'mien'; did you mean 'mine'"),
        ("include: {mine: 1}\n", "neither a name nor a list of names"),
        ("include: deep0\n", "deep9.yaml: include: more than 10 files lie over each other"),
        ("defaults: [mine, _self_]\n", "'defaults' is called include"),
    ):
        write(own, head + text)
        with pytest.raises(ConfigError, match=message) as error:
            stage()
        assert "\n" not in str(error.value)
    write(own, head + "include: deep2\n")
    assert stage() == (4, 256)
    # Suites: curves lie over those of the same label, and the name of a folder of results is no other suite's.
    write(
        "suite/base", "name: results\ncurves:\n- {label: A, rates: [1], order: 2}\n- {label: B, overrides: [rate=2]}\n"
    )
    write("suite/over", "include: base\nanchor: B\ncurves:\n- {label: C}\n- {label: A, rates: [3]}\n")
    suite = load_suite("over", [str(tmp_path)])
    assert (suite.name, suite.anchor) == ("over", "B")
    assert [(curve.label, curve.rates, curve.overrides) for curve in suite.curves] == [
        ("B", None, ["rate=2"]),
        ("C", None, []),
        ("A", [3.0], []),
    ]
    write("suite/base", "include: over\n")
    with pytest.raises(ConfigError, match=r"over.yaml includes itself \(over, base, over\)"):
        load_suite("over", [str(tmp_path)])


def test_a_recipe_stands_once():
    """Files that say the same are one, which others include; a line may be said again."""
    seen: dict[str, Path] = {}
    for path in sorted(config_dir().glob("recipe/*.yaml")):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        assert text not in seen or text.count("\n") == 0, f"{path} says what {seen[text]} says"
        seen[text] = path


@pytest.mark.parametrize(
    ("epochs", "expected"), [(20, [5, 10, 15]), (40, [10, 20, 30]), (4, [1, 2, 3]), (1, []), (3, [1, 2])]
)
def test_milestones_move_with_the_epochs(epochs, expected):
    base = ["task=ilsvrc2012", "method=channel_reduction", f"stage1.epochs={epochs}"]
    assert compose(base).stages["stage1"].schedule.milestones == expected
    with pytest.raises(ConfigError, match=r"stage1.schedule.milestones: \[99\] must lie between 1 and epochs"):
        compose([*base, "stage1.schedule.milestones=[99]"])


def test_suites_shrink_from_the_command_line(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "curves:\n"
        "- {label: JPEG, overrides: [method=input_codec], rates: [10]}\n"
        "- {label: T, overrides: [method=teacher]}\n"
        "- {label: Own, overrides: [task=ilsvrc2012, method=channel_reduction, stage1.epochs=10, "
        "'stage1.schedule.milestones=[4]']}\n"
        "- {label: S, overrides: [task=scenes_detection, method=entropic_student], rates: [0.1]}\n"
    )
    small = ["stage1.samples=256", "stage1.epochs=1", "stage2.epochs=1", "rate=2"]
    runs = {label: runs[0].config for label, runs in Suite.load(str(path), small).experiments.items()}
    assert runs["JPEG"].stages == runs["T"].stages == {}
    assert runs["T"].rate is None
    own = runs["Own"].stages["stage1"]
    assert (own.epochs, own.samples, own.schedule.milestones) == (1, 256, [])
    assert list(runs["Own"].stages) == ["stage1"]
    source = runs["S"].source
    assert source is not None
    assert {stage.epochs for config in (runs["S"], source) for stage in config.stages.values()} == {1}
    assert source.stages["stage1"].samples == 256
    for override, message in (
        ("stage3.epochs=1", "stage3.epochs: no experiment of suite 's' takes it: there is no stage3"),
        ("stage1.optimizer.momentum=0.5", "stage1.optimizer.momentum: no experiment of suite 's' takes it"),
        ("stage1.epocs=1", "unknown key 'stage1.epocs'"),
    ):
        with pytest.raises(ConfigError, match=message):
            Suite.load(str(path), [override])
    with pytest.raises(ConfigError, match=r"curve 'Own': stage1\.schedule\.milestones"):
        Suite.load(str(path), ["stage1.epochs=1", "stage1.schedule.milestones=[4]"])
