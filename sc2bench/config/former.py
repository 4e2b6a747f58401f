"""The spelling that stages had while all options lay in them, as in `kd_temperature` and `momentum`.

Configurations that were stored then are read, and experiments are still named as they were then, so that their records
and weights are found.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from sc2bench.config.fields import typed
from sc2bench.config.options import FORMERLY, Options, changed, default_of, inherited_by_both
from sc2bench.config.stages import (
    CHOICES,
    FORMER,
    STAGES,
    USUAL,
    StageConfig,
    config_class_at,
    is_choice,
    is_loss,
    name_in,
    spelled_out,
)
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import LOSSES

# Where an option lies now: the keys below the stage, and the dataclass and name of its field.
_Place = tuple[tuple[str, ...], type[Options], str]


def refuse_former(tree: dict[str, Any]) -> None:
    """Raises `ConfigError` that names the new key if a stage of a tree is spelled in the old way."""
    own = {each.name for each in fields(StageConfig)} - {FORMER}
    for stage in STAGES:
        given = tree.get(stage)
        # Most trees have none, and looking for the places takes time.
        unknown = [key for key in given if key not in own] if isinstance(given, dict) else []
        places = _places() if unknown else {}
        for key in unknown:
            if key in places:
                new = " or ".join(f"{stage}.{'.'.join(path)}.{name}" for path, _, name in _told_apart(places[key]))
                raise ConfigError(f"{stage}.{key}: options belong to what they configure; write {new}")


def refuse_set_former(keys: Iterable[str]) -> None:
    """Raises `ConfigError` if a former option is among the full keys that a user sets: it would change but a name."""
    for key in sorted(keys):
        stage, *rest = key.split(".")
        if stage in STAGES and rest[:1] == [FORMER]:
            raise ConfigError(f"{key}: it has no effect, and is kept only for experiments of before; leave it out")


def upgraded(raw: Any, stage: str) -> Any:
    """A stage that was stored in the old spelling in today's; anything else as it is."""
    if not isinstance(raw, dict) or not raw.keys() - {each.name for each in fields(StageConfig)}:
        return raw
    places = _places()
    old = {key: value for key, value in raw.items() if key in places}
    raw = {key: value for key, value in raw.items() if key not in old}
    used: set[str] = set()
    for group in CHOICES:
        raw[group] = _with_former(raw.get(group, USUAL[group]), (stage, group), old, used)
    if isinstance(raw.get("losses"), dict):
        losses = raw["losses"].items()
        raw["losses"] = {name: _with_former(loss, (stage, "losses", name), old, used) for name, loss in losses}
    return raw | {FORMER: {key: value for key, value in old.items() if key not in used}}


def typed_former(stage: StageConfig, key: str) -> StageConfig:
    """Gives the former options of a stage the types that they had, and leaves out defaults; changes it in place."""
    places = _places() if stage.former else {}
    kept = {}
    for name, value in stage.former.items():
        if name not in places:
            raise ConfigError(f"{key}.{name}: a stage never had this option; leave it out")
        (path, schema, own), *_ = places[name]
        given = {"name": path[-1], own: value} | ({"weight": 0.0} if path[0] == "losses" else {})
        found = getattr(typed(schema, given, f"{key}.{'.'.join(path)}"), own)
        if found != default_of(next(each for each in fields(schema) if each.name == own)):
            kept[name] = found
    stage.former = kept
    return stage


def identity(stage: StageConfig) -> dict[str, Any]:
    """What of a stage differs from its defaults, in the old spelling as far as it reaches; experiments are named by it.

    Where two losses have options that were one, and differ in it, the old spelling does not reach.
    """
    kept = changed(stage, leave_out=(*CHOICES, "losses", FORMER))
    own: dict[str, Any] = {}
    shared: dict[str, list[tuple[str, Any, Any]]] = {}
    for path, options in stage.chosen().items():
        for each in fields(options):
            found = f"{path}.{each.name}", getattr(options, each.name), default_of(each)
            formerly = each.metadata.get(FORMERLY)
            if formerly is not None:
                shared.setdefault(formerly, []).append(found)
            elif each.name not in ("name", "weight") and found[1] != found[2]:
                own[found[0]] = found[1]
    for formerly, places in shared.items():
        if all(value == places[0][1] for _, value, _ in places):
            kept |= {formerly: places[0][1]} if places[0][1] != places[0][2] else {}
        else:
            own |= {place: value for place, value, default in places if value != default}
    kept |= {key: value for key, value in stage.former.items() if key not in shared}
    kept |= {group: getattr(stage, group).name for group in CHOICES if getattr(stage, group).name != USUAL[group]}
    own |= {f"losses.{name}.name": loss.name for name, loss in stage.losses.items() if loss.name != name}
    if stage.losses:
        kept["losses"] = {name: loss.weight for name, loss in stage.losses.items()}
    return kept | ({"options": own} if own else {})


def fitting(below: Any, above: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """What stays of the options at a path where others are laid over them.

    Those of another optimizer, schedule or loss go, but for what both have from a common base, as the weight decay.

    Args:
        below: the options, in the long form.
        above: those that are laid over them.
        path: of a choice or a loss.
    """
    old, new = name_in(below, path), name_in(above, path)
    if "name" not in above or old == new:
        return below
    one, other = config_class_at(path, below), config_class_at(path, above)
    both = inherited_by_both(one, other) if one and other else set()
    return {key: value for key, value in below.items() if key in both}


def choose(stage: dict[str, Any], above: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """Lets an override choose an optimizer or a schedule, and keeps in `former` what then has no effect.

    An override changed nothing else while all options lay in the stage, so that experiments are named by them.

    Args:
        stage: a tree; its former options are changed in place.
        above: the choice, in the long form.
        path: of the choice.

    Returns:
        What stays below it, and what comes back of former options that it has.
    """
    below = spelled_out(stage.get(path[1]), path)
    below = below if isinstance(below, dict) else {}
    kept = fitting(below, above, path)
    former = dict(stage.get(FORMER) or {})
    for name, formerly in _formerly(path, below).items():
        if name in below and name not in kept:
            former[formerly] = below[name]
    for name, formerly in _formerly(path, above).items():
        if formerly in former:
            kept = {name: former.pop(formerly)} | kept
    if former:
        stage[FORMER] = former
    else:
        stage.pop(FORMER, None)
    return kept | {"name": name_in(above if "name" in above else below, path)}


def _formerly(path: tuple[str, ...], options: Any) -> dict[str, str]:
    """The options of a choice or a loss that were a stage's, with the keys that they had there."""
    schema = config_class_at(path, options)
    pairs = [(each.name, each.metadata.get(FORMERLY)) for each in fields(schema)] if schema is not None else []
    return {name: formerly for name, formerly in pairs if formerly is not None}


def _places() -> dict[str, list[_Place]]:
    """Where each option of the old spelling lies now."""
    found: dict[str, list[_Place]] = {}
    for group, registry in (*CHOICES.items(), ("losses", LOSSES)):
        for name in registry.names():
            options: Any = getattr(registry[name], "config_class", None)
            for each in fields(options) if isinstance(options, type) and issubclass(options, Options) else ():
                formerly = each.metadata.get(FORMERLY)
                if formerly is not None:
                    found.setdefault(formerly, []).append(((group, name), options, each.name))
    return found


def _told_apart(places: list[_Place]) -> list[_Place]:
    """Places as a user writes them: that of an optimizer or a schedule has no name in its key."""
    short = [(path[:1] if path[0] in CHOICES else path, options, name) for path, options, name in places]
    return list({(path, name): (path, options, name) for path, options, name in short}.values())


def _with_former(value: Any, path: tuple[str, ...], old: dict[str, Any], used: set[str]) -> Any:
    """The long form of a choice or a loss with those of the old options that it has."""
    options = spelled_out(value, path)
    if not isinstance(options, dict) or not (is_choice(path) or is_loss(path)):
        return options
    for name, formerly in _formerly(path, options).items():
        if formerly in old:
            options = {name: old[formerly]} | options
            used.add(formerly)
    return options
