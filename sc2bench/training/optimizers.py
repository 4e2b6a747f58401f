"""The optimizers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_doc import Doc
from torch.optim import SGD, Adam, AdamW, Optimizer

from sc2bench.config import OptimizerConfig, option, registered
from sc2bench.core.registry import OPTIMIZERS

# Parameters with their learning rate: {"params": [...], "lr": ...}.
Group = dict[str, Any]


def register_optimizer(name: str, config_class: type[OptimizerConfig] = OptimizerConfig) -> Callable[[Any], Any]:
    """Returns a decorator that registers a function which makes an optimizer of groups of parameters and its options.

    Groups are those of PyTorch, each with its `lr`, which the schedule changes before each step::

        @register_optimizer("rprop")
        def rprop(groups, options):
            return torch.optim.Rprop(groups)

    Args:
        name: as it stands in configurations.
        config_class: the dataclass of its options.

    Raises:
        ConfigError: the name is taken, or `config_class` is no such dataclass.
    """
    return registered(OPTIMIZERS, name, config_class, OptimizerConfig)


@dataclass
class DecayedConfig(OptimizerConfig):
    """Of optimizers with a weight decay: what it does to weights differs among them, and not all have one."""

    weight_decay: Annotated[
        float, Doc("Share of the weights that adam and sgd add to the gradient, and that adamw takes off the weights.")
    ] = option(0.0, least=0, formerly="weight_decay")


@dataclass
class SgdConfig(DecayedConfig):
    """How a step goes on with the ones before it."""

    momentum: Annotated[float, Doc("Share of the last step in the next one.")] = option(
        0.9, least=0, most=1, formerly="momentum"
    )
    nesterov: Annotated[bool, Doc("Whether it looks ahead by the momentum.")] = option(False, formerly="nesterov")

    def problems(self) -> dict[str, str]:
        """Looking ahead needs a momentum."""
        return {"nesterov": "needs a momentum above 0; set momentum"} if self.nesterov and not self.momentum else {}


@register_optimizer("adam", DecayedConfig)
def adam(groups: list[Group], options: DecayedConfig) -> Optimizer:
    """Adam (Kingma and Ba 2015)."""
    return Adam(groups, weight_decay=options.weight_decay)


@register_optimizer("adamw", DecayedConfig)
def adamw(groups: list[Group], options: DecayedConfig) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return AdamW(groups, weight_decay=options.weight_decay)


@register_optimizer("sgd", SgdConfig)
def sgd(groups: list[Group], options: SgdConfig) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    return SGD(groups, momentum=options.momentum, weight_decay=options.weight_decay, nesterov=options.nesterov)
