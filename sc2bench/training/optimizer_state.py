"""The state of an optimizer as tensors by name and values for JSON, and back, checked against the optimizer."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

PREFIX = "optimizer."


def split(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as tensors by name, and the rest ready for JSON."""
    whole = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    rest: dict[str, dict[str, Any]] = {}
    for index, values in whole["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{PREFIX}{index}.{key}"] = value.detach().contiguous()
            else:
                rest.setdefault(str(index), {})[key] = value
    return tensors, {"state": rest, "param_groups": whole["param_groups"]}


def join(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict that `split` took apart, among other tensors; raises `ValueError` if these are no such parts."""
    state: dict[int, dict[str, Any]] = {}
    stored, groups = rest.get("state"), rest.get("param_groups")
    if not isinstance(stored, dict) or not isinstance(groups, list):
        raise ValueError("neither states nor groups of parameters")
    for key, values in stored.items():
        if not isinstance(values, dict):
            raise ValueError(f"the state of parameter {key} is no object")
        state[int(key)] = dict(values)
    for name, tensor in tensors.items():
        if name.startswith(PREFIX):
            index, _, key = name.removeprefix(PREFIX).partition(".")
            state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": groups}


def restore(optimizer: Optimizer, state: dict[str, Any], build: Callable[[list[dict[str, Any]]], Optimizer]) -> None:
    """Loads what `join` gives; raises `ValueError` for what is no state of this optimizer.

    PyTorch takes tensors of any shape and options of any type, and fails in some later step, or goes on wrongly.

    Args:
        optimizer: fresh.
        state: what it is to be like.
        build: makes an optimizer like it of other groups of parameters.
    """
    own = optimizer.state_dict()["param_groups"]
    _check_groups(own, state["param_groups"])
    parameters = [(parameter, group) for group in optimizer.param_groups for parameter in group["params"]]
    known: dict[tuple[int, torch.Size], dict[str, Any]] = {}
    for index, values in state["state"].items():
        if not 0 <= index < len(parameters):
            raise ValueError(f"a state of parameter {index}, but there are {len(parameters)}")
        parameter, group = parameters[index]
        kind = id(group), parameter.shape
        expected = known[kind] = known.get(kind) or _first_state(parameter, group, build)
        if values.keys() != expected.keys():
            raise ValueError(f"the state of parameter {index} has {sorted(values)} instead of {sorted(expected)}")
        for key, value in values.items():
            if not _suits(value, expected[key]):
                raise ValueError(f"'{key}' of parameter {index} is of another shape or type, or not finite")
    groups = [
        mine | {"lr": other["lr"], "initial_lr": mine["lr"]}
        for mine, other in zip(own, state["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})


def _check_groups(own: list[dict[str, Any]], stored: list[Any]) -> None:
    """Raises `ValueError` unless groups have the same parameters and options; only the rate changes with time."""
    if len(stored) != len(own):
        raise ValueError(f"{len(stored)} groups of parameters instead of {len(own)}")
    for mine, other in zip(own, stored, strict=True):
        # The rate that a stage starts with is added when it begins.
        expected = json.loads(json.dumps(mine | {"initial_lr": mine["lr"]}))
        if not isinstance(other, dict) or not {"params", "lr"} <= other.keys() <= expected.keys():
            raise ValueError("a group of parameters has other options")
        for key, value in other.items():
            if (not _is_number(value) or value < 0) if key == "lr" else value != expected[key]:
                raise ValueError(f"option '{key}' is {str(value)[:40]}")


def _first_state(
    parameter: Tensor, group: dict[str, Any], build: Callable[[list[dict[str, Any]]], Optimizer]
) -> dict[str, Any]:
    """What an optimizer remembers of a parameter after its first step, found by a step of one like it."""
    own = nn.Parameter(torch.zeros_like(parameter))
    own.grad = torch.zeros_like(own)
    similar = build([group | {"params": [own]}])
    similar.step()
    return dict(similar.state[own])


def _suits(value: Any, expected: Any) -> bool:
    """Whether a value may be part of the state of a parameter: of the shape expected, or a single number."""
    if not isinstance(value, Tensor):
        return value is None or (_is_number(value) and value >= 0)
    if not isinstance(expected, Tensor) or value.is_floating_point() != expected.is_floating_point():
        return False
    if not value.isfinite().all() or value.shape != expected.shape:
        return False
    # A single number counts steps.
    return value.ndim > 0 or value.item() >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
