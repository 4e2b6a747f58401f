"""The chain itself, cutting it, and the families of models that can be seen as one."""

import sys
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from importlib import import_module

from torch import Tensor, nn

from sc2bench.core.errors import ConfigError, nearest

Converter = Callable[[nn.Module], "OrderedDict[str, nn.Module]"]
_CONVERTERS: dict[type[nn.Module], Converter] = {}
# Modules that register the families of a library; imported when a model of that library comes.
_LIBRARIES = {"torchvision": "sc2bench.chain.torchvision_models", "timm": "sc2bench.chain.timm_models"}


class Chain(nn.Sequential):
    """Named layers, each a module of one tensor; their composition is the model.

    Where a layer is a child of the model it keeps its name, so that its weights keep their keys.
    """

    # What computes in the chain's place for a while; see `lean`.
    substitute: "Callable[[Tensor, Collection[str]], tuple[Tensor, dict[str, Tensor]]] | None" = None

    def __init__(self, layers: "OrderedDict[str, nn.Module]"):
        super().__init__(layers)

    def names(self) -> list[str]:
        """The layers' names, in order."""
        return [name for name, _ in self.named_children()]

    def outputs(self, inputs: Tensor, wanted: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Runs the chain; returns its result and the outputs of the wanted layers by name."""
        if self.substitute is not None:
            return self.substitute(inputs, wanted)
        return run_layers(self.named_children(), inputs, wanted)


def run_layers(
    layers: Iterable[tuple[str, nn.Module]], inputs: Tensor, wanted: Collection[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Runs layers one after the other; returns the last output and the wanted ones by name."""
    kept: dict[str, Tensor] = {}
    for name, layer in layers:
        if _overwrites(layer):
            # Such a layer would change what the ones before it are remembered by.
            kept = {known: output.clone() if _share(output, inputs) else output for known, output in kept.items()}
        inputs = layer(inputs)
        if name in wanted:
            kept[name] = inputs
    return inputs, kept


def as_chain(model: nn.Module) -> Chain:
    """Sees a model as a chain whose composition equals the model's forward in evaluation mode, bit for bit.

    The chain shares the model's modules and parameters. More families are added with `register_chain`.

    Raises:
        ConfigError: the model is of no known family, or of a subclass that computes something else.
    """
    if isinstance(model, Chain):
        return model
    ancestors = type(model).__mro__
    for library in {ancestor.__module__.partition(".")[0] for ancestor in ancestors} & _LIBRARIES.keys():
        import_module(_LIBRARIES[library])
    for place, family in enumerate(ancestors):
        if family in _CONVERTERS:
            _refuse_changed(ancestors[:place], family)
            return _in_mode_of(model, Chain(_CONVERTERS[family](model)))
    for module in _LIBRARIES.values():
        import_module(module)
    known = ", ".join(sorted(f"{family.__module__.partition('.')[0]} {family.__name__}" for family in _CONVERTERS))
    raise ConfigError(f"no chain is known for {type(model).__name__} (known: {known}); add one with register_chain")


def chain_modules() -> set[str]:
    """The names of the modules that families with a chain are of, and of those whose functions list their layers."""
    return {module.__module__ for pair in _CONVERTERS.items() for module in pair}


def _is_of_loaded(converter: Converter) -> bool:
    """Whether a function's module is loaded; one whose import failed is tried again."""
    module = sys.modules.get(converter.__module__)
    return module is not None and vars(module) is getattr(converter, "__globals__", vars(module))


def cut(chain: Chain, after: str) -> tuple[Chain, Chain]:
    """Cuts a chain into (front, tail) behind the layer `after`; both share the chain's modules.

    Raises:
        ConfigError: the chain has no such layer.
    """
    names = chain.names()
    if after not in names:
        raise ConfigError(f"the chain has no layer '{after}'; {nearest(after, names)}")
    layers = list(chain.named_children())
    place = names.index(after) + 1
    return Chain(OrderedDict(layers[:place])), Chain(OrderedDict(layers[place:]))


def register_chain(family: type[nn.Module]) -> Callable[[Converter], Converter]:
    """Returns a decorator for a function that lists the layers of a model of `family`.

    Subclasses of the family are converted too, unless they have a forward of their own.

    Raises:
        ConfigError: the family has a chain.
    """
    library = _LIBRARIES.get(family.__module__.partition(".")[0])
    # What is imported later must find no family taken.
    if library is not None:
        import_module(library)

    def decorate(converter: Converter) -> Converter:
        if family in _CONVERTERS and _is_of_loaded(_CONVERTERS[family]):
            raise ConfigError(
                f"the chain of {family.__name__} is registered twice; register that of a subclass of your own"
            )
        _CONVERTERS[family] = converter
        return converter

    return decorate


def named_layers(*layers: tuple[str, nn.Module]) -> "OrderedDict[str, nn.Module]":
    """The layers by name, without those that do nothing."""
    return OrderedDict((name, layer) for name, layer in layers if not isinstance(layer, nn.Identity))


def numbered(name: str, layers: Iterable[nn.Module], start: int = 1) -> list[tuple[str, nn.Module]]:
    """Layers of one kind with their names: `name` and a running number."""
    return [(f"{name}{number}", layer) for number, layer in enumerate(layers, start)]


def _refuse_changed(subclasses: Iterable[type], family: type[nn.Module]) -> None:
    """Raises `ConfigError` if a subclass of a known family computes its output in its own way."""
    for subclass in subclasses:
        own = [name for name in vars(subclass) if "forward" in name or name in ("pool", "_pos_embed")]
        if own:
            raise ConfigError(
                f"no chain is known for {subclass.__name__}: it is a {family.__name__} with its own {own[0]}; "
                "add one with register_chain"
            )


def _in_mode_of(model: nn.Module, chain: Chain) -> Chain:
    """Puts what the chain adds to the model, such as dropout, in the model's mode of training or evaluation."""
    own = set(model.modules())
    for module in chain.modules():
        if module not in own:
            module.training = model.training
    return chain


def _overwrites(layer: nn.Module) -> bool:
    """Whether a layer works in place on its input."""
    while isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[0]
    return bool(getattr(layer, "inplace", False))


def _share(first: Tensor, second: Tensor) -> bool:
    return first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()
