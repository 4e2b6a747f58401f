"""What every key of a configuration means, in words, from the classes that hold its fields.

A key is a field (`evaluation.samples`, `stage1.losses`), a group of fields (`task`), or one of the names that can be
chosen from a registry (`method.entropic_student`, `stage1.losses.kd`). What is chosen may have fields of its own, in a
`config_class`. Where they stand, the type of the field that chooses says: text, as of `method.name`: in its group; a
dataclass: below the field; a dictionary or a list, as of `stage1.losses`: below the name.
"""

import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from sc2bench.config.files import FILE_GROUPS, STAGES, config_files
from sc2bench.config.meanings import Meaning, meanings
from sc2bench.config.schemas import (
    EvaluationConfig,
    ExperimentConfig,
    MethodConfig,
    Settings,
    StageConfig,
    SuiteConfig,
    TaskConfig,
    TeacherConfig,
)
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import METHODS, Registry

GROUPS: dict[str, type] = {
    "task": TaskConfig,
    "teacher": TeacherConfig,
    "method": MethodConfig,
    "stage1": StageConfig,
    "stage2": StageConfig,
    "stage3": StageConfig,
    "evaluation": EvaluationConfig,
    "suite": SuiteConfig,
}
# Keys without a group.
_TOP = (*(each.name for each in meanings(Settings)), "source", "members")
_RECIPE = "Fits a method to a task: a file that is laid over theirs, found by their names unless another is chosen."
_WIDTH = 110


@dataclass(frozen=True)
class _Key:
    """A field under its full key; `owners` are the choices that it belongs to, empty where it always is there."""

    key: str
    meaning: Meaning
    owners: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Name:
    """A name that can be chosen, under its full key, and the fields of its own."""

    key: str
    field: str
    chosen_by: str
    entry: Any
    own: tuple[_Key, ...]


def explain(key: str | None = None, config_dirs: Sequence[str] = ()) -> str:
    """Explains a key.

    Args:
        key: full, as in an override; of a suite's file with `suite.` before it. `None`: an overview of all groups.
        config_dirs: further folders of files that can be chosen.

    Raises:
        ConfigError: an unknown key; the sentence names the nearest one.
    """
    if key is None:
        return "\n".join(_overview())
    group, _, rest = key.partition(".")
    if not rest and group in (*GROUPS, "recipe"):
        return "\n".join(_group_page(group, config_dirs))
    known = [*_top_keys(), *(_own_keys(group) if group in GROUPS else ())]
    found = [each for each in known if each.key == key]
    if not found and group in GROUPS:
        known += _chosen_keys(group)
        found = [each for each in known if each.key == key]
        names = [each for each in _names(group) if each.key == key]
        if names:
            return "\n\n".join("\n".join(page) for page in (*map(_name_page, names), *map(_field_page, found)))
    # What may have any name is explained by the field that holds it.
    found = found or [replace(each, key=key) for each in known if _holds(each, key)]
    if not found:
        raise ConfigError(_unknown(key))
    return "\n\n".join("\n".join(_field_page(each, config_dirs, whole=True)) for each in found)


def _holds(each: _Key, key: str) -> bool:
    """Whether a key is that of an item of a field whose items have names of the user's own."""
    free = get_origin(each.meaning.hint) is dict and each.meaning.choices is None
    return free and key.rpartition(".")[0] == each.key


def _top_keys() -> Iterator[_Key]:
    for each in meanings(ExperimentConfig):
        if each.name in _TOP:
            yield _Key(each.name, each)


def _own_keys(group: str) -> Iterator[_Key]:
    """The fields that a group always has, and those of what its fields are lists of."""
    for each in meanings(GROUPS[group]):
        key = f"{group}.{each.name}"
        yield _Key(key, each)
        for inner in get_args(each.hint) if get_origin(each.hint) is list else ():
            if is_dataclass(inner) and isinstance(inner, type):
                yield from (_Key(f"{key}.{below.name}", below) for below in meanings(inner))


def _chosen_keys(group: str) -> list[_Key]:
    """The fields that what is chosen in a group adds; equal ones of several choices once."""
    found: dict[tuple[str, str], _Key] = {}
    for name in _names(group):
        for each in name.own:
            same = each.key, repr(each.meaning)
            owners = (*found[same].owners, *each.owners) if same in found else each.owners
            found[same] = replace(each, owners=tuple(dict.fromkeys(owners)))
    return sorted(found.values(), key=lambda each: each.key)


def _names(group: str) -> Iterator[_Name]:
    """What can be chosen by the fields of a group, from registries."""
    own = {each.name for each in meanings(GROUPS[group])}
    seen = set()
    for field in meanings(GROUPS[group]):
        if not isinstance(field.choices, Registry):
            continue
        below = f"{group}.{field.name}"
        kind = _kind_of(field.hint)
        for name in field.choices.names():
            key = f"{group}.{name}" if kind is str else f"{below}.{name}"
            if (key, id(field.choices)) in seen:
                continue
            seen.add((key, id(field.choices)))
            entry = field.choices[name]
            schema = getattr(entry, "config_class", None)
            options = meanings(schema) if isinstance(schema, type) and is_dataclass(schema) else ()
            chosen_by = _choosing(group, field, name, options)
            place = group if kind is str else below if kind is object else key
            added = [each for each in options if each.name != "name" and not (kind is str and each.name in own)]
            keys = tuple(_Key(f"{place}.{each.name}", each, (chosen_by,)) for each in added)
            yield _Name(key, below, chosen_by, entry, keys)


def _kind_of(hint: Any) -> type:
    """How a field holds what it chooses: by name (`str`), as its options (`object`), or several (`dict`, `list`)."""
    for each in (hint, *get_args(hint)):
        if each is str or get_origin(each) in (dict, list):
            found: type = get_origin(each) or each
            return found
    return object


def _choosing(group: str, field: Meaning, name: str, options: Sequence[Meaning]) -> str:
    """What to write to choose a name."""
    if (group, field.name) == ("method", "name"):
        # A method has a file that is called like it.
        return f"method={name}"
    key = f"{group}.{field.name}"
    if _kind_of(field.hint) is list:
        return f"{key}=[{name}]"
    if _kind_of(field.hint) is not dict:
        return f"{key}={name}"
    item = get_args(field.hint)[1]
    needed = ", ".join(f"{each.name}: {each.kind}" for each in options if each.default is None and each.name != "name")
    return f"{key}.{name}={f'{{{needed}}}' if is_dataclass(item) else Meaning('', item, None, '', None, None).kind}"


def _overview() -> Iterator[str]:
    yield "Every setting is a key=value behind `sc2bench run`, or a field of a YAML file below configs/."
    yield ""
    yield "sc2bench explain GROUP        the fields of a group, such as evaluation"
    yield "sc2bench explain GROUP.FIELD  one field, such as evaluation.samples or stage1.losses"
    yield "sc2bench explain GROUP.NAME   what can be chosen and its own fields, such as method.entropic_student"
    yield ""
    yield "groups:"
    summaries = {name: _summary(schema) for name, schema in GROUPS.items()} | {"recipe": _RECIPE}
    for name, text in summaries.items():
        yield from _indented(f"{name:<11} {text}", "  ", hanging=12)
    yield ""
    yield "without a group:"
    for each in _top_keys():
        yield from _indented(f"{each.key:<15} {each.meaning.text}", "  ", hanging=16)


def _group_page(group: str, config_dirs: Sequence[str]) -> Iterator[str]:
    yield group
    yield from _indented(_RECIPE if group == "recipe" else _summary(GROUPS[group]))
    if group in FILE_GROUPS:
        yield from _indented(f"{group}=NAME chooses a file: {', '.join(sorted(config_files(group, config_dirs)))}")
    for each in _own_keys(group) if group in GROUPS else ():
        yield ""
        yield from _field_page(each, config_dirs)
    for each in _chosen_keys(group) if group in GROUPS else ():
        yield ""
        yield from _field_page(each, config_dirs)


def _field_page(each: _Key, config_dirs: Sequence[str] = (), whole: bool = False) -> Iterator[str]:
    meaning = each.meaning
    yield each.key
    yield from _indented(meaning.text or "It does not say what it means.")
    default = "it must be set" if meaning.default is None else f"default {meaning.default}"
    yield from _indented(f"type: {meaning.kind}; {default}")
    if each.owners:
        yield from _indented(f"applies to: {', '.join(each.owners)}")
    if meaning.choices is not None:
        names = meaning.choices.names() if isinstance(meaning.choices, Registry) else meaning.choices
        yield from _indented(f"choices: {', '.join(names)}")
        group = each.key.partition(".")[0]
        if whole and isinstance(meaning.choices, Registry) and group in GROUPS:
            for name in _names(group):
                if name.field == each.key:
                    yield from _indented(f"{name.key}: {_summary(name.entry)}", "      ", hanging=2)
    if whole and each.key == "rate":
        for line in _rates():
            yield from _indented(line)
    if whole and meaning.options_of is not None:
        for line in _options(meaning.options_of):
            yield from _indented(line)
    if whole and each.key.endswith(".name") and each.key.partition(".")[0] in FILE_GROUPS:
        group = each.key.partition(".")[0]
        yield from _indented(f"usually set by a file: {group}={'|'.join(sorted(config_files(group, config_dirs)))}")


def _rates() -> Iterator[str]:
    """What the rate is called by each method that has one."""
    knobs = {name: METHODS[name].rate_knob for name in METHODS.names()}
    for knob in sorted({knob for knob in knobs.values() if knob}):
        yield f"{knob}: of method {', '.join(name for name in knobs if knobs[name] == knob)}"


def _options(registry: Registry[Any]) -> Iterator[str]:
    """The options that the entries of a registry list, with what can be chosen, the default first."""
    for name in registry.names():
        listed = getattr(registry[name], "option_choices", {})
        if listed:
            options = [f"{option}={'|'.join(dict.fromkeys(choices)) or 'TEXT'}" for option, choices in listed.items()]
            yield f"of {registry.kind} {name}: {', '.join(options)}"


def _name_page(name: _Name) -> Iterator[str]:
    yield name.key
    yield from _indented(_summary(name.entry))
    yield from _indented(f"chosen by: {name.chosen_by}")
    if hasattr(name.entry, "rate_knob"):
        yield from _indented(f"rate: {name.entry.rate_knob or 'it has none'}")
    for each in name.own:
        yield ""
        yield from _field_page(replace(each, owners=()))


def _summary(thing: Any) -> str:
    """The first paragraph of what a class or a function says of itself."""
    text = inspect.getdoc(thing) or "It does not say what it is."
    return " ".join(text.split("\n\n")[0].split())


def _indented(text: str, by: str = "    ", hanging: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=by,
        subsequent_indent=by + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _unknown(key: str) -> str:
    known = {*GROUPS, "recipe", *_TOP}
    for group in GROUPS:
        # The stages have the same fields; one is enough to lead to.
        if group not in STAGES[1:] or key.startswith(f"{group}."):
            known |= {each.key for each in (*_own_keys(group), *_chosen_keys(group))}
            known |= {each.key for each in _names(group)}
    last = key.rpartition(".")[2]
    likely = sorted(each for each in known if each.rpartition(".")[2] == last) or get_close_matches(key, known, n=1)
    if not likely:
        return f"unknown key '{key}'; without a key, `sc2bench explain` lists the groups: {', '.join(GROUPS)}"
    return f"unknown key '{key}'; did you mean {' or '.join(repr(each) for each in likely[:4])}?"
