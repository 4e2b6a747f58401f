"""Reading YAML as plain trees whose scalars keep their text until the type of their field is known.

A loader that decides by itself makes 1000.0 of the folder `1e3`, and a date of a label. Files come from anywhere, so
what they may hold is bounded, and they can name nothing outside of themselves.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sc2bench.core.errors import ConfigError

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 50
_MAX_NODES = 100_000
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_MERGE = "<<"
# References in braces would end a flow sequence's scalar; these characters of private use stand for them meanwhile.
_REFERENCE = re.compile(r"\$\{([^{},\[\]'\"\n]*)\}")
_OPEN, _CLOSE = "\ue000", "\ue001"


class Plain(str):
    """The text of a scalar without quotes, which may yet become a number."""

    __slots__ = ()


def read_yaml(path: Path) -> tuple[Any, str]:
    """Reads a YAML file.

    Args:
        path: of the file, UTF-8, at most 1 MiB.

    Returns:
        Dictionaries with texts as keys, lists, texts (`Plain` without quotes) and `None`; and the file's own text.

    Raises:
        ConfigError: unreadable, no UTF-8, no YAML, too large or too deep, a key twice, or an alias inside of itself.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}); convert it") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES:,} bytes, which no configuration needs; split it")
    return parse_yaml(text, str(path)), text


def parse_yaml(text: str, what: str) -> Any:
    """Parses YAML as `read_yaml` does; `what` names it in errors."""
    try:
        return _Builder(what).document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ConfigError(f"{what} is not valid YAML: {_problem(error)}") from error


def parse_flow(text: str, key: str) -> Any:
    """Parses the list or the mapping of an override, such as `[a, b]` or `{a: 1, b:${rate}}`.

    Raises:
        ConfigError: it can't be parsed; the sentence names the key.
    """
    prepared = _REFERENCE.sub(rf"{_OPEN}\1{_CLOSE}", text)
    try:
        return _restored(_Builder(f"{key}: '{text}'").document(yaml.parse(prepared, Loader=yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise ConfigError(f"{key}: the value '{text}' can't be parsed: {_problem(error)}; quote it") from error


def _problem(error: yaml.YAMLError) -> str:
    """What is wrong and where, on one line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    return f"{problem} in line {mark.line + 1}, column {mark.column + 1}"


def _restored(value: Any) -> Any:
    if isinstance(value, str):
        return type(value)(value.replace(_OPEN, "${").replace(_CLOSE, "}"))
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if isinstance(value, dict):
        return dict(_restored_pair(key, item) for key, item in value.items())
    return value


def _restored_pair(key: str, value: Any) -> tuple[str, Any]:
    # YAML wants a space behind the colon, a command line none.
    name, separator, rest = key.partition(":")
    if value is None and separator:
        return name, None if rest in _NULLS else _restored(Plain(rest.strip("'\"")))
    return key, _restored(value)


class _Builder:
    """Builds a tree from a parser's events, without recursion that a file could drive too deep."""

    def __init__(self, what: str):
        self.what = what
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.unfinished: set[str] = set()
        self.nodes = 0

    def document(self, events: Iterator[yaml.Event]) -> Any:
        """The tree of the only document; `None` for an empty one."""
        found: list[Any] = []
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                if found:
                    raise ConfigError(f"{self.what} holds several documents; leave one")
                found.append(self._node(event, events, 0))
        return found[0] if found else None

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{self.what} is nested deeper than {_MAX_DEPTH} levels; flatten it")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor)
        before = self.nodes
        self._count(1)
        anchor, tag = event.anchor, event.tag
        if tag not in (None, "!"):
            raise ConfigError(f"{self.what} has the tag '{tag}'; configurations have no tags, leave it out")
        if anchor is not None:
            self.unfinished.add(anchor)
        value = self._value(event, events, depth)
        if anchor is not None:
            self.unfinished.discard(anchor)
            self.anchors[anchor] = value, self.nodes - before
        return value

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            if not event.implicit[0]:
                return str(event.value)
            return None if event.value in _NULLS else Plain(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                items.append(self._node(item, events, depth + 1))
            return items
        pairs: dict[str, Any] = {}
        merged: list[Any] = []
        while not isinstance(first := next(events), yaml.MappingEndEvent):
            if not isinstance(first, yaml.ScalarEvent):
                raise ConfigError(f"{self.what} has a key that is no text; give keys names")
            self._count(1)
            key = str(first.value)
            value = self._node(next(events), events, depth + 1)
            if key == _MERGE and first.implicit[0]:
                merged += value if isinstance(value, list) else [value]
            elif key in pairs:
                raise ConfigError(f"{self.what} has the key '{key}' twice in one place; leave one")
            else:
                pairs[key] = value
        for other in merged:
            if not isinstance(other, dict):
                raise ConfigError(f"{self.what}: '{_MERGE}' merges mappings, not '{other}'")
            pairs = {**other, **pairs}
        return pairs

    def _alias(self, anchor: str) -> Any:
        if anchor in self.unfinished:
            raise ConfigError(f"{self.what}: the alias '*{anchor}' lies inside of what it stands for; leave it out")
        if anchor not in self.anchors:
            raise ConfigError(f"{self.what}: the alias '*{anchor}' has no anchor '&{anchor}' before it")
        value, size = self.anchors[anchor]
        self._count(size)
        return value

    def _count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > _MAX_NODES:
            raise ConfigError(f"{self.what} has more than {_MAX_NODES:,} values, aliases spelt out; make it smaller")
