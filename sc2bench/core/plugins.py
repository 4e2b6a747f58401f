"""Code of a user's own: imported, and known by its content, so that results of another state of it are told apart."""

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from sc2bench.core.errors import ConfigError, Sc2benchError
from sc2bench.core.plugin_code import is_own, modules_of_code
from sc2bench.core.repository import git, state_of


@dataclass(frozen=True)
class Plugin:
    """A plugin that is loaded.

    Attributes:
        name: its path, or the installed package with its version.
        content: BLAKE2b of its Python files, as 16 hexadecimal digits.
        commit: of the git repository that it lies in; `None` outside of any.
        dirty: whether it differs from that commit; `None` without one.
        names: what it has registered, in any registry.
        modules: the names of its modules; of a package the first part of them.
    """

    name: str
    content: str
    commit: str | None = None
    dirty: bool | None = None
    names: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()

    def has(self, module: str) -> bool:
        """Whether a module is one of its own, or a part of one that is a package."""
        parts = module.split(".")
        return any(".".join(parts[: end + 1]) in self.modules for end in range(len(parts)))

    def described(self) -> dict[str, Any]:
        """For a record: which code it was."""
        return {"name": self.name, "content": self.content, "git_commit": self.commit, "git_dirty": self.dirty}


def import_file(path: Path, named: str) -> Plugin:
    """Imports a Python file as a module of a name of its own, which nothing else has.

    Args:
        path: absolute, without links.
        named: what the user calls it.

    Raises:
        ConfigError: the import fails, or a file can't be read; the sentence names file and line.
    """
    # A dataclass looks its module up by name, and two files may have the same name.
    name = f"sc2bench_plugin_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # The code that runs is the content that is hashed: Python's own cache may be a second behind an edited file.
        content = path.read_bytes()
        if b"\0" in content:
            line = content.partition(b"\0")[0].count(b"\n") + 1
            raise SyntaxError("source code cannot contain null bytes", (str(path), line, None, None))
        exec(compile(content, str(path), "exec"), module.__dict__)
        helpers = modules_of_code(name, path, content)
        contents = {path: content} | {file: file.read_bytes() for file in helpers.values()}
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise ConfigError(
            f"plugin '{named}' can't be imported: {_told(error, path)}; mend it, or leave it out"
        ) from error
    state = git_state([path, *sorted(contents.keys() - {path})])
    return Plugin(str(path), _digest(contents, path.parent), *state, modules=frozenset({name, *helpers}))


def import_installed(point: EntryPoint) -> Plugin:
    """Imports a plugin that an installed package offers.

    Raises:
        ConfigError: the import fails, or a file can't be read; the sentence names the package, file and line.
    """
    package = "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    try:
        point.load()
        top = sys.modules[point.module.partition(".")[0]]
        folders = [Path(folder).resolve() for folder in getattr(top, "__path__", ())]
        files = {file for folder in folders for file in folder.rglob("*.py")} or _files_of(top)
        contents = {file: file.read_bytes() for file in files}
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the plugin '{point.value}' of {package} can't be imported: {_told(error)}; mend or uninstall it"
        ) from error
    own = sorted(file for file in files if is_own(file))
    state = git_state(own) if own else (None, None)
    place = folders[0] if folders else Path()
    return Plugin(f"{package} ({point.value})", _digest(contents, place), *state, modules=frozenset({top.__name__}))


def git_state(files: Iterable[Path]) -> tuple[str | None, bool | None]:
    """The commit of the git repository that the first file lies in, and whether any of its files differs from it.

    Args:
        files: absolute, without links; those outside of that repository are left out.

    Returns:
        (None, None) outside of any repository.
    """
    paths = list(files)
    top = git(paths[0].parent, "rev-parse", "--show-toplevel")
    if top is None:
        return None, None
    inside = [str(path) for path in paths if Path(top) in path.parents]
    return state_of(paths[0].parent, "--ignored", "--", *inside)


def _digest(contents: Mapping[Path, bytes], folder: Path) -> str:
    """Of names, relative to a folder, and contents."""
    hashed = hashlib.blake2b(digest_size=8)
    for file in sorted(contents):
        name = str(file.relative_to(folder)) if folder in file.parents else file.name
        hashed.update(f"{name}\n{len(contents[file])}\n".encode() + contents[file])
    return hashed.hexdigest()


def _files_of(module: ModuleType) -> set[Path]:
    file = getattr(module, "__file__", None)
    return {Path(file).resolve()} if file is not None and file.endswith(".py") else set()


def _told(error: BaseException, path: Path | None = None) -> str:
    """An error with the place where it came up; in the file at `path`, where nothing better is known."""
    sentence = str(error) if isinstance(error, Sc2benchError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        # A declared encoding that is none stands in line 0.
        line = max(error.lineno or 1, 1)
        return f"{type(error).__name__}: {error.msg} ({error.filename or path}, line {line})"
    # The machinery of imports, and our own code that a plugin calls, is not what a user mends.
    foreign = (str(Path(__file__).parent), str(Path(importlib.util.__file__).parent), "<frozen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(foreign)]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else f" ({path})" if path else ""
    return f"{' '.join(sentence.split())}{place}"
