"""A model as an ordered chain of named stages, which can be cut anywhere."""

from collections import OrderedDict
from collections.abc import Callable, Collection

from torch import Tensor, nn
from torchvision.models import ResNet

from sc2bench.errors import ConfigError, nearest

Converter = Callable[[nn.Module], "OrderedDict[str, nn.Module]"]
_CONVERTERS: dict[type[nn.Module], Converter] = {}


class Chain(nn.Sequential):
    """Named stages, each a module of one tensor; their composition is the model.

    The names of stages are those of the model's own children, so weights keep their keys.
    """

    def __init__(self, stages: "OrderedDict[str, nn.Module]"):
        super().__init__(stages)

    def names(self) -> list[str]:
        """The stages' names, in order."""
        return [name for name, _ in self.named_children()]

    def outputs(self, inputs: Tensor, wanted: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Runs the chain; returns its result and the outputs of the wanted stages by name."""
        kept: dict[str, Tensor] = {}
        for name, stage in self.named_children():
            if getattr(stage, "inplace", False):
                # Such a stage would overwrite what the one before it is remembered by.
                kept = {known: output.clone() if output is inputs else output for known, output in kept.items()}
            inputs = stage(inputs)
            if name in wanted:
                kept[name] = inputs
        return inputs, kept


def as_chain(model: nn.Module) -> Chain:
    """Sees a model as a chain whose composition equals the model's forward, bit for bit.

    The chain shares the model's modules. More families are added with `register_chain`.

    Raises:
        ConfigError: the model is of no known family.
    """
    if isinstance(model, Chain):
        return model
    for family in type(model).__mro__:
        if family in _CONVERTERS:
            return Chain(_CONVERTERS[family](model))
    known = ", ".join(sorted(family.__name__ for family in _CONVERTERS))
    raise ConfigError(f"no chain is known for {type(model).__name__} (known: {known}); add one with register_chain")


def cut(chain: Chain, after: str) -> tuple[Chain, Chain]:
    """Cuts a chain into (head, tail) behind the stage `after`; both share the chain's modules.

    Raises:
        ConfigError: the chain has no such stage.
    """
    names = chain.names()
    if after not in names:
        raise ConfigError(f"the chain has no stage '{after}'; {nearest(after, names)}")
    stages = list(chain.named_children())
    place = names.index(after) + 1
    return Chain(OrderedDict(stages[:place])), Chain(OrderedDict(stages[place:]))


def register_chain(family: type[nn.Module]) -> Callable[[Converter], Converter]:
    """Returns a decorator for a function that lists the stages of a model of `family` (or its subclasses)."""

    def decorate(converter: Converter) -> Converter:
        _CONVERTERS[family] = converter
        return converter

    return decorate


@register_chain(ResNet)
def _resnet_stages(model: nn.Module) -> "OrderedDict[str, nn.Module]":
    stages = OrderedDict(model.named_children())
    # Between pooling and the classifier torchvision flattens in forward(), without a module of its own.
    classifier = stages.pop("fc")
    stages["flatten"] = nn.Flatten(1)
    stages["fc"] = classifier
    return stages
