"""Fields of dataclasses: their types by key, and filling them with full keys in every error."""

import math
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sc2bench.config.reading import Plain
from sc2bench.core.errors import ConfigError, nearest

_TRUTHS = frozenset(("true", "false", "yes", "no", "on", "off", "1", "0"))


def type_at(schema: Any, parts: Iterable[str]) -> tuple[Any, bool]:
    """The type of the field that a path leads to.

    Args:
        schema: a dataclass.
        parts: names of fields, and keys of dictionaries.

    Returns:
        The type without `None`, and whether `None` is allowed; `Any` where there is no such field.
    """
    optional = False
    for part in parts:
        if is_dataclass(schema):
            schema = get_type_hints(schema).get(part, Any)
        elif get_origin(schema) is dict:
            schema = get_args(schema)[1]
        else:
            return Any, True
        schema, optional = _without_none(schema)
    return schema, optional


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in (Union, UnionType):
        return hint, hint is Any
    kept = [kind for kind in get_args(hint) if kind is not NoneType]
    return (kept[0] if len(kept) == 1 else Any), len(kept) < len(get_args(hint))


def typed(schema: type, raw: Any, prefix: str, extra: Iterable[str] = ()) -> Any:
    """Turns a dictionary into an instance of a dataclass, with the full key in every error.

    Args:
        schema: the dataclass.
        raw: the dictionary; texts become what their fields want.
        prefix: what stands before the fields in a full key; empty at the top.
        extra: further keys that are known but not filled here.

    Raises:
        ConfigError: an unknown key, a missing value, one of the wrong type, or a number that is not finite.
    """

    def full(key: str) -> str:
        return f"{prefix}.{key}" if prefix and not key.startswith("[") else f"{prefix}{key}"

    if not isinstance(raw, dict):
        raise ConfigError(f"{prefix}: expected fields, got '{raw}'")
    known = [f.name for f in fields(schema)]
    for key in raw:
        if key not in known:
            names = [full(name) for name in dict.fromkeys((*known, *extra))]
            raise ConfigError(f"unknown key '{full(key)}'; {nearest(full(key), names)}")
    hints = get_type_hints(schema)
    try:
        settled = {key: _settled(value, hints[key], full(key)) for key, value in raw.items()}
        merged = OmegaConf.merge(OmegaConf.structured(schema), settled)
        missing = sorted(str(key) for key in OmegaConf.missing_keys(merged))
        if missing:
            raise ConfigError(f"{full(missing[0])}: no value is given")
        result = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        where = full(str(error.full_key)) if getattr(error, "full_key", None) else prefix
        raise ConfigError(f"{where}: {sentence(error)}") from error
    for name in known:
        _check_finite(getattr(result, name), full(name))
    return result


def _settled(value: Any, hint: Any, key: str) -> Any:
    """A value as OmegaConf is to see it, which takes `${` for a reference and some kinds of values for others."""
    hint, optional = _without_none(hint)
    _check_kind(value, hint, optional, key)
    if isinstance(value, dict):
        inner = hint if is_dataclass(hint) else next(iter(get_args(hint)[1:]), Any)
        kinds = get_type_hints(inner) if is_dataclass(inner) else {}
        return {name: _settled(item, kinds.get(name, inner), f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        inner = next(iter(get_args(hint)), Any)
        return [_settled(item, inner, f"{key}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Plain) and hint is Any:
        value = _natural(value)
    return _without_interpolation(str(value)) if isinstance(value, str) else value


def _check_kind(value: Any, hint: Any, optional: bool, key: str) -> None:
    """Refuses what OmegaConf lets pass or can't name the key of."""
    problem = None
    if value is None:
        problem = None if optional or hint is Any else "null, where a value is expected"
    elif hint in (int, float, bool, str) and isinstance(value, list | dict):
        problem = f"{value} is no single value"
    elif get_origin(hint) is list and not isinstance(value, list):
        problem = f"'{value}' is no list; write [{value}]" if isinstance(value, str) else f"{value} is no list"
    elif get_origin(hint) is dict and not isinstance(value, dict):
        problem = f"'{value}' has no fields; write {{name: value}}"
    elif hint in (int, float) and isinstance(value, bool):
        problem = f"{value} is a truth value where a number is expected"
    elif hint is int and isinstance(value, float):
        problem = f"{value} is no whole number"
    elif hint is str and isinstance(value, bool | float):
        problem = f"{value} is no text; put it in quotes"
    elif hint is bool and not isinstance(value, bool) and str(value).lower() not in _TRUTHS:
        problem = f"'{value}' is neither true nor false"
    if problem is not None:
        raise ConfigError(f"{key}: {problem}")


def _natural(text: str) -> Any:
    """What YAML says that a text without quotes is, where its field does not say."""
    value = yaml.safe_load(text)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _without_interpolation(text: str) -> str:
    """Escapes what OmegaConf would take for a reference; the references of configurations are resolved before."""
    parts = text.split("${")
    escaped = [part + "\\" * (len(part) - len(part.rstrip("\\"))) for part in parts[:-1]]
    return "\\${".join([*escaped, parts[-1]])


def _check_finite(value: Any, key: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}: {value} is no finite number")
    if isinstance(value, list):
        for i, item in enumerate(value):
            _check_finite(item, f"{key}[{i}]")
    if isinstance(value, dict):
        for name, item in value.items():
            _check_finite(item, f"{key}.{name}")


def sentence(error: BaseException) -> str:
    """What OmegaConf's error says, on one line."""
    # It adds lines about its own internals.
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
