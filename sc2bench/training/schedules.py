"""The schedules of the learning rate: what it is multiplied by at a share of a stage's steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_doc import Doc

from sc2bench.config import ScheduleConfig, option, registered
from sc2bench.core.registry import SCHEDULES

# Of an epoch, for rounding.
_LESS_THAN_A_STEP = 1e-9


def register_schedule(name: str, config_class: type[ScheduleConfig] = ScheduleConfig) -> Callable[[Any], Any]:
    """Returns a decorator that registers a function of progress, epochs and options as a schedule.

    For example::

        @register_schedule("linear")
        def linear(progress, epochs, options):
            return 1 - progress

    Args:
        name: as it stands in configurations.
        config_class: the dataclass of its options.

    Raises:
        ConfigError: the name is taken, or `config_class` is no such dataclass.
    """
    return registered(SCHEDULES, name, config_class, ScheduleConfig)


@dataclass
class OneCycleConfig(ScheduleConfig):
    """How it begins."""

    warmup: Annotated[float, Doc("Share of the steps in which the rate rises.")] = option(
        0.2, least=0, most=1, formerly="warmup"
    )


@dataclass
class MultiStepConfig(ScheduleConfig):
    """Where the rate falls, and how far."""

    milestones: Annotated[list[int], Doc("Epochs behind which the rate falls.")] = option(
        [], in_epochs=True, formerly="milestones"
    )
    gamma: Annotated[float, Doc("What the rate is multiplied by at each milestone.")] = option(
        0.1, above=0, formerly="gamma"
    )


@register_schedule("constant")
def constant(progress: float, epochs: int, options: ScheduleConfig) -> float:
    """The rate stays."""
    return 1.0


@register_schedule("one_cycle", OneCycleConfig)
def one_cycle(progress: float, epochs: int, options: OneCycleConfig) -> float:
    """The rate rises in a line, and falls in half a cosine."""
    if progress < options.warmup:
        return max(progress / options.warmup, 1e-2)
    return 0.5 * (1 + math.cos(math.pi * (progress - options.warmup) / (1 - options.warmup)))


@register_schedule("cosine")
def cosine(progress: float, epochs: int, options: ScheduleConfig) -> float:
    """The rate falls in half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * progress))


@register_schedule("polynomial")
def polynomial(progress: float, epochs: int, options: ScheduleConfig) -> float:
    """The rate falls almost in a line (as torchvision trains DeepLabv3)."""
    return (1 - progress) ** 0.9


@register_schedule("multi_step", MultiStepConfig)
def multi_step(progress: float, epochs: int, options: MultiStepConfig) -> float:
    """The rate falls at milestones."""
    # The share of a whole number of epochs may have been rounded down.
    passed = progress * epochs + _LESS_THAN_A_STEP
    return options.gamma ** sum(passed >= milestone for milestone in options.milestones)
