"""Overrides: texts `key=value` that set fields. Every value of a command line, a suite or a recipe comes in here.

What a text stands for depends on the type of its field. Where that is a text, such as the path of a folder, it is taken
as it stands; only a pair of quotes around the whole is taken off. Lists and mappings are YAML's.
"""

import re
from dataclasses import dataclass
from typing import Any

from sc2bench.config.fields import type_at
from sc2bench.config.former import choose, fitting
from sc2bench.config.reading import Plain, parse_flow
from sc2bench.config.references import Verbatim
from sc2bench.config.stages import is_choice, is_loss, owner_of, spelled_out
from sc2bench.core.errors import ConfigError

_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)


class Shared(str):
    """An override for all experiments of a suite, which passes over those that have no use for it."""

    __slots__ = ()


@dataclass(frozen=True)
class Override:
    """An override in its parts.

    Attributes:
        key: the full key, such as "stage1.epochs".
        text: behind the sign of equality.
        shared: whether it is one for all experiments of a suite.
    """

    key: str
    text: str
    shared: bool

    @classmethod
    def of(cls, text: str) -> "Override":
        """Takes a text apart; raises `ConfigError` if it is not of the form key=value."""
        key, separator, value = text.partition("=")
        key = key.strip().lstrip("+~")
        if not separator or not all(key.split(".")):
            raise ConfigError(f"'{text}' is not of the form key=value")
        return cls(key, value, isinstance(text, Shared))

    @property
    def stage(self) -> str | None:
        """The stage of training that it sets a field of."""
        group, dot, _ = self.key.partition(".")
        return group if dot and group in ("stage1", "stage2", "stage3") else None

    def value(self, schema: Any, path: list[str]) -> Any:
        """What the text stands for in the field at a path of a schema; raises `ConfigError` that names the key."""
        kind, optional = type_at(schema, path)
        if kind is str:
            return None if optional and self.text.lower() == "null" else Verbatim(unquoted(self.text))
        text = self.text.strip()
        if text.lower() == "null":
            return None
        return parse_flow(text, self.key) if text[:1] in ("[", "{") else Plain(unquoted(text))


def unquoted(text: str) -> str:
    r"""Takes off quotes around a whole text; inside of them a backslash stands before a quote of their kind.

    >>> unquoted("'it\\'s'"), unquoted("'a' or 'b'")
    ("it's", "'a' or 'b'")
    """
    match = _QUOTED.fullmatch(text)
    if match is None:
        return text
    mark, inner = text[0], text[1:-1]
    return re.sub(rf"(\\+)({mark}|$)", lambda found: "\\" * (len(found[1]) // 2) + found[2], inner)


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Sets a field of a tree, mappings merged into what is there; raises `ConfigError` where there are no fields."""
    *groups, name = path = tuple(key.split("."))
    if name == "name" and owner_of(tree, path) is not None:
        # Another name brings other options.
        *groups, name = path = path[:-1]
        value = {"name": value}
    place = tree
    for depth, group in enumerate(groups, 1):
        inner = {} if place.get(group) is None else spelled_out(place[group], path[:depth])
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: '{group}' is {inner}, which has no fields")
        # What an alias stands for may lie in several places.
        place[group] = dict(inner)
        place = place[group]
    value = spelled_out(value, path)
    below = choose(place, value, path) if is_choice(path) and isinstance(value, dict) else place.get(name)
    place[name] = merged(below, value, path)


def merged(below: Any, above: Any, path: tuple[str, ...] = ()) -> Any:
    """Lays one tree over another: mappings are merged key by key, everything else is replaced.

    Options of a stage's optimizer, schedule and losses come out in their long form; see `fitting` for what stays of
    them.

    Args:
        below: a tree.
        above: what goes before it.
        path: of both, from the top of the configuration.
    """
    below, above = spelled_out(below, path), spelled_out(above, path)
    if not isinstance(above, dict):
        return above
    below = below if isinstance(below, dict) else {}
    if is_choice(path) or is_loss(path):
        below = fitting(below, above, path)
    return below | {key: merged(below.get(key), value, (*path, key)) for key, value in above.items()}
