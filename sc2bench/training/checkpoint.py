"""The state of a run after an epoch, so that a killed run goes on as if it had not been."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from sc2bench.errors import CheckpointError
from sc2bench.files import write_json
from sc2bench.state import load_tensors, save_tensors

PROGRESS = "progress.json"
_MODEL, _OPTIMIZER = "model.", "optimizer."


@dataclass
class RunProgress:
    """How far a run has come; `progress.json` holds it, and names the files of tensors that belong to it.

    Attributes:
        training_hash: of the configuration; a checkpoint of another one is refused.
        stage: index of the stage that is under way.
        epoch: epochs of it that are done.
        best: best value of the stage's criterion so far, smaller is better.
        last_file: tensors of the model and optimizer after the last epoch.
        best_file: tensors of the model after the best epoch of the stage.
        optimizer: the part of the optimizer's state that is not tensors.
        history: one entry an epoch.
        conditions: what its epochs were trained under, such as the number of threads, each that there was once.
    """

    training_hash: str
    stage: int = 0
    epoch: int = 0
    best: float | None = None
    last_file: str = ""
    best_file: str = ""
    optimizer: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    conditions: list[dict[str, Any]] = field(default_factory=list)


class Checkpoints:
    """The folder of one run's checkpoints.

    Args:
        folder: made when the first checkpoint is saved.
        training_hash: of the run's configuration.
    """

    def __init__(self, folder: Path, training_hash: str):
        self.folder = folder
        self.training_hash = training_hash

    def load(self) -> RunProgress:
        """The progress so far, or none.

        Raises:
            CheckpointError: unreadable, or of another configuration.
        """
        path = self.folder / PROGRESS
        if not path.exists():
            return RunProgress(self.training_hash)
        try:
            progress = RunProgress(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"checkpoint {path} can't be read ({error}); delete {self.folder} to train anew"
            ) from error
        if progress.training_hash != self.training_hash:
            raise CheckpointError(
                f"checkpoint {path} belongs to another configuration ({progress.training_hash} instead of "
                f"{self.training_hash}); delete {self.folder} or choose another folder with checkpoints="
            )
        return progress

    def save(self, progress: RunProgress, state: dict[str, Tensor], optimizer: Optimizer, is_best: bool) -> None:
        """Saves the state after an epoch; a kill at any moment leaves this or the one before.

        Raises:
            OutputError: it can't be written.
        """
        tensors, progress.optimizer = _split_optimizer(optimizer)
        stem = f"{progress.stage + 1}-{progress.epoch:04}.safetensors"
        if is_best:
            progress.best_file = f"best-{stem}"
            save_tensors(state, self.folder / progress.best_file)
        progress.last_file = f"last-{stem}"
        model = {_MODEL + name: tensor for name, tensor in state.items()}
        save_tensors(model | tensors, self.folder / progress.last_file)
        self.record(progress)

    def record(self, progress: RunProgress) -> None:
        """Writes the progress, and removes files of tensors that it does not name any more."""
        write_json(self.folder / PROGRESS, asdict(progress))
        for file in [*self.folder.glob("best-*.safetensors"), *self.folder.glob("last-*.safetensors")]:
            if file.name not in (progress.best_file, progress.last_file):
                file.unlink(missing_ok=True)

    def last(self, progress: RunProgress) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The model's state after the last epoch, and the optimizer's state dict; raises `CheckpointError`."""
        tensors = load_tensors(self.folder / progress.last_file)
        model = {name.removeprefix(_MODEL): tensor for name, tensor in tensors.items() if name.startswith(_MODEL)}
        state: dict[int, dict[str, Any]] = {}
        for key, values in progress.optimizer["state"].items():
            state[int(key)] = dict(values)
        for name, tensor in tensors.items():
            if name.startswith(_OPTIMIZER):
                index, key = name.removeprefix(_OPTIMIZER).split(".", 1)
                state.setdefault(int(index), {})[key] = tensor
        return model, {"state": state, "param_groups": progress.optimizer["param_groups"]}

    def best(self, progress: RunProgress) -> dict[str, Tensor]:
        """The model's state after the stage's best epoch; raises `CheckpointError`."""
        return load_tensors(self.folder / progress.best_file)


def _split_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as tensors by name, and the rest ready for JSON."""
    whole = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    rest: dict[str, dict[str, Any]] = {}
    for index, values in whole["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{index}.{key}"] = value.detach().contiguous()
            else:
                rest.setdefault(str(index), {})[key] = value
    return tensors, {"state": rest, "param_groups": whole["param_groups"]}
