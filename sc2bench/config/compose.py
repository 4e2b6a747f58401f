"""Composing configurations from YAML files and overrides, with the full key in every error.

YAML files under `configs/` fill the groups; `key=value` overrides come last. What a method, a task, a data set or a
teacher adds to its group is a dataclass in its own file, found through the registry; see `groups`.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from sc2bench.config.checks import check, require_rate
from sc2bench.config.fields import typed
from sc2bench.config.files import (
    FILE_GROUPS,
    NO_RECIPE,
    STAGES,
    composed_files,
    config_places,
    learns,
    require_no_recipe,
)
from sc2bench.config.former import refuse_former, typed_former, upgraded
from sc2bench.config.groups import CHOOSERS, owners_of, require_owned, schema_of
from sc2bench.config.milestones import keys_set, rescale
from sc2bench.config.moved import refuse_moved, renewed
from sc2bench.config.overrides import Override, put, unquoted
from sc2bench.config.reading import Plain, read_yaml
from sc2bench.config.references import Verbatim, literal, resolve
from sc2bench.config.schemas import (
    EvaluationConfig,
    ExperimentConfig,
    Settings,
)
from sc2bench.config.stages import StageConfig, config_class_at, owner_of, typed_stage
from sc2bench.config.unused import has_rate, ignored, takes
from sc2bench.core.errors import ConfigError
from sc2bench.core.files import at_home
from sc2bench.core.registry import METHODS

# What experiments that this one builds on share with it: they lie where it does.
_PLACES = ("output", "checkpoints")
# A reference to the rate, without a backslash before it.
_RATE = re.compile(r"(?<!\\)\$\{rate\}")
# Those of run.yaml.
_TASK, _METHOD = "fashion_mnist", "entropic_student"


def compose(overrides: Sequence[str] = (), config_dirs: Sequence[str] = ()) -> ExperimentConfig:
    """Composes one experiment from the YAML files and overrides, and checks it.

    Where an override changes the epochs of a stage, milestones that were set before it move along; see `rescale`.

    Args:
        overrides: `key=value`; `task=`, `method=` and `recipe=` choose files, all others set fields. Texts, such as
            paths, are taken as they stand. Those that are `Shared` pass over stages that the experiment does not have,
            and over a rate where the method has none, and reach the stages of experiments that this one builds on.
        config_dirs: further folders to look for files in, laid out like `configs/`; their files go before.

    Raises:
        ConfigError: an unknown key, name or file, a wrong type or value, a setting without effect, or a method that
            learns without a recipe for the task; the sentence names the full key.
    """
    return _composed([Override.of(text) for text in overrides], config_places(config_dirs), {})


def compose_whole(path: str | Path, overrides: Sequence[str] = (), config_dirs: Sequence[str] = ()) -> ExperimentConfig:
    """Composes the experiment that one file holds, such as `written` makes it, with overrides laid over it.

    Args:
        path: of the YAML file, with all groups in it; no other file is read.
        overrides: `key=value`, as those of `compose`, but for those that choose files.
        config_dirs: where experiments that it builds on find their files, if they are given as lists of overrides.

    Raises:
        ConfigError: as `compose`; or the file can't be read, holds no experiment, or an override chooses a file.
    """
    settings = [Override.of(text) for text in overrides]
    for each in settings:
        if each.key in FILE_GROUPS:
            raise ConfigError(f"{each.key}=: {path} is a whole configuration; leave {each.key}= or the file out")
    tree, text = read_yaml(Path(path))
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no configuration; write one with `sc2bench run ... --print-config`")
    try:
        config = _composed(settings, config_places(config_dirs), {}, tree)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if (config.stages or config.parts) and any(each.key == "rate" for each in settings) and not _RATE.search(text):
        # Weights of losses and rates of other experiments would stay what they were.
        raise ConfigError(
            f"rate=: {path} holds what was made of its rate, such as weights of losses; compose it anew with that "
            "rate, or write ${rate} in their places"
        )
    return config


def written(config: ExperimentConfig) -> str:
    """A whole configuration as YAML, which `compose_whole` reads as the same one."""
    # A dollar sign would be the start of a reference.
    text: str = yaml.safe_dump(_escaped(config.resolved()), sort_keys=False, allow_unicode=True, width=120)
    return text


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return literal(value) if isinstance(value, str) else value


def _composed(
    overrides: Sequence[Override],
    places: tuple[Path, ...],
    given: dict[str, Any],
    whole: dict[str, Any] | None = None,
) -> ExperimentConfig:
    """Composes overrides over the files that they choose, or over a whole configuration."""
    chosen = {each.key: unquoted(each.text) for each in overrides if each.key in FILE_GROUPS}
    tree = {"rate": None} | (composed_files(chosen, places) if whole is None else whole) | given
    settings = [each for each in overrides if each.key not in FILE_GROUPS]
    _apply(tree, settings)
    refuse_former(tree)
    refuse_moved(tree)
    tree = resolve(tree, "the configuration")
    stages = [each for each in settings if each.shared and each.stage]
    config = _expanded(from_resolved(_with_parts(tree, places, stages)))
    for each in settings:
        # A stage that is not there was taken out by another override, as in stage2=null.
        passed_over = each.shared or each.stage not in (None, *config.stages)
        reason = None if passed_over else ignored(config, each.key)
        if reason is not None:
            raise ConfigError(f"{each.key}: {reason}")
    if not config.stages and not config.parts and whole is None:
        _check_untrained(config, chosen, settings, places)
    if config.rate is not None and not has_rate(config):
        raise ConfigError(f"rate: {ignored(config, 'rate')}")
    return config


def _check_untrained(
    config: ExperimentConfig, chosen: Mapping[str, str], settings: Sequence[Override], places: tuple[Path, ...]
) -> None:
    """Refuses a method that learns and has no stages of training: `run` would measure random weights."""
    task, method, recipe = chosen.get("task", _TASK), chosen.get("method", _METHOD), chosen.get("recipe")
    taken_out = recipe == NO_RECIPE or any(each.key in STAGES for each in settings)
    if config.method.learns() and recipe is None and not taken_out:
        require_no_recipe(task, method, places)
    if config.method.learns() or (taken_out and learns(method, places)):
        raise ConfigError(
            f"stage1: null, so that `run` would measure random weights of '{config.method.name}', which learns; set "
            "stage1.trainable, stage1.losses and what else it needs"
        )


def _apply(tree: dict[str, Any], settings: Sequence[Override]) -> None:
    """Sets the fields that overrides name, in order; those for all experiments only where they are of use."""
    schemas = _schemas({group: _chosen(group, tree, settings) for group in CHOOSERS}, settled=False)
    has = {name for name in STAGES if tree.get(name) is not None}
    has |= {each.stage for each in settings if each.stage and not each.shared}
    knob = METHODS[_chosen("method", tree, settings)["name"]].rate_knob is not None
    for shared, group in groupby(settings, key=lambda each: each.shared):
        level = [
            each
            for each in group
            if not shared
            or (each.stage in (None, *has) and (each.key != "rate" or knob) and not _of_others(each, schemas))
        ]
        before = {name: deepcopy(tree.get(name)) for name in STAGES}
        keys: set[str] = set()
        for each in level:
            if not shared or takes(tree, each.key):
                keys |= keys_set(each.key, _set(tree, each, schemas))
        for name in STAGES:
            if f"{name}.epochs" in keys and isinstance(tree.get(name), dict):
                rescale(before[name], tree[name], name, keys)


def _chosen(group: str, tree: dict[str, Any], settings: Sequence[Override]) -> dict[str, Any]:
    """What the fields of a group depend on, once overrides are applied."""
    found = tree.get(group)
    found = {name: found.get(name) for name in CHOOSERS[group]} if isinstance(found, dict) else {}
    return found | {
        name: unquoted(each.text) for each in settings for name in CHOOSERS[group] if each.key == f"{group}.{name}"
    }


def _of_others(override: Override, schemas: dict[str, type]) -> bool:
    """Whether an override sets an option that other data sets, tasks or teachers have, and the chosen ones have not."""
    group, _, name = override.key.partition(".")
    own = {f.name for f in fields(schemas[group])} if group in ("task", "teacher") else {name}
    return name not in own and bool(owners_of(group, name))


def _set(tree: dict[str, Any], override: Override, schemas: dict[str, type]) -> Any:
    group, *path = override.key.split(".")
    owner = owner_of(tree, (group, *path))
    options = None if owner is None else config_class_at(*owner)
    if options is not None:
        value = override.value(options, path[-1:])
    elif group in schemas:
        value = override.value(schemas[group], path) if path else override.value(None, [group])
    else:
        value = override.value(Settings, [group, *path])
    put(tree, override.key, value)
    return value


def _with_parts(raw: dict[str, Any], places: tuple[Path, ...], stages: Sequence[Override]) -> dict[str, Any]:
    """Composes the experiments that `source` and `members` give as lists of overrides; others are whole already.

    They lie where this one does, and have its seed and precision, unless they name others.
    """
    given: dict[str, Any] = {name: Verbatim(raw[name]) for name in _PLACES if isinstance(raw.get(name), str)}
    given |= {name: raw[name] for name in ("seed", "mixed_precision") if name in raw}

    def part(key: str, overrides: Any) -> dict[str, Any]:
        if isinstance(overrides, dict):
            return overrides
        if not isinstance(overrides, list) or not all(isinstance(text, str) for text in overrides):
            raise ConfigError(f"{key}: '{overrides}' is no list of overrides, such as [task=ilsvrc2012, rate=0.16]")
        try:
            return _composed([*map(Override.of, overrides), *stages], places, given).resolved()
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from error

    members = raw.get("members") or []
    if not isinstance(members, list):
        raise ConfigError(f"members: '{members}' is no list of lists of overrides")
    raw["members"] = [part(f"members[{i}]", member) for i, member in enumerate(members)]
    if raw.get("source") is not None:
        raw["source"] = part("source", raw["source"])
    return raw


def _expanded(config: Any) -> Any:
    """Lets a `~` at the start of a text, which is then a path, stand for the user's folder, as a shell does."""
    for name in [f.name for f in fields(config)]:
        value = getattr(config, name)
        if isinstance(value, str):
            setattr(config, name, at_home(value))
        for inner in value.values() if isinstance(value, dict) else [value]:
            if is_dataclass(inner) and not isinstance(inner, ExperimentConfig):
                _expanded(inner)
    return config


def from_resolved(raw: dict[str, Any]) -> ExperimentConfig:
    """Checks a configuration that is whole already, such as one stored with a record; raises `ConfigError`."""
    if not isinstance(raw, dict):
        raise ConfigError(f"'{raw}' is no configuration; it has no fields")
    config = _typed_run(raw)
    check(config)
    return config


def _typed_run(raw: dict[str, Any]) -> ExperimentConfig:
    members = raw.get("members") or []
    if not isinstance(members, list):
        raise ConfigError(f"members: '{members}' is no list of experiments")
    parts = {
        "source": None if raw.get("source") is None else from_resolved(raw["source"]),
        "members": [from_resolved(member) for member in members],
    }
    schemas = _schemas(raw)
    raw = renewed(raw, schemas)
    scalars = {key: value for key, value in raw.items() if key not in (*schemas, *parts)}
    settings = typed(Settings, scalars, "", extra=(*schemas, *parts))
    groups = {"method": _typed_group(schemas["method"], raw["method"], "method")}
    # Before stages, which may have taken it for the weight of a loss.
    require_rate(groups["method"], settings.rate)
    for name, schema in schemas.items():
        if name not in groups and raw.get(name) is not None:
            if name in CHOOSERS:
                require_owned(name, raw[name], schema)
            groups[name] = _typed_group(schema, raw[name], name)
    return ExperimentConfig(**vars(settings), **groups, **parts)  # type: ignore[arg-type]


def _schemas(raw: dict[str, Any], *, settled: bool = True) -> dict[str, type]:
    """The dataclass of each group.

    Args:
        raw: the groups.
        settled: whether names are final; a reference to another field is not, and stands for no known one.
    """
    named: dict[str, type] = {}
    for group in CHOOSERS:
        chosen = raw.get(group)
        if not settled and isinstance(chosen, dict):
            chosen = {name: value for name, value in chosen.items() if not (isinstance(value, str) and "${" in value)}
        named[group] = schema_of(group, chosen)
    return {**named, **dict.fromkeys(STAGES, StageConfig), "evaluation": EvaluationConfig}


_typed_groups: dict[tuple[type, str, str], Any] = {}


def _typed_group(schema: type, raw: Any, name: str) -> Any:
    # Experiments of a suite differ in few groups.
    key = schema, name, repr(_marked(raw))
    if key not in _typed_groups:
        _typed_groups[key] = _typed_stage(raw, name) if schema is StageConfig else typed(schema, raw, name)
    return deepcopy(_typed_groups[key])


def _typed_stage(raw: Any, name: str) -> StageConfig:
    return typed_former(typed_stage(upgraded(raw, name), name), name)


def _marked(value: Any) -> Any:
    """A tree whose representation tells texts with quotes from those without."""
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return (str(value),) if isinstance(value, Plain) else value
