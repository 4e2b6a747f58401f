"""Files of weights, of our own runs and of others, read without running code that they may hold."""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sc2bench.core.errors import CheckpointError
from sc2bench.core.state import load_tensors, misfits, refuse

# Where a teacher stands in the split model that trains it.
TRAINED_PREFIX = "server.teacher."
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
# Under which keys training programs put the weights beside other things, and what wrappers put before each name.
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")


def read_weights(path: Path, suffixes: Collection[str] = SUFFIXES) -> dict[str, Tensor]:
    """Reads a file of weights, with the keys that its model has; a file with pickled code is refused.

    Args:
        path: .safetensors, or PyTorch's own format, where the weights may lie under "state_dict" or "model".
        suffixes: what the names of files may end in.

    Raises:
        CheckpointError: missing, unreadable, of an unknown format, more than tensors in it, or tensors that declare
            more values than the file holds.
    """
    if path.suffix not in suffixes:
        raise CheckpointError(f"weights {path} are of no known format; give a file that ends in {', '.join(suffixes)}")
    state: Any = load_tensors(path) if path.suffix == ".safetensors" else _read_pytorch(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"weights {path} hold something else than named tensors; save a model's state_dict()")
    for key, tensor in state.items():
        if not _dense(tensor):
            raise CheckpointError(
                f"weights {path}: {key} of shape {tuple(tensor.shape)} is not stored value by value; save it after "
                ".contiguous()"
            )
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
        CheckpointError: keys, shapes or types that don't fit, or numbers that are not finite; the sentence lists them.
    """
    own = model.state_dict()
    misshaped = {key for key in state if key in own and state[key].shape != own[key].shape}
    wrong = [
        f"size mismatch for {key}: {tuple(state[key].shape)} in the file, {tuple(own[key].shape)} in the model"
        for key in misshaped
    ]
    wrong += misfits(own, state)
    try:
        found = model.load_state_dict({key: state[key] for key in state if key not in misshaped}, strict=False)
        wrong += [f"missing {key}" for key in found.missing_keys if key not in misshaped]
        wrong += [f"unexpected {key}" for key in found.unexpected_keys]
    except RuntimeError as error:
        wrong += [line.strip() for line in str(error).splitlines()[1:]]
    refuse(model, wrong, source)


def _dense(tensor: Tensor) -> bool:
    """Whether a tensor has its own bytes for each value: not one of few bytes that is expanded to any size."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _read_pytorch(path: Path) -> Any:
    _refuse_packed(path)
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
    except Exception as error:  # damaged files raise errors of many unrelated classes
        raise CheckpointError(f"weights {path} can't be read ({_first_line(error)}); fetch the file again") from error


def _refuse_packed(path: Path) -> None:
    """PyTorch stores its archives as they are; compressed, a small file could unpack to any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except Exception:  # no archive, or a damaged one; PyTorch tells which
        return
    if packed:
        raise CheckpointError(f"weights {path} are a compressed archive, which PyTorch never writes; fetch them again")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
