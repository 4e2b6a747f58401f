"""One kind of registry for everything that a configuration can name."""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar
from weakref import WeakSet

from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.plugins import Plugin, import_file, import_installed

T = TypeVar("T")

PLUGIN_GROUP = "sc2bench.plugins"
_PACKAGE = __name__.partition(".")[0]


class Registry(Generic[T]):
    """Maps names to implementations of one kind.

    The modules that register implementations are imported at the first look-up, so a new one is added by a
    file in the registry's package (or by a plugin) and nothing else.

    Args:
        kind: what the entries are, as it stands in errors ("method", "image codec").
        package: the package or module whose import registers the entries; `None` for a registry that is
            filled by hand.
    """

    _all: "ClassVar[WeakSet[Registry[Any]]]" = WeakSet()

    def __init__(self, kind: str, package: str | None = None):
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        # Of each entry the module that registered it.
        self._origins: dict[str, str] = {}
        self._loaded = package is None
        self._loading = False
        Registry._all.add(self)

    def register(self, name: str) -> Callable[[Any], Any]:
        """Returns a decorator that registers what it decorates under `name`.

        Raises:
            ConfigError: `name` is taken.
        """

        def decorate(entry: Any) -> Any:
            if name in self._entries:
                raise ConfigError(f"{self.kind} '{name}' is registered twice; choose another name")
            self._entries[name] = entry
            self._origins[name] = _module_at_work()
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
        if self._loaded or self._loading or self._package is None:
            return
        # What is imported may look names up itself.
        self._loading = True
        try:
            with _taken_back_on_failure():
                package = importlib.import_module(self._package)
                for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
                    importlib.import_module(f"{self._package}.{module.name}")
        finally:
            self._loading = False
        _load_installed_plugins()
        self._loaded = True


def _module_at_work() -> str:
    """The module that is being imported; it may let a function of another one register its entries."""
    frame = sys._getframe(2)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    name: str = frame.f_globals.get("__name__", "")
    return name


@contextmanager
def _taken_back_on_failure() -> Iterator[set[str]]:
    """Takes entries of modules whose import fails back, so that the next attempt fails for the same reason.

    Gives a set, which holds the modules outside of this package that have registered something when it is over.
    """
    before = {registry: set(registry._entries) for registry in Registry._all}
    modules: set[str] = set()
    try:
        yield modules
    except BaseException:
        for registry in Registry._all:
            for name in registry._entries.keys() - before.get(registry, set()):
                # Python keeps the modules that a failed one has imported, and would not run them again.
                if registry._origins[name] not in sys.modules:
                    del registry._entries[name], registry._origins[name]
        raise
    for registry in Registry._all:
        origins = {registry._origins[name] for name in registry._entries.keys() - before.get(registry, set())}
        modules |= {origin for origin in origins if origin.partition(".")[0] != _PACKAGE}


def configured(config_class: type) -> Callable[[Any], Any]:
    """Returns a decorator that tells of a function, such as the opener of a data set, what its options are.

    Args:
        config_class: a dataclass derived from that of the group that the options stand in; see `config.options`.

    Raises:
        ConfigError: the function has others already.
    """

    def decorate(entry: Any) -> Any:
        known = getattr(entry, "config_class", config_class)
        if known is not config_class:
            name = getattr(entry, "__name__", entry)
            raise ConfigError(f"{name} has the options of {known.__name__} already; write a function for each")
        entry.config_class = config_class
        return entry

    return decorate


def load_plugins(paths: Iterable[str]) -> None:
    """Imports Python files that register methods, codecs or data sets of a user's own.

    Args:
        paths: the files; each is imported once, however often it is named.

    Raises:
        ConfigError: a file is missing, is not a Python file, or its import fails; the sentence names file and line.
    """
    for text in paths:
        try:
            path = Path(text).resolve()
            is_file = path.is_file()
        except (OSError, ValueError, RuntimeError) as error:
            # Links in a circle are a RuntimeError.
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"plugin '{text}' can't be reached: {reason}; mend its place or rights") from error
        if str(path) in _plugins:
            continue
        if not is_file or path.suffix != ".py":
            raise ConfigError(f"plugin '{text}' is not a Python file; give the path of a .py file")
        _remember(str(path), partial(import_file, path, text))


def loaded_plugins() -> list[Plugin]:
    """The plugins that are loaded, those of installed packages included; raises `ConfigError` for a broken one."""
    _load_installed_plugins()
    return [replace(plugin, names=_names_of(plugin)) for plugin in _plugins.values()]


def plugin_folders(name: str) -> list[Path]:
    """The folders of this name within the packages that are loaded as plugins, such as that of their YAML files."""
    found = []
    for plugin in loaded_plugins():
        for module in sorted(plugin.modules):
            for place in getattr(sys.modules.get(module), "__path__", ()):
                if (Path(place) / name).is_dir():
                    found.append(Path(place) / name)
    return found


def plugins_of(names: Iterable[str]) -> list[Plugin]:
    """Those of the loaded plugins that have registered any of these names; raises as `loaded_plugins` does."""
    wanted = set(names)
    return [plugin for plugin in loaded_plugins() if plugin.names & wanted]


def _names_of(plugin: Plugin) -> frozenset[str]:
    """What its modules have registered, whoever has imported them first."""
    return frozenset(
        name for registry in Registry._all for name in registry._entries if plugin.has(registry._origins.get(name, ""))
    )


def _remember(key: str, load: Callable[[], Plugin]) -> None:
    """Loads a plugin; what registers meanwhile is of it, but for what another has that is loaded on the way."""
    known = set(_plugins)
    with _taken_back_on_failure() as modules:
        plugin = load()
    others = [_plugins[other] for other in _plugins.keys() - known]
    further = {module for module in modules if not any(other.has(module) for other in others)}
    _plugins[key] = replace(plugin, modules=plugin.modules | further)


def _load_installed_plugins() -> None:
    for point in entry_points(group=PLUGIN_GROUP):
        key = f"{point.name}={point.value}"
        # One that is being imported may look names up, which comes here again.
        if key in _plugins or key in _importing:
            continue
        _importing.add(key)
        try:
            _remember(key, partial(import_installed, point))
        finally:
            _importing.discard(key)


_plugins: dict[str, Plugin] = {}
_importing: set[str] = set()

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
OPTIMIZERS: Registry[Any] = Registry("optimizer", "sc2bench.training")
SCHEDULES: Registry[Any] = Registry("schedule", "sc2bench.training")
