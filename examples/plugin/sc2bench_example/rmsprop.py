"""An optimizer with an option."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_doc import Doc

from sc2bench import OptimizerConfig, register_optimizer


@dataclass
class RmspropConfig(OptimizerConfig):
    """How long squared gradients are remembered."""

    smoothing: Annotated[float, Doc("Share of the mean of squared gradients that a step keeps.")] = 0.99


@register_optimizer("rmsprop", RmspropConfig)
def rmsprop(groups: list[dict[str, Any]], options: RmspropConfig) -> torch.optim.Optimizer:
    """RMSprop, of groups of parameters that each have their learning rate, `lr`."""
    return torch.optim.RMSprop(groups, alpha=options.smoothing)
