"""What fields of dataclasses say of themselves: their types, and what is annotated to these.

    prior: Annotated[str, Doc("What codes the latents."), PRIORS] = "factorized"

`Doc` holds the meaning. A registry lists the names that can be chosen, a tuple the texts, and `OptionsOf` the registry
whose entries list options of their own.
"""

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from annotated_doc import Doc

from sc2bench.core.registry import Registry

Choices = Registry[Any] | tuple[str, ...]
_NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text"}


@dataclass(frozen=True)
class OptionsOf:
    """Annotates a field that holds options of an entry of a registry, which lists them in `option_choices`."""

    registry: Registry[Any]


@dataclass(frozen=True)
class Meaning:
    """A field of a dataclass in words.

    Attributes:
        name: of the field.
        hint: its type, without what is annotated.
        default: as it would be written in YAML; `None` for a field that must be set.
        text: what it means; empty where it does not say so.
        choices: what its value, or each of its items or keys, is one of; `None`: anything of the type.
        options_of: the registry whose entries say which options it can hold, if it holds such.
    """

    name: str
    hint: Any
    default: str | None
    text: str
    choices: Choices | None
    options_of: Registry[Any] | None

    @property
    def kind(self) -> str:
        """The type in words."""
        return _kind(self.hint)


@cache
def meanings(schema: type) -> tuple[Meaning, ...]:
    """The fields of a dataclass, in order."""
    plain, hints = get_type_hints(schema), get_type_hints(schema, include_extras=True)
    return tuple(_meaning(each, plain[each.name], hints[each.name]) for each in fields(schema))


def _meaning(each: "Field[Any]", plain: Any, hint: Any) -> Meaning:
    extras = list(_extras(hint))
    text = next((extra.documentation for extra in extras if isinstance(extra, Doc)), "")
    choices = next((extra for extra in extras if isinstance(extra, Registry | tuple)), None)
    options_of = next((extra.registry for extra in extras if isinstance(extra, OptionsOf)), None)
    return Meaning(each.name, plain, _default(each), text, choices, options_of)


def _extras(hint: Any) -> Iterator[Any]:
    """What is annotated to a type, also where `None` may stand in its place."""
    if get_origin(hint) is Annotated:
        yield from hint.__metadata__
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _extras(part)


def _default(each: "Field[Any]") -> str | None:
    value = each.default if each.default_factory is MISSING else each.default_factory()
    if is_dataclass(value):
        # Options are written by the name of what they belong to.
        value = getattr(value, "name", "???")
    return None if value is MISSING or value == "???" else in_yaml(value)


def in_yaml(value: Any) -> str:
    """A value as it would be written in YAML, on one line.

    >>> in_yaml(None), in_yaml(["a", 0.5]), in_yaml({}), in_yaml("")
    ('null', '[a, 0.5]', '{}', '""')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(in_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {in_yaml(item)}' for key, item in value.items())}}}"
    return str(value) or '""'


def _kind(hint: Any) -> str:
    if hint in _NAMES:
        return _NAMES[hint]
    inner = [kind for kind in get_args(hint) if kind is not NoneType]
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_kind, inner)) + (" or null" if NoneType in get_args(hint) else "")
    if get_origin(hint) is list:
        return f"list of {_kind(inner[0])}s".replace("true or falses", "truth values").replace("lists of", "list of")
    if get_origin(hint) is dict:
        return f"{{name: {_kind(inner[1])}}}"
    return "fields" if is_dataclass(hint) or hint is Any else str(getattr(hint, "__name__", hint))
