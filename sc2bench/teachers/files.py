"""Files of weights, of our own runs and of others, read without running code that they may hold."""

import argparse
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sc2bench.errors import CheckpointError
from sc2bench.state import load_tensors, refuse

# Where a teacher stands in the split model that trains it.
TRAINED_PREFIX = "server.teacher."
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
# Under which keys training programs put the weights beside other things, and what wrappers put before each name.
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads a file of weights, with the keys that its model has; a file with pickled code is refused.

    Args:
        path: .safetensors, or PyTorch's own format, where the weights may lie under "state_dict" or "model".

    Raises:
        CheckpointError: missing, unreadable, of an unknown format, or more than tensors in it.
    """
    if path.suffix not in SUFFIXES:
        raise CheckpointError(f"weights {path} are of no known format; give a file that ends in {', '.join(SUFFIXES)}")
    state: Any = load_tensors(path) if path.suffix == ".safetensors" else _read_pytorch(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"weights {path} hold something else than named tensors; save a model's state_dict()")
    for prefix in _PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def fill(model: nn.Module, state: dict[str, Tensor], source: object) -> None:
    """Loads a library's weights, also those of its older versions, which its modules know how to read.

    Args:
        model: the library's own model, filled in place.
        state: tensors under the library's names.
        source: what errors name as their origin.

    Raises:
        CheckpointError: keys or shapes that don't fit; the sentence lists them.
    """
    own = model.state_dict()
    misshaped = {key for key in state if key in own and state[key].shape != own[key].shape}
    wrong = [
        f"size mismatch for {key}: {tuple(state[key].shape)} in the file, {tuple(own[key].shape)} in the model"
        for key in misshaped
    ]
    try:
        found = model.load_state_dict({key: state[key] for key in state if key not in misshaped}, strict=False)
        wrong += [f"missing {key}" for key in found.missing_keys if key not in misshaped]
        wrong += [f"unexpected {key}" for key in found.unexpected_keys]
    except RuntimeError as error:
        wrong += [line.strip() for line in str(error).splitlines()[1:]]
    refuse(model, wrong, source)


def _read_pytorch(path: Path) -> Any:
    try:
        # Options of the command line that trained a model are harmless, and often stand beside its weights.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # Of other protocols of pickling, which are read alike or refused.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"weights {path} are missing; give another file") from None
    except pickle.UnpicklingError as error:
        # PyTorch's own sentence recommends to run the code.
        asked = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"weights {path} are refused: they are damaged or hold pickled code, which is never run here"
            f"{f' ({asked[1]})' if asked else ''}; save the tensors alone, as safetensors"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"weights {path} can't be read ({_first_line(error)}); fetch the file again") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
