"""What `sc2bench explain` says of keys, from the classes that hold their fields."""

from dataclasses import fields

import pytest

from sc2bench.cli import app, guarded
from sc2bench.config import CurveConfig, EvaluationConfig, RunConfig, compose
from sc2bench.config.explain import GROUPS, explain
from sc2bench.config.meanings import meanings
from sc2bench.core import registry
from sc2bench.core.errors import ConfigError

PLUGIN = """
from dataclasses import dataclass
from typing import Annotated

from annotated_doc import Doc

from sc2bench.config import MethodConfig
from sc2bench.core.registry import METHODS
from sc2bench.methods.teacher import TeacherMethod


@dataclass
class MineConfig(MethodConfig):
    colours: Annotated[int, Doc("How many are kept.")] = 7
    unsaid: list[float] | None = None


@METHODS.register("explained_plugin")
class Mine(TeacherMethod):
    \"\"\"Sends few colours.\"\"\"

    config_class = MineConfig
"""


def test_every_field_says_what_it_means():
    registries = [each for each in vars(registry).values() if isinstance(each, registry.Registry)]
    entries = [each[name] for each in registries for name in each.names()]
    classes = {each.config_class for each in entries if hasattr(each, "config_class")}
    assert len(classes) > 5
    places = {*GROUPS.values(), CurveConfig, *classes}
    silent = [f"{place.__name__}.{each.name}" for place in places for each in meanings(place) if not each.text]
    assert silent == []
    silent = [each.name for each in meanings(RunConfig) if each.name not in GROUPS and not each.text]
    assert silent == []


def test_fields_are_explained():
    assert explain("evaluation.samples").splitlines() == [
        "evaluation.samples",
        "    Measures on a fixed part of so many, with its share of each class; null: all.",
        "    type: whole number or null; default null",
    ]
    assert "    choices: train, validation, test" in explain("evaluation.split").splitlines()
    assert "type: whole number; default 0" in explain("seed")
    assert "beta: of method end_to_end, entropic_student" in explain("rate")
    losses = explain("stage2.losses")
    assert "type: {name: number}; default {}" in losses
    assert explain("suite.figures.mine").startswith("suite.figures.mine\n    File names, and the labels")
    assert f"choices: {', '.join(registry.LOSSES.names())}" in losses
    assert "stage2.losses.rate: Estimated bits a sample" in losses
    assert explain("stage1.losses.rate").startswith("stage1.losses.rate\n    Estimated bits a sample")
    codec = explain("method.codec")
    assert f"choices: {', '.join(registry.IMAGE_CODECS.names())}" in " ".join(codec.split())
    assert "applies to: method=feature_codec" in codec
    assert "default raw" in codec
    assert "of image codec heic: chroma=420|444" in explain("method.options.chroma")
    # What two methods share stands once.
    assert explain("method.hyper_channels").count("method.hyper_channels") == 1
    assert "applies to: method=end_to_end, method=entropic_student" in explain("method.hyper_channels")
    assert "type: list of numbers or null; default null" in explain("suite.curves.rates")


def test_groups_and_choices_are_explained():
    overview = explain()
    for name in (*GROUPS, "recipe", "rate", "source", "members"):
        assert f"\n  {name} " in overview
    student = explain("method.entropic_student")
    for field in fields(registry.METHODS["entropic_student"].config_class):
        assert (f"\nmethod.{field.name}\n" in student) is (field.name != "name")
    assert "chosen by: method=entropic_student" in student
    for group, schema in GROUPS.items():
        page = explain(group)
        assert all(f"\n{group}.{each.name}\n" in page for each in fields(schema))
    assert "fashion_mnist_end_to_end" in explain("recipe")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("evaluation.sample", "unknown key 'evaluation.sample'; did you mean 'evaluation.samples'?"),
        ("samples", "did you mean 'evaluation.samples' or 'stage1.samples'?"),
        ("input_codec", "did you mean 'method.input_codec'?"),
        ("stage2.losses.kdd", "did you mean 'stage2.losses.kd'?"),
        ("stage3.optimiser", "did you mean 'stage3.optimizer'?"),
        ("evaluation.samples.x", "did you mean 'evaluation.samples'?"),
        ("qqqqqq", "lists the groups: task, teacher, method"),
        ("", "unknown key ''"),
    ],
)
def test_unknown_keys_lead_to_known_ones(key, message):
    with pytest.raises(ConfigError) as error:
        explain(key)
    assert message in str(error.value)


def test_fields_of_plugins_are_explained(tmp_path, capsys):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    try:
        for key, lines in (
            ("method.colours", ["How many are kept.", "type: whole number; default 7"]),
            (
                "method.explained_plugin",
                [
                    "Sends few colours.",
                    "chosen by: method=explained_plugin",
                    "type: list of numbers or null; default null",
                ],
            ),
        ):
            with pytest.raises(SystemExit):
                app(["explain", "--plugin", str(plugin), key])
            shown = capsys.readouterr().out
            assert all(line in shown for line in lines)
        assert guarded(lambda: app(["explain", "method.colour"]), debug=False) == 1
        assert "did you mean 'method.colours'?" in capsys.readouterr().err
    finally:
        registry.METHODS._entries.pop("explained_plugin", None)
        registry.METHODS._origins.pop("explained_plugin", None)


def test_what_is_among_others_has_fields_below_its_name(monkeypatch):
    """A loss with options of its own, as they stand in `stage1.losses`."""

    class Sharp:
        """Wants sharp images."""

        config_class = EvaluationConfig

    monkeypatch.setitem(registry.LOSSES._entries, "sharp", Sharp)
    page = explain("stage1.losses.sharp")
    assert page.startswith("stage1.losses.sharp\n    Wants sharp images.\n    chosen by: stage1.losses.sharp=FLOAT\n")
    assert "stage1.losses.sharp.threads" in page
    assert "type: whole number; default 1" in explain("stage1.losses.sharp.threads")
    assert "stage1.losses.sharp.threads" in explain("stage1")


def test_choices_of_methods_are_checked_before_anything_runs():
    for override, message in (
        ("method.codec=webpp", "method.codec: unknown image codec 'webpp'; did you mean 'webp'?"),
        ("method.ranges=samples", "method.ranges: unknown value 'samples'; did you mean 'sample'?"),
    ):
        with pytest.raises(ConfigError) as error:
            compose(["method=feature_codec", "rate=3", override])
        assert str(error.value) == message
