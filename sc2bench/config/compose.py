"""Composing configurations from YAML files and the command line, with the full key in every error.

YAML files under `configs/` fill the groups; `key=value` overrides come last. What a method adds (`method.*`) is a
dataclass in the method's own file, found through the registry.
"""

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sc2bench.config.checks import check
from sc2bench.config.curves import settle_curves
from sc2bench.config.schemas import (
    CurveConfig,
    EvaluationConfig,
    RunConfig,
    Settings,
    StageConfig,
    SuiteConfig,
    TaskConfig,
    TeacherConfig,
)
from sc2bench.errors import ConfigError, nearest
from sc2bench.registry import METHODS
from sc2bench.text import one_line

# Names of figures that a suite can't give to its own.
_OWN_FIGURES = ("cost_accuracy", "rate_cost_accuracy", "link_latency", "predictions")
# Groups whose choice is a file, as in `method=entropic_student`.
FILE_GROUPS = ("task", "method", "recipe")


@cache
def config_dir() -> Path:
    """The folder of the YAML files: inside an installed package, or at the top of a source tree."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "configs", here.parent / "configs"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder configs/ is missing beside {here}; install sc2bench again")


def compose(overrides: Sequence[str] = (), config_dirs: Sequence[str] = ()) -> RunConfig:
    """Composes one experiment from the YAML files and overrides, and checks it.

    Args:
        overrides: `key=value`; `task=`, `method=` and `recipe=` choose files, all others set fields.
        config_dirs: further folders to look for files in, laid out like `configs/`.

    Raises:
        ConfigError: an unknown key, name or file, a wrong type or value; the sentence names the full key.
    """
    places = (config_dir(), *(Path(folder).resolve() for folder in config_dirs))
    parsed = [_checked_override(text, places) for text in overrides]
    # Hydra takes a good part of a second for the files, and a suite has hundreds of experiments with the same ones.
    files = tuple(f"{key}={value}" for key, value in {k: v for k, v in parsed if k in FILE_GROUPS}.items())
    composed = deepcopy(_composed_files(places, files))
    try:
        for key, value in parsed:
            if key not in FILE_GROUPS:
                OmegaConf.update(composed, key, value, force_add=True)
        raw = OmegaConf.to_container(composed, resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"the configuration can't be composed: {_sentence(error)}") from error
    assert isinstance(raw, dict)
    return from_resolved(_with_parts({str(key): value for key, value in raw.items()}, config_dirs))


def _with_parts(raw: dict[str, Any], config_dirs: Sequence[str]) -> dict[str, Any]:
    """Composes the experiments that `source` and `members` give as lists of overrides; they lie where this one does."""

    def part(key: str, overrides: Any) -> dict[str, Any]:
        if not isinstance(overrides, list) or not all(isinstance(text, str) for text in overrides):
            raise ConfigError(f"{key}: '{overrides}' is no list of overrides, such as [task=ilsvrc2012, rate=0.16]")
        places = [f"{name}={raw[name]}" for name in ("output", "checkpoints") if name in raw]
        try:
            return compose([*places, *overrides], config_dirs).resolved()
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from error

    if raw.get("source") is not None:
        raw["source"] = part("source", raw["source"])
    raw["members"] = [part(f"members[{i}]", member) for i, member in enumerate(raw.get("members") or [])]
    return raw


@cache
def _composed_files(places: tuple[Path, ...], files: tuple[str, ...]) -> DictConfig:
    """What the chosen files say together, with their interpolations still open."""
    search = ",".join(f"file://{place}" for place in places[1:])
    try:
        with initialize_config_dir(str(places[0]), version_base="1.3"):
            composed = hydra_compose("run", [f"hydra.searchpath=[{search}]", *files])
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"the configuration can't be composed: {_sentence(error)}") from error
    OmegaConf.set_struct(composed, False)
    return composed


def from_resolved(raw: dict[str, Any]) -> RunConfig:
    """Checks a configuration that is whole already, such as one stored with a record; raises `ConfigError`."""
    config = _typed_run(raw)
    check(config)
    return config


def load_suite(name: str, config_dirs: Sequence[str] = ()) -> SuiteConfig:
    """Reads a suite by name (from `configs/suite/`) or by the path of a YAML file.

    Raises:
        ConfigError: no such suite, a typo in it, or a suite without curves.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = config_files("suite", config_dirs)
        if name not in known:
            raise ConfigError(f"unknown suite '{name}'; {nearest(name, known)}")
        path = known[name]
    try:
        raw = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"suite file {path} can't be read: {_sentence(error)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"suite file {path} is not valid YAML: {_sentence(error)}") from error
    if not isinstance(raw, dict) or not raw.get("curves"):
        raise ConfigError(f"suite file {path} lists no curves; add at least one under 'curves:'")
    raw = {str(key): value for key, value in raw.items()}
    raw.setdefault("name", path.stem)
    given = raw["curves"]
    raw["curves"] = [_typed(CurveConfig, curve, f"curves[{i}]") for i, curve in enumerate(given)]
    curves = raw.pop("curves")
    suite = _typed(SuiteConfig, raw, "", extra=("curves",))
    suite.curves = curves
    settle_curves(suite, given)
    labels = [curve.label for curve in suite.curves]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"suite '{suite.name}' has two curves with the label '{label}'; give each its own")
    if suite.anchor is not None and suite.anchor not in labels:
        raise ConfigError(
            f"anchor: suite '{suite.name}' has no curve '{suite.anchor}'; {nearest(suite.anchor, labels)}"
        )
    _check_figures(suite, labels)
    return suite


def _check_figures(suite: SuiteConfig, labels: Sequence[str]) -> None:
    for name, shown in suite.figures.items():
        if name in _OWN_FIGURES:
            raise ConfigError(f"figures: '{name}' is a figure that every report may have; give this one another name")
        if not name or Path(name).name != name or one_line(name) != name:
            raise ConfigError(f"figures: '{name}' is not a file name; use a plain name such as 'rate_accuracy'")
        if not shown:
            raise ConfigError(f"figures.{name}: no curves; list labels of curves, or leave the figure out")
        for label in shown:
            if label not in labels:
                raise ConfigError(
                    f"figures.{name}: suite '{suite.name}' has no curve '{label}'; {nearest(label, labels)}"
                )


def config_files(group: str, config_dirs: Sequence[str] = ()) -> dict[str, Path]:
    """The files of a group ("task", "method", "recipe", "suite") in `configs/` and in further folders, by name."""
    places = [config_dir(), *(Path(folder) for folder in config_dirs)]
    return {file.stem: file for place in places for file in (place / group).glob("*.yaml")}


def _checked_override(text: str, places: Sequence[Path]) -> tuple[str, Any]:
    """Checks the form of one override, and the file that it names; returns its key and its value."""
    key, separator, value = text.partition("=")
    key = key.lstrip("+~")
    if not separator or not key:
        raise ConfigError(f"'{text}' is not of the form key=value")
    try:
        parsed = OverridesParser.create().parse_override(f"++{key}={value}").value()
    except HydraException as error:
        raise ConfigError(f"{key}: the value '{value}' can't be parsed: {_sentence(error)}; quote it") from error
    if key in FILE_GROUPS:
        known = [file.stem for place in places for file in (place / key).glob("*.yaml")]
        if value not in known:
            raise ConfigError(f"{key}: unknown {key} '{value}'; {nearest(value, known)}")
        return key, value
    return key, parsed


def _typed_run(raw: dict[str, Any]) -> RunConfig:
    parts = {
        "source": None if raw.get("source") is None else from_resolved(raw["source"]),
        "members": [from_resolved(member) for member in raw.get("members") or []],
    }
    raw = {key: value for key, value in raw.items() if key not in parts}
    schemas = {
        "task": TaskConfig,
        "teacher": TeacherConfig,
        "method": _method_schema(raw.get("method")),
        "stage1": StageConfig,
        "stage2": StageConfig,
        "stage3": StageConfig,
        "evaluation": EvaluationConfig,
    }
    scalars = {key: value for key, value in raw.items() if key not in schemas}
    settings = _typed(Settings, scalars, "", extra=(*schemas, *parts))
    groups = {}
    for name, schema in schemas.items():
        if raw.get(name) is not None:
            groups[name] = _typed_group(schema, json.dumps(_without_null_losses(raw[name])), name)
    return RunConfig(**vars(settings), **groups, **parts)  # type: ignore[arg-type]


def _typed_group(schema: type, raw: str, name: str) -> Any:
    return deepcopy(_typed_once(schema, raw, name))


@cache
def _typed_once(schema: type, raw: str, name: str) -> Any:
    """Experiments of a suite differ in few groups; the JSON text of a group is its key."""
    return _typed(schema, json.loads(raw), name)


def _method_schema(method: Any) -> type:
    if not isinstance(method, dict) or "name" not in method:
        raise ConfigError("no method is chosen; add method=NAME")
    try:
        return METHODS[method["name"]].config_class
    except ConfigError as error:
        raise ConfigError(f"method.name: {error}") from None


def _without_null_losses(group: Any) -> Any:
    """Files are merged key by key, so a recipe drops a loss of the method's file by setting it to null."""
    if isinstance(group, dict) and isinstance(group.get("losses"), dict):
        return group | {"losses": {name: weight for name, weight in group["losses"].items() if weight is not None}}
    return group


def _typed(schema: type, raw: Any, prefix: str, extra: Iterable[str] = ()) -> Any:
    """Turns a dictionary into an instance of a dataclass, with the full key in every error.

    Args:
        schema: the dataclass.
        raw: the dictionary.
        prefix: what stands before the fields in a full key; empty at the top.
        extra: further keys that are known but not filled here.
    """

    def full(key: str) -> str:
        return f"{prefix}.{key}" if prefix else key

    if not isinstance(raw, dict):
        raise ConfigError(f"{prefix}: expected fields, got '{raw}'")
    known = [f.name for f in fields(schema)]
    for key in raw:
        if key not in known:
            raise ConfigError(
                f"unknown key '{full(key)}'; {nearest(full(key), [full(name) for name in (*known, *extra)])}"
            )
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), raw)
        missing = sorted(str(key) for key in OmegaConf.missing_keys(merged))
        if missing:
            raise ConfigError(f"{full(missing[0])}: no value is given")
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        where = full(str(error.full_key)) if getattr(error, "full_key", None) else prefix
        raise ConfigError(f"{where}: {_sentence(error)}") from error


def _sentence(error: BaseException) -> str:
    """What a library's error says, on one line."""
    if isinstance(error, yaml.YAMLError):
        return " ".join(str(error).split())
    # OmegaConf and Hydra add lines about their own internals.
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
