"""Settings that an experiment would accept and record, though nothing would come of them."""

from dataclasses import fields
from typing import Any

from sc2bench.config.groups import CHOOSERS
from sc2bench.config.schemas import ExperimentConfig
from sc2bench.config.stages import config_class_at, owner_of, unknown_option
from sc2bench.core.registry import METHODS, TASKS


def has_rate(config: ExperimentConfig) -> bool:
    """Whether the method has a rate knob, and it turns something."""
    return METHODS[config.method.name].rate_knob is not None and config.method.has_rate()


def ignored(config: ExperimentConfig, key: str) -> str | None:
    """Why a setting has no effect, as the tail of a sentence that begins with its key; `None` if it has one.

    A setting to its default is never in the way.
    """
    group, _, name = key.partition(".")
    if key == "rate":
        return None if config.rate is None or has_rate(config) else _RATE.format(_named(config), config.rate)
    if group in config.stages:
        return _ignored_by_stage(config, group, name)
    if group.startswith("stage") and name:
        return f"there is no {group}; the experiment has {', '.join(config.stages) or 'no stages of training'}"
    if group in CHOOSERS:
        reason: str | None = getattr(config, group).unused().get(name)
        return reason
    return None


def _ignored_by_stage(config: ExperimentConfig, stage: str, name: str) -> str | None:
    owner, _, option = name.rpartition(".")
    if option == "label_smoothing" and not getattr(TASKS[config.task.name], "smooths_labels", True):
        options = config.stages[stage].chosen().get(owner)
        smooths = getattr(options, option, 0) > 0
        return f"the loss of task '{config.task.name}' smooths no labels; leave it out" if smooths else None
    return unknown_option(config.stages[stage], name.split("."))


def _named(config: ExperimentConfig) -> str:
    """The method, with its codec if it is the one that has no rate."""
    name = config.method.name
    return name if METHODS[name].rate_knob is None else f"{name}' with codec '{getattr(config.method, 'codec', '')}"


_RATE = "method '{}' has no rate knob, so {:g} would change nothing; leave rate out"


def takes(tree: dict[str, Any], key: str) -> bool:
    """Whether an option of a stage that an override names is one of what the stage chooses in a tree."""
    path = tuple(key.split("."))
    owner = owner_of(tree, path)
    if owner is None:
        return True
    schema = config_class_at(*owner)
    # What is unknown has an error of its own.
    return owner[1] is not None and (schema is None or any(each.name == path[-1] for each in fields(schema)))
