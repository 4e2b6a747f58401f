"""Checks of values that a type can't express: names, ranges, and fields that depend on each other."""

from collections.abc import Sequence
from typing import Any

from sc2bench.config.groups import CHOOSERS
from sc2bench.config.meanings import meanings
from sc2bench.config.options import check_options
from sc2bench.config.schemas import ExperimentConfig, MethodConfig, TeacherConfig
from sc2bench.config.stages import StageConfig
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.registry import AUGMENTATIONS, DATASETS, METHODS, TASKS, TEACHER_LIBRARIES, TEACHERS

PRECISIONS = ("auto", "no", "bf16", "fp16")
# Where the teacher stands in the method that trains it.
_TEACHER = "server.teacher."
MAX_SEED = 2048


def check(config: ExperimentConfig) -> None:
    """Raises `ConfigError` that names the full key of the first wrong value."""
    places = {"output": config.output, "checkpoints": config.checkpoints, "task.root": config.task.root}
    for key, place in places.items():
        if place is not None and (not place or "\0" in place):
            raise ConfigError(f"{key}: {place!r} is no path of a folder; name one")
    _known("task.name", config.task.name, TASKS)
    _known("task.dataset", config.task.dataset, DATASETS)
    if config.task.validation_fraction is not None and not 0 < config.task.validation_fraction < 1:
        raise ConfigError(
            f"task.validation_fraction: {config.task.validation_fraction} must lie between 0 and 1, such as 0.1"
        )
    _check_teacher(config.teacher)
    for group in CHOOSERS:
        _check_choices(group, getattr(config, group))
        check_options(group, getattr(config, group), epochs=0)
    _one_of("mixed_precision", config.mixed_precision, PRECISIONS)
    _one_of("evaluation.split", config.evaluation.split, ("train", "validation", "test"))
    _one_of("evaluation.server_precision", config.evaluation.server_precision, ("fp32", "bf16"))
    _at_least("evaluation.batch_size", config.evaluation.batch_size, 1)
    _at_least("evaluation.batch_pixels", config.evaluation.batch_pixels, 1)
    _at_least("evaluation.packet_pixels", config.evaluation.packet_pixels, 1)
    _at_least("evaluation.samples", config.evaluation.samples, 1)
    _at_least("evaluation.latency_repeats", config.evaluation.latency_repeats, 0)
    _at_least("evaluation.threads", config.evaluation.threads, 1)
    if config.evaluation.export_int8 and not config.evaluation.export:
        raise ConfigError("evaluation.export_int8: what is quantized is an exported graph; add evaluation.export=true")
    _at_least("workers", config.workers, 0)
    if not 0 <= config.seed < MAX_SEED:
        raise ConfigError(f"seed: {config.seed} is not in 0 ... {MAX_SEED - 1}")
    for name, stage in config.stages.items():
        _check_stage(name, stage)
    trained = [path for stage in config.stages.values() for path in stage.trainable]
    if config.teacher.new_head and not any(f"{path}.".startswith(_TEACHER) for path in trained):
        raise ConfigError(
            "teacher.new_head: no stage trains server.teacher, so that the head would stay random; fine-tune it with "
            "method=teacher recipe=finetune_teacher, and give what that leaves as teacher.weights with "
            "teacher.new_head=false"
        )


def require_rate(method: MethodConfig, rate: float | None) -> None:
    """Raises `ConfigError` if a method has a rate knob that turns something, and no rate is given."""
    knob = METHODS[method.name].rate_knob
    if knob is not None and rate is None and method.has_rate():
        raise ConfigError(f"rate: method '{method.name}' needs one; add rate=VALUE (its {knob})")


def _check_choices(group: str, options: object) -> None:
    """Checks the fields that say themselves what can be chosen."""
    schema: type = type(options)
    for each in meanings(schema):
        # Those of a teacher depend on each other.
        if group == "teacher" and each.name in CHOOSERS[group]:
            continue
        value = getattr(options, each.name)
        if each.choices is None or value is None:
            continue
        for item in [value] if isinstance(value, str) else value:
            if isinstance(each.choices, tuple):
                _one_of(f"{group}.{each.name}", item, each.choices)
            else:
                _known(f"{group}.{each.name}", item, each.choices)


def _check_stage(name: str, stage: StageConfig) -> None:
    _one_of(f"{name}.select", stage.select, ("loss", "quality"))
    _one_of(f"{name}.frozen_precision", stage.frozen_precision, ("mixed", "bf16"))
    _at_least(f"{name}.epochs", stage.epochs, 1)
    _at_least(f"{name}.batch_size", stage.batch_size, 1)
    _at_least(f"{name}.samples", stage.samples, stage.batch_size)
    _at_least(f"{name}.accumulation_steps", stage.accumulation_steps, 1)
    _above(f"{name}.learning_rate", stage.learning_rate, 0)
    if stage.prior_learning_rate is not None:
        _above(f"{name}.prior_learning_rate", stage.prior_learning_rate, 0)
    if not stage.losses and not stage.trainable:
        raise ConfigError(
            f"{name}: the experiment has no such stage; to add it, set {name}.trainable, {name}.losses and what "
            "else it needs"
        )
    if not stage.losses:
        raise ConfigError(f"{name}.losses: empty; name at least one loss")
    for augmentation in stage.augment:
        _known(f"{name}.augment", augmentation, AUGMENTATIONS)
    for key, options in stage.chosen().items():
        check_options(f"{name}.{key}", options, stage.epochs)


def _check_teacher(config: TeacherConfig) -> None:
    if not config.library:
        _known("teacher.name", config.name, TEACHERS)
        return
    _known("teacher.library", config.library, TEACHER_LIBRARIES)
    TEACHER_LIBRARIES[config.library].check(config)


def _known(key: str, name: str, registry: Any) -> None:
    try:
        registry[name]
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


def _one_of(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"{key}: unknown value '{value}'; {nearest(value, known)}")


def _at_least(key: str, value: float | None, least: int) -> None:
    if value is not None and value < least:
        raise ConfigError(f"{key}: {value} is below the least value, {least}")


def _above(key: str, value: float, bound: float) -> None:
    if not value > bound:
        raise ConfigError(f"{key}: {value} must be above {bound}")
