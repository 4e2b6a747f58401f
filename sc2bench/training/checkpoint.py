"""The state of a run after an epoch, so that a killed run goes on as if it had not been."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from torch import Tensor
from torch.optim import Optimizer

from sc2bench.core.digests import read_object, sealed, unsealed
from sc2bench.core.errors import CheckpointError
from sc2bench.core.files import remove_leftovers, write_json
from sc2bench.core.state import load_tensors, save_tensors
from sc2bench.training import optimizer_state

PROGRESS = "progress.json"
_MODEL = "model."
_LOSSES = "losses."
_FILE = re.compile(r"((best|last)-\d+-\d+\.safetensors)?")


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

    def load(self, epochs: Sequence[int]) -> RunProgress:
        """The progress so far, or none.

        Args:
            epochs: of each stage.

        Raises:
            CheckpointError: unreadable, or of another configuration.
        """
        path = self.folder / PROGRESS
        remove_leftovers(self.folder)
        if not path.exists():
            return RunProgress(self.training_hash)
        try:
            values = read_object(path)
            of = values.get("training_hash")
            if not isinstance(of, str):
                raise ValueError("it names no training_hash")
            # What belongs to another configuration has other stages, too.
            progress = _checked_progress(unsealed(values), epochs) if of == self.training_hash else RunProgress(of)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"checkpoint {path} can't be read ({error}); delete {self.folder} to train anew"
            ) from error
        if progress.training_hash != self.training_hash:
            raise CheckpointError(
                f"checkpoint {path} belongs to another configuration ({progress.training_hash} instead of "
                f"{self.training_hash}); delete {self.folder} or choose another folder with checkpoints="
            )
        return progress

    def save(
        self,
        progress: RunProgress,
        state: dict[str, Tensor],
        optimizer: Optimizer,
        is_best: bool,
        losses: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Saves the state after an epoch; a kill at any moment leaves this or the one before.

        Args:
            progress: changed in place; names the files from now on.
            state: of the model.
            optimizer: of the stage.
            is_best: whether the model is the stage's best one so far.
            losses: what the stage's losses have learned.

        Raises:
            OutputError: it can't be written.
        """
        tensors, progress.optimizer = optimizer_state.split(optimizer)
        stem = f"{progress.stage + 1}-{progress.epoch:04}.safetensors"
        if is_best:
            progress.best_file = f"best-{stem}"
            save_tensors(state, self.folder / progress.best_file)
        progress.last_file = f"last-{stem}"
        model = {_MODEL + name: tensor for name, tensor in state.items()}
        learned = {_LOSSES + name: tensor for name, tensor in (losses or {}).items()}
        save_tensors(model | learned | tensors, self.folder / progress.last_file)
        self.record(progress)

    def record(self, progress: RunProgress) -> None:
        """Writes the progress, and removes files of tensors that it does not name any more."""
        write_json(self.folder / PROGRESS, sealed(asdict(progress)))
        for file in [*self.folder.glob("best-*.safetensors"), *self.folder.glob("last-*.safetensors")]:
            if file.name not in (progress.best_file, progress.last_file):
                file.unlink(missing_ok=True)

    def last(self, progress: RunProgress) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
        """The states after the last epoch of the model, the losses and the optimizer; raises `CheckpointError`."""
        tensors = load_tensors(self.folder / progress.last_file)
        model, losses = (
            {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            for prefix in (_MODEL, _LOSSES)
        )
        try:
            return model, losses, optimizer_state.join(tensors, progress.optimizer)
        except ValueError as error:
            raise self._no_optimizer(error) from error

    def best(self, progress: RunProgress) -> dict[str, Tensor]:
        """The model's state after the stage's best epoch; raises `CheckpointError`."""
        return load_tensors(self.folder / progress.best_file)

    def restore(
        self, optimizer: Optimizer, state: dict[str, Any], build: Callable[[list[dict[str, Any]]], Optimizer]
    ) -> None:
        """Gives a stage's optimizer the state of `last`; raises `CheckpointError` for that of another one.

        Args:
            optimizer: of the stage.
            state: what `last` gives of it.
            build: makes an optimizer like it of other groups of parameters.
        """
        try:
            optimizer_state.restore(optimizer, state, build)
        except ValueError as error:
            raise self._no_optimizer(error) from error

    def _no_optimizer(self, error: ValueError) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {self.folder} holds no state of the stage's optimizer ({error}); delete {self.folder} to "
            "train anew"
        )


def _checked_progress(values: dict[str, Any], epochs: Sequence[int]) -> RunProgress:
    """The progress from its file's values; raises `ValueError` for unknown fields and values that can't be."""
    types = get_type_hints(RunProgress)
    unknown = sorted(values.keys() - {known.name for known in fields(RunProgress)})
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}")
    for name, value in values.items():
        if not _is(value, types[name]):
            raise ValueError(f"{name} is {str(value)[:40]!r}")
    progress = RunProgress(**values)
    if not 0 <= progress.stage < len(epochs) or not 0 <= progress.epoch <= epochs[progress.stage]:
        raise ValueError(f"stage {progress.stage + 1} has no epoch {progress.epoch}")
    for name in ("last_file", "best_file"):
        # Names that lead out of the folder are nobody's.
        if not _FILE.fullmatch(getattr(progress, name)):
            raise ValueError(f"{name} is {getattr(progress, name)[:40]!r}")
    if progress.epoch and not progress.last_file:
        raise ValueError(f"last_file is empty after epoch {progress.epoch}")
    return progress


def _is(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of a type as dataclasses name it."""
    if hint is Any:
        return True
    arguments = get_args(hint)
    if get_origin(hint) is UnionType:
        return any(_is(value, choice) for choice in arguments)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_is(item, arguments[0]) for item in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(_is(item, arguments[1]) for item in value.values())
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float) and math.isfinite(value) if hint is float else isinstance(value, hint)
