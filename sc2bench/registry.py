"""One kind of registry for everything that a configuration can name."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from sc2bench.errors import ConfigError, nearest

T = TypeVar("T")

PLUGIN_GROUP = "sc2bench.plugins"


class Registry(Generic[T]):
    """Maps names to implementations of one kind.

    The modules that register implementations are imported at the first look-up, so a new one is added by a
    file in the registry's package (or by a plugin) and nothing else.

    Args:
        kind: what the entries are, as it stands in errors ("method", "image codec").
        package: the package or module whose import registers the entries; `None` for a registry that is
            filled by hand.
    """

    def __init__(self, kind: str, package: str | None = None):
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._loaded = package is None

    def register(self, name: str) -> Callable[[Any], Any]:
        """Returns a decorator that registers what it decorates under `name`.

        Raises:
            ConfigError: `name` is taken.
        """

        def decorate(entry: Any) -> Any:
            if name in self._entries:
                raise ConfigError(f"{self.kind} '{name}' is registered twice; choose another name")
            self._entries[name] = entry
            return entry

        return decorate

    def __getitem__(self, name: str) -> T:
        """Looks `name` up; raises `ConfigError` that names the nearest known one."""
        self._load()
        if name not in self._entries:
            raise ConfigError(f"unknown {self.kind} '{name}'; {nearest(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load()
        return sorted(self._entries)

    def _load(self) -> None:
        if self._loaded or self._package is None:
            return
        self._loaded = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
            importlib.import_module(f"{self._package}.{module.name}")
        for plugin in entry_points(group=PLUGIN_GROUP):
            plugin.load()


def load_plugins(paths: Iterable[str]) -> None:
    """Imports Python files that register methods, codecs or data sets of a user's own.

    Args:
        paths: the files; each is imported once, however often it is named.

    Raises:
        ConfigError: a file is missing or is not a Python file.
    """
    for text in paths:
        path = Path(text).resolve()
        if path in _plugins:
            continue
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise ConfigError(f"plugin '{text}' is not a Python file; give the path of a .py file")
        _plugins.add(path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


_plugins: set[Path] = set()

DATASETS: Registry[Any] = Registry("data set", "sc2bench.data")
AUGMENTATIONS: Registry[Any] = Registry("augmentation", "sc2bench.data")
TEACHERS: Registry[Any] = Registry("teacher", "sc2bench.teachers")
TEACHER_LIBRARIES: Registry[Any] = Registry("teacher library", "sc2bench.teachers")
PRIORS: Registry[Any] = Registry("prior", "sc2bench.entropy")
BOTTLENECKS: Registry[Any] = Registry("bottleneck", "sc2bench.bottlenecks")
IMAGE_CODECS: Registry[Any] = Registry("image codec", "sc2bench.codecs")
METHODS: Registry[Any] = Registry("method", "sc2bench.methods")
TASKS: Registry[Any] = Registry("task", "sc2bench.tasks")
LOSSES: Registry[Any] = Registry("loss", "sc2bench.training")
