"""What `sc2bench explain` says of keys, from the classes that hold their fields."""

from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import pytest
from annotated_doc import Doc

from sc2bench.cli import app, guarded
from sc2bench.config import CurveConfig, ExperimentConfig, compose
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
    # Other tests register things of their own.
    classes = {each for each in classes if each.__module__.startswith("sc2bench.")}
    assert len(classes) > 5
    places = {*GROUPS.values(), CurveConfig, *classes}
    silent = [f"{place.__name__}.{each.name}" for place in places for each in meanings(place) if not each.text]
    assert silent == []
    silent = [each.name for each in meanings(ExperimentConfig) if each.name not in GROUPS and not each.text]
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
    assert "type: {name: fields}; default {}" in losses
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
    for each in fields(registry.METHODS["entropic_student"].config_class):
        assert (f"\nmethod.{each.name}\n" in student) is (each.name != "name")
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


@dataclass
class SpringConfig:
    name: Annotated[str, Doc("Of the registry.")] = "???"
    weight: Annotated[float, Doc("In the sum.")] = "???"  # type: ignore[assignment]
    stiffness: Annotated[int, Doc("Of the spring.")] = 4


class Spring:
    """Pulls back."""

    config_class = SpringConfig


SPRINGS: registry.Registry[Any] = registry.Registry("spring")
SPRINGS.register("coil")(Spring)
SPRINGS.register("plain")(len)


@dataclass
class SpringsConfig:
    """Springs of all kinds."""

    one: Annotated[SpringConfig, Doc("The first."), SPRINGS] = field(default_factory=lambda: SpringConfig("coil", 1))
    named: Annotated[dict[str, SpringConfig], Doc("More."), SPRINGS] = field(default_factory=dict)


def test_options_stand_where_the_field_that_chooses_says(monkeypatch):
    """In the group beside a name, below a field of options, below each of several names."""
    monkeypatch.setitem(registry.LOSSES._entries, "sharp", Spring)
    page = explain("stage1.losses.sharp")
    assert page.startswith(
        "stage1.losses.sharp\n    Pulls back.\n    chosen by: stage1.losses.sharp={weight: number}\n"
    )
    assert "type: whole number; default 4" in explain("stage1.losses.sharp.stiffness")
    assert "stage1.losses.sharp.stiffness" in explain("stage1")
    monkeypatch.setitem(GROUPS, "stage1", SpringsConfig)
    assert "type: fields; default coil\n    choices: coil, plain" in explain("stage1.one")
    assert "applies to: stage1.one=coil" in explain("stage1.one.stiffness")
    assert "chosen by: stage1.one=coil" in explain("stage1.one.coil")
    assert "chosen by: stage1.named.coil={weight: number}" in explain("stage1.named.coil")
    assert "type: number; it must be set" in explain("stage1.named.coil.weight")
    with pytest.raises(ConfigError, match=r"did you mean 'stage1\.one\.stiffness'"):
        explain("stage1.one.stifness")


def test_choices_of_methods_are_checked_before_anything_runs():
    for override, message in (
        ("method.codec=webpp", "method.codec: unknown image codec 'webpp'; did you mean 'webp'?"),
        ("method.ranges=samples", "method.ranges: unknown value 'samples'; did you mean 'sample'?"),
    ):
        with pytest.raises(ConfigError) as error:
            compose(["method=feature_codec", "rate=3", override])
        assert str(error.value) == message
