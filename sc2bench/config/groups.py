"""Which fields the groups `task`, `teacher` and `method` have: those of what they name, whoever has registered it.

A data set, a task, a teacher, a library of teachers and a method each may have a `config_class`, a dataclass derived
from the group's own. A task's group has the fields of its data set and of its task side by side.
"""

from collections.abc import Mapping
from dataclasses import fields, make_dataclass
from typing import Any, TypeVar

from sc2bench.config.options import Options, check_config_class
from sc2bench.config.schemas import MethodConfig, TaskConfig, TeacherConfig
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import DATASETS, METHODS, TASKS, TEACHER_LIBRARIES, TEACHERS, Registry

Group = TypeVar("Group", TaskConfig, TeacherConfig)
# What chooses the fields of each group.
CHOOSERS = {"task": ("name", "dataset"), "teacher": ("name", "library"), "method": ("name",)}


def schema_of(group: str, raw: Any) -> type[Options]:
    """The dataclass of a group.

    Args:
        group: "task", "teacher" or "method".
        raw: its fields; where names are missing, the schema has what all of its kind have.

    Raises:
        ConfigError: a name that is not registered, two options of one name, or a `config_class` that is none.
    """
    raw = raw if isinstance(raw, Mapping) else {}
    if group == "task":
        name, dataset = raw.get("name"), raw.get("dataset")
        of_task = _class_of("task.name", TASKS, name, TaskConfig)
        of_data = _class_of("task.dataset", DATASETS, dataset, TaskConfig)
        return _joined(of_data, of_task, str(dataset), str(name))
    if group == "teacher":
        if raw.get("library"):
            return _class_of("teacher.library", TEACHER_LIBRARIES, raw["library"], TeacherConfig)
        return _class_of("teacher.name", TEACHERS, raw.get("name"), TeacherConfig)
    if not isinstance(raw.get("name"), str):
        raise ConfigError("method.name: no method is chosen; add method=NAME")
    return _class_of("method.name", METHODS, raw["name"], MethodConfig)


def _class_of(key: str, registry: Registry[Any], name: Any, base: type[Options]) -> type[Options]:
    if not isinstance(name, str):
        return base
    try:
        found = getattr(registry[name], "config_class", base)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    check_config_class(f"{registry.kind} '{name}'", found, base)
    return found


def _joined(of_data: type[Options], of_task: type[Options], dataset: str, task: str) -> type[Options]:
    """One class with the fields of both."""
    both = sorted(_own(of_data, TaskConfig) & _own(of_task, TaskConfig))
    if both:
        raise ConfigError(
            f"task.{both[0]}: data set '{dataset}' and task '{task}' both have an option of this name, so that it "
            "can't be told which is meant; rename that of one of them"
        )
    if issubclass(of_data, of_task):
        return of_data
    return of_task if issubclass(of_task, of_data) else _both(of_data, of_task)


def _both(of_data: type[Options], of_task: type[Options]) -> type[Options]:
    """A class of both, the same each time, so that instances of equal values are equal."""
    methods = {
        "problems": lambda self: of_data.problems(self) | of_task.problems(self),
        "unused": lambda self: of_data.unused(self) | of_task.unused(self),
        "__reduce__": lambda self: (_restored, (of_data, of_task, vars(self))),
    }
    key = of_data, of_task
    if key not in _classes:
        _classes[key] = make_dataclass("TaskConfig", (), bases=key, namespace=methods)
    return _classes[key]


_classes: dict[tuple[type[Options], type[Options]], type[Options]] = {}


def _restored(of_data: type[Options], of_task: type[Options], values: dict[str, Any]) -> Options:
    """What `copy` and `pickle` make of an instance of a class that no module has."""
    return _both(of_data, of_task)(**values)


def completed(config: Group) -> Group:
    """The options of a task or a teacher, with the defaults of those that what they name adds.

    Raises:
        ConfigError: as `schema_of` does.
    """
    schema: Any = schema_of("task" if isinstance(config, TaskConfig) else "teacher", vars(config))
    # A class of both can be an instance of a data set's options alone, as its opener is fine with.
    whole = isinstance(config, schema)
    if isinstance(config, TaskConfig) and not whole:
        whole = isinstance(config, _class_of("task.dataset", DATASETS, config.dataset, TaskConfig))
    found: Group = config if whole else schema(**vars(config))
    return found


def _own(schema: type[Options], base: type[Options]) -> set[str]:
    return {f.name for f in fields(schema)} - {f.name for f in fields(base)}


def owners_of(group: str, name: str) -> list[str]:
    """The registered things that have an option of this name in a group, sorted; a method's are its own alone."""
    registries: dict[str, tuple[Registry[Any], ...]] = {
        "task": (DATASETS, TASKS),
        "teacher": (TEACHERS, TEACHER_LIBRARIES),
    }
    found = []
    for registry in registries.get(group, ()):
        for entry in registry.names():
            schema = getattr(registry[entry], "config_class", Options)
            if name in {f.name for f in fields(schema)}:
                found.append(entry)
    return sorted(found)


def require_owned(group: str, raw: Any, schema: type[Options]) -> None:
    """Raises `ConfigError` for a field that others of the group's kind have, and says which."""
    known = {f.name for f in fields(schema)}
    for name in raw if isinstance(raw, Mapping) else ():
        owners = [] if name in known else owners_of(group, name)
        if owners:
            chosen = " or ".join(f"'{raw[choice]}'" for choice in CHOOSERS[group] if raw.get(choice))
            raise ConfigError(
                f"unknown key '{group}.{name}'; it belongs to {', '.join(owners)}, not to {chosen}; leave it out"
            )
