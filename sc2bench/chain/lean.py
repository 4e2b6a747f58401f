"""Frozen chains in a form that computes faster: normalizations folded into convolutions, and weights in bfloat16.

Mixed precision casts inputs and weights around each operator, and leaves normalizations and what lies between them in
single precision. Of a chain that learns nothing none of that is needed. Predictions differ a little, as with any other
order of sums.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

from sc2bench.chain.base import Chain, run_layers

# How far outputs of a layer with folded normalizations may be from its own, in shares of the largest.
_TOLERANCE = 1e-3
# Samples of the first batch that folding is tried on.
_TRIED = 2


@contextmanager
def lean(module: nn.Module, enabled: bool = True) -> Iterator[None]:
    """Within it, chains of a module that learn nothing compute in bfloat16, with their normalizations folded.

    Weights, state dicts and the modules themselves stay what they are. Gradients pass through to a chain's input.

    Args:
        module: whose chains are meant; those that another `lean` has at work are left to it.
        enabled: whether anything is done.
    """
    chains = (
        [chain for chain in _outermost(module) if chain.substitute is None and _is_frozen(chain)] if enabled else []
    )
    for chain in chains:
        chain.substitute = _Lean(chain)
    try:
        yield
    finally:
        for chain in chains:
            chain.substitute = None


class _Lean:
    """Computes what a chain does; its layers are made of the chain's own when the first batch comes."""

    def __init__(self, chain: Chain):
        self._chain = chain
        self._layers: list[tuple[str, nn.Module]] | None = None

    def __call__(self, inputs: Tensor, wanted: Collection[str]) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(inputs.device.type, enabled=False):
            if self._layers is None:
                self._layers = _lean_layers(self._chain, inputs[:_TRIED].detach().float())
            return run_layers(self._layers, inputs.to(torch.bfloat16), wanted)


def _outermost(module: nn.Module) -> Iterator[Chain]:
    if isinstance(module, Chain):
        yield module
        return
    for child in module.children():
        yield from _outermost(child)


def _is_frozen(chain: Chain) -> bool:
    learns = any(parameter.requires_grad for parameter in chain.parameters())
    return not learns and not any(module.training for module in chain.modules() if any(True for _ in module.buffers()))


@torch.no_grad()
def _lean_layers(chain: Chain, example: Tensor) -> list[tuple[str, nn.Module]]:
    layers: list[tuple[str, nn.Module]] = []
    for name, layer in chain.named_children():
        expected = layer(example.clone())
        folded = _folded(layer, example)
        # A convolution whose output goes elsewhere, too, is none to fold into; then the layer stays as it is.
        if not _alike(folded(example.clone()), expected):
            folded = deepcopy(layer)
        layers.append((name, folded.bfloat16().to(memory_format=torch.channels_last).eval()))
        example = expected
    return layers


def _folded(layer: nn.Module, example: Tensor) -> nn.Module:
    """A copy whose normalizations directly behind convolutions are part of their weights."""
    copy = deepcopy(layer).eval()
    for convolution, norm in _pairs(copy, example):
        fused = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        convolution.weight, convolution.bias = fused
        _replace(copy, norm, nn.Sequential(norm.drop, norm.act) if hasattr(norm, "act") else nn.Identity())
    return copy


def _pairs(layer: nn.Module, example: Tensor) -> list[tuple[Any, Any]]:
    """Convolutions and the normalizations that take exactly what they give, each of them run once."""
    given: dict[int, Any] = {}
    alive: list[Tensor] = []
    runs: dict[nn.Module, int] = {}
    pairs = []

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        runs[module] = runs.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            # Kept, so that no other tensor gets its number.
            alive.append(output)
            given[id(output)] = module
        elif _is_norm(module) and id(inputs[0]) in given:
            pairs.append((given[id(inputs[0])], module))

    hooks = [module.register_forward_hook(after) for module in layer.modules()]
    try:
        layer(example.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return [(first, second) for first, second in pairs if runs[first] == runs[second] == 1]


def _is_norm(module: nn.Module) -> bool:
    """Of PyTorch, torchvision (frozen) and timm (with an activation) alike: by what it holds."""
    return isinstance(getattr(module, "running_var", None), Tensor) and isinstance(module.weight, Tensor)


def _replace(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in root.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)


def _alike(first: Tensor, second: Tensor) -> bool:
    return bool((first - second).abs().max() <= _TOLERANCE * second.abs().max())
