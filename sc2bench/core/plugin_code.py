"""Which files the code of a plugin stands in: those that it imports of a user's own, and that these import in turn.

They are read out of the code, and not out of what an import has brought into the process: what others have imported
before would be missing, and what runs is the same in any order.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_INSTALLED = {"site-packages", "dist-packages"}
_PACKAGE = __name__.partition(".")[0]


def modules_of_code(name: str, path: Path, content: bytes) -> dict[str, Path]:
    """The modules of a user's own that a file imports, itself or by way of others, once or later.

    Args:
        name: of the file's module.
        path: of the file, absolute.
        content: of the file.

    Returns:
        Their files by their names, without the file itself. Installed packages, Python's own modules and this package
        are left out.

    Raises:
        OSError: a file can't be read.
    """
    found: dict[str, Path] = {}
    waiting = [(name, content)]
    while waiting:
        for module in _imported(*waiting.pop()):
            file = None if module in found or module == name else _file_of(module)
            if file is not None and file != path and is_own(file):
                found[module] = file
                waiting.append((module if file.name != "__init__.py" else f"{module}.__init__", file.read_bytes()))
    return found


def is_own(file: Path) -> bool:
    """Whether a file is a user's own, and no part of an installed package, whose version says what it is."""
    return not _INSTALLED & set(file.parts)


def _imported(module: str, content: bytes) -> Iterator[str]:
    """The names of what may be modules in the imports of one, which is named, with their packages."""
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError):
        # What is no Python was not imported yet, and will be told when it is.
        return
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: -node.level]
                base = ".".join([*package, base] if base else package)
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call):
            names = _named_in_call(node)
        for name in names:
            parts = name.split(".")
            if parts[0] not in sys.stdlib_module_names and parts[0] not in (_PACKAGE, ""):
                yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def _named_in_call(node: ast.Call) -> list[str]:
    """The module that a call of `importlib.import_module` or `__import__` names by a text."""
    called = getattr(node.func, "attr", getattr(node.func, "id", None))
    first = node.args[0] if node.args else None
    if called not in ("import_module", "__import__") or not isinstance(first, ast.Constant):
        return []
    return [first.value] if isinstance(first.value, str) and not first.value.startswith(".") else []


def _file_of(module: str) -> Path | None:
    """The Python file of a module, which is not imported for that; `None` if there is none."""
    origin = getattr(sys.modules[module], "__file__", None) if module in sys.modules else _found(module)[0]
    return Path(origin).resolve() if origin is not None and origin.endswith(".py") else None


def _found(module: str) -> tuple[str | None, Iterable[str] | None]:
    """Where an import would find a module, and where those within it."""
    places: Iterable[str] | None = None
    if package := module.rpartition(".")[0]:
        places = getattr(sys.modules[package], "__path__", None) if package in sys.modules else _found(package)[1]
        if places is None:
            return None, None
    specs = (finder.find_spec(module, places) for finder in sys.meta_path)  # type: ignore[arg-type]
    spec = next((spec for spec in specs if spec is not None), None)
    return (None, None) if spec is None else (spec.origin, spec.submodule_search_locations)
