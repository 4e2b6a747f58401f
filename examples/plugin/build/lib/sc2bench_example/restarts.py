"""A schedule of the learning rate with an option."""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_doc import Doc

from sc2bench import ScheduleConfig, register_schedule


@dataclass
class RestartsConfig(ScheduleConfig):
    """How often it starts anew."""

    cycles: Annotated[int, Doc("Descents of the learning rate in a stage.")] = 2


@register_schedule("restarts", RestartsConfig)
def restarts(progress: float, epochs: int, options: RestartsConfig) -> float:
    """Cosine annealing with warm restarts (Loshchilov and Hutter 2017): the factor at a share 0 ... 1 of the stage."""
    return 0.5 * (1 + math.cos(math.pi * (progress * options.cycles % 1)))
