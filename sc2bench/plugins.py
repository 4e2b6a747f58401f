"""Code of a user's own: imported, and known by its content, so that results of another state of it are told apart."""

import hashlib
import importlib.util
import subprocess
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from sc2bench.errors import ConfigError, Sc2benchError


@dataclass(frozen=True)
class Plugin:
    """A plugin that is loaded.

    Attributes:
        name: its path, or the installed package with its version.
        content: BLAKE2b of its Python files, as 16 hexadecimal digits.
        commit: of the git repository that it lies in; `None` outside of any.
        dirty: whether it differs from that commit; `None` without one.
        names: what it has registered.
    """

    name: str
    content: str
    commit: str | None = None
    dirty: bool | None = None
    names: frozenset[str] = frozenset()

    def described(self) -> dict[str, Any]:
        """For a record: which code it was."""
        return {"name": self.name, "content": self.content, "git_commit": self.commit, "git_dirty": self.dirty}


def import_file(path: Path, named: str) -> Plugin:
    """Imports a Python file as a module of a name of its own, which nothing else has.

    Args:
        path: absolute.
        named: what the user calls it.

    Raises:
        ConfigError: the import fails, or the file can't be read; the sentence names file and line.
    """
    # A dataclass looks its module up by name, and two files may have the same name.
    name = f"sc2bench_plugin_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.modules[name] = module
    try:
        # The code that runs is the content that is hashed: Python's own cache may be a second behind an edited file.
        content = path.read_bytes()
        exec(compile(content, str(path), "exec"), module.__dict__)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise ConfigError(f"plugin '{named}' can't be imported: {_told(error)}; mend it, or leave it out") from error
    helpers = {file for file in _files_of(sys.modules.keys() - before) if path.parent in file.parents} - {path}
    contents = {path: content} | {file: file.read_bytes() for file in helpers}
    return Plugin(str(path), _digest(contents, path.parent), *git_state(path))


def import_installed(point: EntryPoint) -> Plugin:
    """Imports a plugin that an installed package offers.

    Raises:
        ConfigError: the import fails; the sentence names the package, file and line.
    """
    package = "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    try:
        point.load()
    except Exception as error:
        raise ConfigError(
            f"the plugin '{point.value}' of {package} can't be imported: {_told(error)}; mend or uninstall it"
        ) from error
    top = sys.modules[point.module.partition(".")[0]]
    folders = [Path(folder) for folder in getattr(top, "__path__", ())]
    files = {file for folder in folders for file in folder.rglob("*.py")} or set(_files_of([top.__name__]))
    place = folders[0] if folders else next(iter(files), None)
    state = (None, None) if place is None or "site-packages" in place.parts else git_state(place)
    contents = {file: file.read_bytes() for file in files}
    return Plugin(f"{package} ({point.value})", _digest(contents, place or Path()), *state)


def git_state(path: Path) -> tuple[str | None, bool | None]:
    """The commit of the git repository that a file or folder lies in, and whether it differs; (None, None) outside."""
    folder = path if path.is_dir() else path.parent
    try:
        commit = git(folder, "rev-parse", "HEAD")
        return commit, bool(git(folder, "status", "--porcelain", "--ignored", "--", str(path)))
    except (OSError, subprocess.SubprocessError):
        return None, None


def git(folder: Path, *arguments: str) -> str:
    """What git says in a folder; raises `OSError` or `SubprocessError`."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def _digest(contents: Mapping[Path, bytes], folder: Path) -> str:
    """Of names, relative to a folder, and contents."""
    hashed = hashlib.blake2b(digest_size=8)
    for file in sorted(contents):
        name = str(file.relative_to(folder)) if folder in file.parents else file.name
        hashed.update(f"{name}\n{len(contents[file])}\n".encode() + contents[file])
    return hashed.hexdigest()


def _files_of(modules: Iterable[str]) -> list[Path]:
    found: list[ModuleType | None] = [sys.modules.get(name) for name in modules]
    files = [getattr(module, "__file__", None) for module in found]
    return [Path(file).resolve() for file in files if file is not None and file.endswith(".py")]


def _told(error: BaseException) -> str:
    """An error with the place where it came up."""
    sentence = str(error) if isinstance(error, Sc2benchError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    # The machinery of imports, and our own code that a plugin calls, is not what a user mends.
    own = str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((own, "<frozen"))]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{' '.join(sentence.split())}{place}"
