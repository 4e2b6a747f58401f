"""The stages of training: their fields, and the losses, the optimizer and the schedule that each chooses.

A loss is written as its weight or with its options, `{kd: 1.0}` or `{kd: {weight: 1.0, temperature: 4}}`, an optimizer
or a schedule as its name or with its options, `sgd` or `{name: sgd, momentum: 0.8}`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any

from annotated_doc import Doc

from sc2bench.config.fields import typed
from sc2bench.config.options import (
    IN_EPOCHS,
    LossConfig,
    OptimizerConfig,
    ScheduleConfig,
    config_class_of,
)
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.registry import AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULES

STAGES = ("stage1", "stage2", "stage3")
# What a stage chooses one of, and what it is unless it does; must never be changed.
CHOICES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}
USUAL = {"optimizer": "adam", "schedule": "multi_step"}
FORMER = "former"


def _usual(group: str) -> Any:
    return config_class_of(CHOICES[group], USUAL[group], group)(name=USUAL[group])


@dataclass
class StageSettings:
    """The fields of a stage that are its own."""

    epochs: Annotated[int, Doc("Passes over the training set.")] = 10
    batch_size: Annotated[int, Doc("Samples of a batch, of all processes together.")] = 64
    trainable: Annotated[
        list[str],
        Doc("Modules of the split model that learn, by path; everything else is frozen and in evaluation mode."),
    ] = field(default_factory=list)
    features: Annotated[
        list[str], Doc("Layers of the teacher whose outputs are imitated, by losses that name none of their own.")
    ] = field(default_factory=list)
    learning_rate: Annotated[float, Doc("Of the optimizer at its highest.")] = 1e-3
    prior_learning_rate: Annotated[
        float | None,
        Doc("Of the prior's own parameters, which want a larger step than the transforms; null: learning_rate."),
    ] = None
    augment: Annotated[list[str], Doc("Augmentations of the training images, in order."), AUGMENTATIONS] = field(
        default_factory=list
    )
    select: Annotated[
        str,
        Doc("What the best epoch is chosen by on validation: the stage's own loss, or the task's main metric."),
        ("loss", "quality"),
    ] = "loss"
    samples: Annotated[
        int | None,
        Doc("Limits the training set to a fixed part of so many, with its share of each class; null: all."),
    ] = None
    accumulation_steps: Annotated[int, Doc("Batches whose gradients are averaged to one step of the optimizer.")] = 1
    frozen_precision: Annotated[
        str,
        Doc(
            "In what layers of teacher and student compute that learn nothing in this stage: as the others do, or with "
            "weights in bfloat16 that normalizations are part of, which takes less time."
        ),
        ("mixed", "bf16"),
    ] = "mixed"


@dataclass
class StageConfig(StageSettings):
    """One stage of training; a method without it is not trained."""

    losses: Annotated[
        dict[str, LossConfig],
        Doc(
            "The terms of what is minimized: names of losses, each with its weight or its options. A term may have "
            "another name, with that of the loss in its options, so that a loss can stand there twice; null takes one "
            "of the method's file out."
        ),
        LOSSES,
    ] = field(default_factory=dict)
    optimizer: Annotated[OptimizerConfig, Doc("What makes steps of gradients, with its options."), OPTIMIZERS] = field(
        default_factory=lambda: _usual("optimizer")
    )
    schedule: Annotated[
        ScheduleConfig, Doc("How the learning rates change in the course of the stage, with its options."), SCHEDULES
    ] = field(default_factory=lambda: _usual("schedule"))
    former: Annotated[
        dict[str, Any],
        Doc(
            "Options without effect that name experiments of the time when all options lay in the stage; never set it."
        ),
    ] = field(default_factory=dict)

    def chosen(self) -> dict[str, Any]:
        """The options of the optimizer, the schedule and each loss by their keys below the stage's."""
        losses = {f"losses.{name}": loss for name, loss in self.losses.items()}
        return {"optimizer": self.optimizer, "schedule": self.schedule, **losses}

    def trial(self, samples: int) -> "StageConfig":
        """The same stage cut down to one step on a few samples."""
        lists: dict[str, Any] = {each.name: [] for each in fields(self.schedule) if each.metadata.get(IN_EPOCHS)}
        return replace(self, epochs=1, schedule=replace(self.schedule, **lists), samples=samples, batch_size=samples)


def spelled_out(value: Any, path: tuple[str, ...]) -> Any:
    """The value of a field in its long form, if it is that of an optimizer, a schedule or a loss of a stage.

    Args:
        value: a name or a weight, which become fields, or anything else, which stays as it is.
        path: of the field, from the top of the configuration.
    """
    if is_choice(path):
        return {"name": value} if isinstance(value, str) else value
    is_weight = isinstance(value, str | int | float) and not isinstance(value, bool)
    return {"weight": value} if is_loss(path) and is_weight else value


def is_choice(path: tuple[str, ...]) -> bool:
    """Whether a path leads to the optimizer or the schedule of a stage."""
    return len(path) == 2 and path[0] in STAGES and path[1] in CHOICES


def is_loss(path: tuple[str, ...]) -> bool:
    """Whether a path leads to a loss of a stage."""
    return len(path) == 3 and path[0] in STAGES and path[1] == "losses"


def name_in(options: Any, path: tuple[str, ...]) -> str:
    """What the long form of a choice or a loss at a path names."""
    name = options.get("name") if isinstance(options, dict) else None
    usual = path[2] if is_loss(path) else USUAL[path[1]]
    return name if isinstance(name, str) else usual


def config_class_at(path: tuple[str, ...], options: Any) -> Any:
    """The dataclass of the options that a choice or a loss at a path has; `None` where it names nothing known."""
    try:
        return config_class_of(LOSSES if is_loss(path) else CHOICES[path[1]], name_in(options, path), "")
    except ConfigError:
        return None


def owner_of(tree: Any, path: tuple[str, ...]) -> tuple[tuple[str, ...], Any] | None:
    """To whom the option at a path of a tree belongs: the path of the choice or loss, and what the tree says of it.

    Returns:
        `None` for a path that leads to no option.
    """
    for owner in (path[:2], path[:3]):
        if len(path) == len(owner) + 1 and (is_choice(owner) or is_loss(owner)):
            place = tree
            for part in owner:
                place = place.get(part) if isinstance(place, dict) else None
            return owner, spelled_out(place, owner)
    return None


def typed_stage(raw: Any, key: str) -> StageConfig:
    """Turns a dictionary into a stage, with the full key in every error.

    Args:
        raw: the dictionary; losses that are null are left out, so that a recipe can drop one of the method's file.
        key: of the stage.

    Raises:
        ConfigError: an unknown key or name, a missing value or one of the wrong type.
    """
    own = ("losses", *CHOICES, FORMER)
    given = {name: value for name, value in raw.items() if name not in own} if isinstance(raw, dict) else raw
    settings = typed(StageSettings, given, key, extra=("losses", *CHOICES))
    losses = raw.get("losses", {})
    if not isinstance(losses, dict):
        raise ConfigError(f"{key}.losses: '{losses}' has no fields; write {{name: weight}}")
    former = {} if raw.get(FORMER) is None else raw[FORMER]
    if not isinstance(former, dict):
        raise ConfigError(f"{key}.{FORMER}: '{former}' has no fields; leave it out")
    return StageConfig(
        **vars(settings),
        losses={name: _loss(value, (key, "losses", name)) for name, value in losses.items() if not _is_dropped(value)},
        **{group: _options(raw.get(group, USUAL[group]), (key, group), CHOICES[group]) for group in CHOICES},
        former=dict(former),
    )


def _is_dropped(loss: Any) -> bool:
    """Whether a loss is null, as its whole or by its weight, such as one that refers to a rate which is null."""
    return loss is None or (isinstance(loss, dict) and loss.get("weight", loss) is None)


def _loss(value: Any, path: tuple[str, ...]) -> Any:
    options = spelled_out(value, path)
    if isinstance(options, dict):
        options = _flat(options, "weight")
        if "weight" not in options and config_class_at(path, options) is not None:
            key = ".".join(path)
            raise ConfigError(f"{key}.weight: no value is given, and without one there is no such loss; set {key}=1")
    return _options(options, path, LOSSES)


def _options(value: Any, path: tuple[str, ...], registry: Any) -> Any:
    key = ".".join(path)
    options = spelled_out(value, path)
    if not isinstance(options, dict):
        what = "null, where a value is expected" if options is None else f"'{options}' is no name"
        raise ConfigError(f"{key}: {what}")
    options = _flat({"name": name_in({}, path), **options}, "name")
    name = options["name"]
    if not isinstance(name, str):
        raise ConfigError(f"{key}.name: {name} is no name of a {registry.kind}")
    schema = config_class_of(registry, name, key)
    for each in options:
        if each not in {known.name for known in fields(schema)}:
            raise ConfigError(f"{key}.{each}: {_unknown(registry.kind, name, each, schema)}")
    return typed(schema, options, key)


def _unknown(kind: str, name: str, option: str, schema: Any) -> str:
    return f"unknown option of {kind} '{name}'; {nearest(option, [each.name for each in fields(schema)])}"


def _flat(options: dict[str, Any], name: str) -> dict[str, Any]:
    """Options whose name or weight referred to another place, where it has turned out to have options itself."""
    inner = options.get(name)
    if not isinstance(inner, dict):
        return options
    return inner | {key: value for key, value in options.items() if key != name}


def unknown_option(config: StageConfig, path: Sequence[str]) -> str | None:
    """Why a stage has no option at a path below it, as the tail of a sentence; `None` if it has, or it is no option."""
    *owner, name = path
    if owner and owner[0] == "losses" and len(owner) > 1 and owner[1] not in config.losses:
        return f"the stage has no loss '{owner[1]}'; it has {', '.join(config.losses)}"
    options = config.chosen().get(".".join(owner))
    if options is None or any(each.name == name for each in fields(options)):
        return None
    kind = "loss" if owner[0] == "losses" else owner[0]
    return _unknown(kind, options.name, name, options)
