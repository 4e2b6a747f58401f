"""Fields that all tasks, teachers or evaluations had once, and today only those that have a use for them.

Configurations that were stored then are read.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sc2bench.core.errors import ConfigError

# The fields that all of a group had, with their defaults, which say nothing.
_ONCE_COMMON: dict[str, dict[str, Any]] = {
    "task": {
        "resize": None,
        "crop": None,
        "interpolation": "bilinear",
        "classes": None,
        "training_crop": None,
        "keep_decoded": False,
    },
    "teacher": {"backbone": None},
}
# Those of the evaluation that are the task's today. Beside any task they had a value.
_OF_TASK = ("coco_backend", "bootstrap")


def refuse_moved(tree: Mapping[str, Any]) -> None:
    """Raises `ConfigError` that names the new key if a field of a tree stands where it stood once."""
    evaluation = tree.get("evaluation")
    for name in _OF_TASK:
        if isinstance(evaluation, Mapping) and name in evaluation:
            raise ConfigError(f"evaluation.{name}: options belong to what they configure; write task.{name}")


def renewed(raw: Mapping[str, Any], schemas: Mapping[str, type]) -> dict[str, Any]:
    """A configuration that was stored, as it would be today; what is so already is left as it is.

    Args:
        raw: the groups; not changed.
        schemas: the dataclass of each group.
    """
    tree = dict(raw)
    for group, defaults in _ONCE_COMMON.items():
        given = tree.get(group)
        if isinstance(given, Mapping):
            known = {each.name for each in fields(schemas[group])}
            said = {name for name in defaults.keys() - known if given.get(name) == defaults[name]}
            tree[group] = {name: value for name, value in given.items() if name not in said}
    evaluation, task = tree.get("evaluation"), tree.get("task")
    if isinstance(evaluation, Mapping) and isinstance(task, Mapping):
        known = {each.name for each in fields(schemas["task"])}
        old = {name: evaluation[name] for name in _OF_TASK if name in evaluation}
        tree["evaluation"] = {name: value for name, value in evaluation.items() if name not in old}
        # Beside other tasks they had no effect.
        tree["task"] = {name: value for name, value in old.items() if name in known} | dict(task)
    return tree
