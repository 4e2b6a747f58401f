"""Settings that an experiment would accept and record, though nothing would come of them."""

from typing import Any

from sc2bench.config.schemas import RunConfig, StageConfig
from sc2bench.core.registry import DATASETS, METHODS

# Losses, here and of plugins, see the whole stage; of these it is known what they look at.
_LOSSES = frozenset(("task", "kd", "rate", "distortion", "feature_sse", "feature_relative"))
_LOSS_OPTIONS = {
    "kd_alpha": ("kd",),
    "kd_temperature": ("kd",),
    "label_smoothing": ("task", "kd"),
}
_SCHEDULE_OPTIONS = {"warmup": "one_cycle", "milestones": "multi_step", "gamma": "multi_step"}
_OPTIMIZER_OPTIONS = {"momentum": "sgd", "nesterov": "sgd"}
# The task whose loss is that of its detectors.
_BOXES = "object_detection"
_WITHOUT_BOXES = ("image_classification", "semantic_segmentation")


def has_rate(config: RunConfig) -> bool:
    """Whether the method has a rate knob, and it turns something."""
    return METHODS[config.method.name].rate_knob is not None and config.method.has_rate()


def ignored(config: RunConfig, key: str) -> str | None:
    """Why a setting has no effect, as the tail of a sentence that begins with its key; `None` if it has one.

    A setting to its default is never in the way.
    """
    group, _, name = key.partition(".")
    if key == "rate":
        return None if config.rate is None or has_rate(config) else _RATE.format(_named(config), config.rate)
    if group in config.stages and name == "label_smoothing" and config.task.name == _BOXES:
        smoothing = config.stages[group].label_smoothing
        return f"the loss of task '{_BOXES}' smooths no labels; leave it out" if smoothing else None
    if group in config.stages:
        return _ignored_by_stage(config.stages[group], name)
    if group.startswith("stage") and name:
        return f"there is no {group}; the experiment has {', '.join(config.stages) or 'no stages of training'}"
    if group == "method":
        return config.method.unused().get(name)
    if group == "task" and name in ("resize", "crop", "interpolation") and _has_own_sizes(config.task.dataset):
        value = getattr(config.task, name)
        return None if value in (None, "bilinear") else f"data set '{config.task.dataset}' has sizes of its own"
    if key == "evaluation.coco_backend" and config.task.name in _WITHOUT_BOXES:
        backend = config.evaluation.coco_backend
        return None if backend == "pycocotools" else f"task '{config.task.name}' has no mean average precision"
    return None


def _named(config: RunConfig) -> str:
    """The method, with its codec if it is the one that has no rate."""
    name = config.method.name
    return name if METHODS[name].rate_knob is None else f"{name}' with codec '{getattr(config.method, 'codec', '')}"


def _has_own_sizes(dataset: str) -> bool:
    return dataset in DATASETS and getattr(DATASETS[dataset], "own_sizes", False)


_RATE = "method '{}' has no rate knob, so {:g} would change nothing; leave rate out"


def _ignored_by_stage(stage: StageConfig, name: str) -> str | None:
    value: Any = getattr(stage, name, None)
    if value == getattr(StageConfig(), name, None):
        return None
    losses = _LOSS_OPTIONS.get(name)
    if losses is not None and _LOSSES.issuperset(stage.losses) and not set(losses) & set(stage.losses):
        return f"none of the losses {list(stage.losses)} looks at it; it belongs to {' and '.join(losses)}"
    if name in _SCHEDULE_OPTIONS and stage.schedule != _SCHEDULE_OPTIONS[name]:
        return f"schedule '{stage.schedule}' has none; it belongs to {_SCHEDULE_OPTIONS[name]}"
    if name in _OPTIMIZER_OPTIONS and stage.optimizer != _OPTIMIZER_OPTIONS[name]:
        return f"optimizer '{stage.optimizer}' has none; it belongs to {_OPTIMIZER_OPTIONS[name]}"
    return None
