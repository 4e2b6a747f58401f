"""References such as `${rate}` or `${method.prior}`: to other fields of a configuration, and to nothing else."""

import re
from typing import Any

from sc2bench.config.reading import Plain
from sc2bench.core.errors import ConfigError

_REFERENCE = re.compile(r"(\\*)\$\{([^{}]*)\}")
_PATH = re.compile(r"\w+(\.\w+)*")
_MAX_VALUES = 100_000
_MAX_TEXT = 100_000


class Verbatim(str):
    """Text that is taken as it stands, whatever it looks like."""

    __slots__ = ()


def literal(text: str) -> str:
    r"""Text that `resolve` turns into the given one, whatever looks like a reference in it.

    >>> print(literal("a ${rate} c"))
    a \${rate} c
    """
    return _REFERENCE.sub(lambda found: f"{2 * found[1]}\\${{{found[2]}}}", text)


def resolve(tree: dict[str, Any], what: str) -> dict[str, Any]:
    r"""Replaces all references of a tree by what they refer to.

    A backslash before one, as in `\${rate}`, makes it ordinary text.

    Args:
        tree: dictionaries, lists and scalars, as `read_yaml` gives them.
        what: how errors name the tree.

    Raises:
        ConfigError: a reference to nothing, to itself, or of another form, such as to the environment.
    """
    return _Resolver(tree, what).value(tree, "")


class _Resolver:
    def __init__(self, tree: dict[str, Any], what: str):
        self.tree = tree
        self.what = what
        self.open: list[str] = []
        self.values = 0

    def value(self, value: Any, where: str) -> Any:
        self.values += 1
        if self.values > _MAX_VALUES:
            raise ConfigError(
                f"{self.what} has more than {_MAX_VALUES:,} values, references spelt out; make it smaller"
            )
        if isinstance(value, dict):
            return {key: self.value(item, f"{where}.{key}" if where else key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, str) and not isinstance(value, Verbatim):
            return self._text(value, where)
        return value

    def _text(self, text: str, where: str) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole and not whole[1]:
            return self._target(whole[2], where)

        def replaced(match: re.Match[str]) -> str:
            slashes, path = match[1], match[2]
            kept = slashes[: len(slashes) // 2]
            if len(slashes) % 2:
                return f"{kept}${{{path}}}"
            target = self._target(path, where)
            if isinstance(target, dict | list):
                raise ConfigError(f"{where}: '${{{path}}}' is no single value and can't stand inside a text")
            return kept + ("null" if target is None else str(target))

        made = _REFERENCE.sub(replaced, text)
        if len(made) > _MAX_TEXT:
            raise ConfigError(f"{where}: longer than {_MAX_TEXT:,} characters, references spelt out; shorten it")
        return made if made == text and not isinstance(text, Plain) else type(text)(made)

    def _target(self, path: str, where: str) -> Any:
        if not _PATH.fullmatch(path):
            raise ConfigError(
                f"{where}: '${{{path}}}' is no reference to a field, such as ${{rate}} or ${{method.prior}}; nothing "
                "else, such as the environment, can be referred to"
            )
        if path in self.open:
            raise ConfigError(f"{where}: '${{{path}}}' refers to itself; give it a value")
        target: Any = self.tree
        for part in path.split("."):
            if not isinstance(target, dict) or part not in target:
                raise ConfigError(f"{where}: '${{{path}}}' refers to a field that {self.what} does not set")
            target = target[part]
        self.open.append(path)
        resolved = self.value(target, path)
        self.open.pop()
        return resolved
