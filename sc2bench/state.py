"""Weights of modules as safetensors files: saved once for each shared tensor, loaded strictly."""

from collections.abc import Collection
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sc2bench.errors import CheckpointError
from sc2bench.files import write_atomic

_LISTED = 8


def unique_state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict without second names of shared tensors."""
    first_names = [name for name, _ in module.named_parameters()] + [name for name, _ in module.named_buffers()]
    state = module.state_dict()
    return {name: state[name].detach().contiguous() for name in first_names if name in state}


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes tensors atomically; raises `OutputError`."""

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:
            # The library hides the operating system's error, a full disk mostly, in its own.
            raise OSError(str(error)) from error

    write_atomic(path, write)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file; raises `CheckpointError` if it is missing or unreadable."""
    try:
        # The library takes whatever can't be opened for missing.
        path.open("rb").close()
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"weights {path} are missing; give another file, or train anew") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"weights {path} can't be read ({error}); they must be an undamaged safetensors file"
        ) from error


def load_state(module: nn.Module, state: dict[str, Tensor], source: object) -> None:
    """Loads a state whose keys are exactly those of `unique_state(module)`.

    Args:
        module: filled in place.
        state: the tensors.
        source: what errors name as their origin.

    Raises:
        CheckpointError: keys or shapes that don't fit; the sentence lists them.
    """
    own = unique_state(module).keys()
    wrong = [f"missing {key}" for key in own - state.keys()]
    wrong += [f"unexpected {key}" for key in state.keys() - own]
    if not wrong:
        try:
            module.load_state_dict(state, strict=False)
        except RuntimeError as error:
            wrong = [line.strip() for line in str(error).splitlines()[1:]]
    refuse(module, wrong, source)


def refuse(module: nn.Module, wrong: Collection[str], source: object) -> None:
    """Raises `CheckpointError` that lists what is wrong with a module's weights, if anything is."""
    if wrong:
        listed = "; ".join(sorted(wrong)[:_LISTED])
        more = f"; and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        raise CheckpointError(f"weights {source} don't fit {type(module).__name__}: {listed}{more}")
