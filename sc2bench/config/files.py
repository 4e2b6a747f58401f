"""The YAML files that fill a configuration, and how the chosen ones are laid over each other: task, method, recipe."""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from sc2bench.config.overrides import merged
from sc2bench.config.reading import read_yaml
from sc2bench.config.stages import STAGES
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.files import at_home
from sc2bench.core.registry import METHODS, plugin_folders

# Groups whose choice is a file, as in `method=entropic_student`.
FILE_GROUPS = ("task", "method", "recipe")
# The recipe of whoever sets all stages by hand.
NO_RECIPE = "none"
# Of files that include each other, one upon the other.
_MAX_INCLUDED = 10
_PACKAGE = re.compile(r"(?:#.*\n|\s*\n)*?#\s*@package\s+(\S+)")


@cache
def config_dir() -> Path:
    """The folder of the YAML files: inside an installed package, or at the top of a source tree."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "configs", here.parent / "configs"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder configs/ is missing beside {here}; install sc2bench again")


def config_places(config_dirs: Sequence[str] = ()) -> tuple[Path, ...]:
    """The package's folder, those of plugins that are packages, and further ones; files of later ones go before.

    Raises:
        ConfigError: a folder can't be read.
    """
    further = []
    for folder in config_dirs:
        try:
            further.append(Path(at_home(folder)).resolve())
            next(further[-1].iterdir(), None)
        except (OSError, ValueError, RuntimeError) as error:
            # Links in a circle are a RuntimeError.
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"--config-dir: {folder} can't be read: {reason}; name a folder like configs/") from error
    return (config_dir(), *plugin_folders("configs"), *further)


def config_files(group: str, config_dirs: Sequence[str] = ()) -> dict[str, Path]:
    """The files of a group ("task", "method", "recipe", "suite") in `configs/` and in further folders, by name."""
    return _files(group, config_places(config_dirs))


def _files(group: str, places: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for place in places:
        try:
            names = sorted(file.name for file in (place / group).iterdir()) if (place / group).exists() else []
        except OSError as error:
            raise ConfigError(f"{place / group} can't be read: {error.strerror}; mend or remove it") from error
        found |= {name[:-5]: place / group / name for name in names if name.endswith(".yaml") and name[0] != "."}
    return found


def composed_files(chosen: Mapping[str, str], places: tuple[Path, ...]) -> dict[str, Any]:
    """What the chosen files say together, with their references still open.

    Args:
        chosen: names of files by group; "none" as recipe leaves the stages of training to be set by hand.
        places: folders laid out like `configs/`.

    Raises:
        ConfigError: an unknown or unreadable file, or a method that learns and has no recipe for the task.
    """
    return deepcopy(_composed(tuple(sorted(chosen.items())), places, _state_of(places[1:])))


def _state_of(places: Sequence[Path]) -> tuple[Any, ...]:
    """What changes when somebody changes a file: a suite has hundreds of experiments, which read each file once."""
    files = [path for group in FILE_GROUPS for path in _files(group, places).values()]
    return tuple((path, path.lstat().st_mtime_ns, path.lstat().st_size) for path in files)


@cache
def _composed(chosen: tuple[tuple[str, str], ...], places: tuple[Path, ...], state: tuple[Any, ...]) -> dict[str, Any]:
    base, _ = read_yaml(places[0] / "run.yaml")
    names = base.pop("defaults") | dict(chosen)
    tree = merged(base, _group("task", names["task"], places))
    method = _group("method", names["method"], places)
    recipe = names.get("recipe")
    if recipe is None:
        recipe = _own_recipe(names["task"], names["method"], method, places)
    if recipe == NO_RECIPE:
        return merged(tree, {key: value for key, value in method.items() if key not in STAGES})
    tree = merged(tree, method)
    return tree if recipe is None else merged(tree, _group("recipe", recipe, places))


def learns(method: str, places: tuple[Path, ...]) -> bool:
    """Whether the file of a method has stages of training."""
    tree = _group("method", method, places)
    return any(tree.get(stage) is not None for stage in STAGES)


def _own_recipe(task: str, method: str, tree: Mapping[str, Any], places: tuple[Path, ...]) -> str | None:
    """The recipe that is named after task and method; `None` where there is none and none is needed."""
    if f"{task}_{method}" in _files("recipe", places):
        return f"{task}_{method}"
    # A method whose file holds all that it needs has recipes for no task.
    if any(tree.get(stage) is not None for stage in STAGES):
        require_no_recipe(task, method, places)
    return None


def require_no_recipe(task: str, method: str, places: Sequence[Path]) -> None:
    """Raises `ConfigError` where a method that learns has recipes, but none for the task; the sentence lists them."""
    known = _files("recipe", places)
    others = [name for each in sorted(_files("task", places)) if (name := f"{each}_{method}") in known]
    if others:
        raise ConfigError(
            f"recipe: method '{method}' learns, and there is no recipe of it for task '{task}'; take one for another "
            f"task with recipe=NAME ({', '.join(others)}), write recipe/{task}_{method}.yaml with 'include: NAME' and "
            f"what differs in a folder that --config-dir names, or set the stages yourself with recipe={NO_RECIPE}"
        )


def _group(group: str, name: str, places: tuple[Path, ...], including: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A file of a group under the keys that its `# @package` gives it, laid over those that it includes."""
    known = _files(group, places)
    if name not in known:
        if group == "method" and name in METHODS:
            raise ConfigError(
                f"method: '{name}' is registered, but method= names a YAML file; write method/{name}.yaml with 'name: "
                f"{name}' and the values of its fields in a folder, and name that with --config-dir"
            )
        names = [*known, NO_RECIPE] if group == "recipe" else list(known)
        raise ConfigError(f"{group}: unknown {group} '{name}'; {nearest(name, names)}")
    path = known[name]
    own, text = read_yaml(path)
    if not isinstance(own, dict):
        raise ConfigError(f"{path} holds no fields; write key: value")
    names = take_included(own, path, known, including)
    package = _PACKAGE.match(text)
    for part in reversed(_package_parts(package[1] if package else group)):
        own = {part: own}
    tree: dict[str, Any] = {}
    for each in names:
        tree = merged(tree, _group(group, each, places, (*including, path)))
    return merged(tree, own)


def take_included(own: dict[str, Any], path: Path, known: Mapping[str, Path], including: Sequence[Path]) -> list[str]:
    """Takes `include` out of a file's tree.

    Args:
        own: what the file says; changed in place.
        path: of the file.
        known: the files of its group by name.
        including: the files that lead to this one, the first one first.

    Returns:
        The names of the files that this one is laid over, the undermost first.

    Raises:
        ConfigError: a name that is unknown or no name, a file that includes itself, or too many upon each other.
    """
    if "defaults" in own:
        raise ConfigError(f"{path}: 'defaults' is called include; write include: [NAME, ...], which this one lies over")
    if path in including:
        chain = ", ".join(each.stem for each in (*including[including.index(path) :], path))
        raise ConfigError(f"{path} includes itself ({chain}); take one of them out of include")
    if len(including) >= _MAX_INCLUDED:
        raise ConfigError(f"{path}: include: more than {_MAX_INCLUDED} files lie over each other; join some of them")
    names = own.pop("include", [])
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: include: '{names}' is neither a name nor a list of names of files beside this one")
    for name in names:
        if name not in known:
            raise ConfigError(f"{path}: include: unknown {path.parent.name} '{name}'; {nearest(name, known)}")
    return [str(name) for name in names]


def _package_parts(package: str) -> list[str]:
    return [] if package == "_global_" else package.split(".")
