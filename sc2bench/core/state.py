"""Weights of modules as safetensors files: saved once for each shared tensor, loaded strictly.

The files' metadata hold a digest of names, types, shapes and values: one flipped bit is noticed. Files of others, and
old ones, have none.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sc2bench.core import digests
from sc2bench.core.errors import CheckpointError
from sc2bench.core.files import write_atomic

DIGEST = "sc2bench.blake2b"
_LISTED = 8
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def unique_state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict without second names of shared tensors."""
    first_names = [name for name, _ in module.named_parameters()] + [name for name, _ in module.named_buffers()]
    state = module.state_dict()
    return {name: state[name].detach().contiguous() for name in first_names if name in state}


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes tensors atomically, with their digest; raises `OutputError`."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {DIGEST: _digest(tensors)}

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            # The library hides the operating system's error, a full disk mostly, in its own.
            raise OSError(str(error)) from error

    write_atomic(path, write)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file; raises `CheckpointError` if it is missing, unreadable or not as it was written."""
    try:
        # The library takes whatever can't be opened for missing.
        path.open("rb").close()
        with safe_open(path, framework="pt") as file:
            digest = (file.metadata() or {}).get(DIGEST)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"weights {path} are missing; give another file, or train anew") from None
    except Exception as error:  # damaged files raise errors of many unrelated classes
        raise CheckpointError(
            f"weights {path} can't be read ({error}); they must be an undamaged safetensors file"
        ) from error
    if digest is not None and digest != _digest(tensors):
        raise CheckpointError(
            f"weights {path} are damaged: they have another digest than they were written with; fetch or train them "
            "again"
        )
    return tensors


def load_state(module: nn.Module, state: dict[str, Tensor], source: object) -> None:
    """Loads a state whose keys are exactly those of `unique_state(module)`.

    Args:
        module: filled in place.
        state: the tensors.
        source: what errors name as their origin.

    Raises:
        CheckpointError: keys, shapes or types that don't fit, numbers that are not finite, or damaged entropy tables;
            the sentence lists them.
    """
    own = unique_state(module)
    wrong = [f"missing {key}" for key in own.keys() - state.keys()]
    wrong += [f"unexpected {key}" for key in state.keys() - own.keys()]
    wrong += misfits(own, state)
    if not wrong:
        try:
            module.load_state_dict(state, strict=False)
        except RuntimeError as error:
            wrong = [line.strip() for line in str(error).splitlines()[1:]]
    refuse(module, wrong, source)


def misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Iterator[str]:
    """Says which tensors that have a counterpart of their shape are no weights for it.

    Args:
        own: a module's state; where its own numbers are not finite, as in a mask, others need not be.
        state: what is to be loaded.
    """
    for key, tensor in state.items():
        if key not in own or own[key].shape != tensor.shape:
            continue
        if own[key].is_floating_point() != (tensor.dtype in _FLOATS) or own[key].is_complex() != tensor.is_complex():
            yield f"{key} is of type {str(tensor.dtype).removeprefix('torch.')}"
        # What is finite in double precision may be too large for the module's own.
        elif tensor.dtype in _FLOATS and not tensor.to(own[key].dtype).isfinite().all() and own[key].isfinite().all():
            yield f"{key} is not finite"


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Of tensors on the host: their names, types, shapes and bytes, in the names' order."""
    hashed = digests.new()
    for name in sorted(tensors):
        tensor = tensors[name]
        hashed.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def refuse(module: nn.Module, wrong: Collection[str], source: object) -> None:
    """Raises `CheckpointError` that lists what is wrong with a module's weights, if anything is."""
    if wrong:
        listed = "; ".join(sorted(wrong)[:_LISTED])
        more = f"; and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        raise CheckpointError(f"weights {source} don't fit {type(module).__name__}: {listed}{more}")
