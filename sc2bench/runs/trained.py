"""Models of experiments: built, and filled with the weights that training left."""

from pathlib import Path

from accelerate.utils import set_seed

from sc2bench.config import from_resolved
from sc2bench.core.digests import read_object
from sc2bench.core.errors import CheckpointError
from sc2bench.core.state import load_state, load_tensors
from sc2bench.methods import SplitModel, build_model
from sc2bench.runs.experiment import FINAL_CONFIG, FINAL_WEIGHTS, Experiment
from sc2bench.teachers import Teacher


def trained_experiment(checkpoint: str | Path) -> Experiment:
    """The experiment that left a folder below `checkpoints/`; raises `CheckpointError` as `load` does."""
    folder = Path(checkpoint)
    try:
        return Experiment(from_resolved(read_object(folder / FINAL_CONFIG)))
    except Exception as error:  # damaged values raise errors of many unrelated classes
        raise CheckpointError(
            f"{folder} is no folder of a finished experiment: {FINAL_CONFIG} can't be read ({error})"
        ) from error


def trained_model(experiment: Experiment) -> SplitModel:
    """Builds an experiment's model with its final weights, and trains nothing.

    Raises:
        CheckpointError: the weights, or those of what it builds on, are missing or unreadable.
    """
    model = build_untrained(experiment, experiment.teacher())
    if experiment.config.stages:
        load_final(model, experiment.checkpoint_folder / FINAL_WEIGHTS)
        return model
    for number, part in enumerate(experiment.parts):
        final = part.checkpoint_folder / FINAL_WEIGHTS
        model.take_part(number, load_tensors(final), final)
    return model


def build_untrained(experiment: Experiment, teacher: Teacher) -> SplitModel:
    """Builds an experiment's model as it is before training, by its seed."""
    set_seed(experiment.config.seed)
    return build_model(experiment.config, teacher, experiment.dataset(experiment.config.evaluation.split).spec)


def load_final(model: SplitModel, final: Path) -> None:
    """Fills a model with an experiment's final weights; raises `CheckpointError` that says how to do without them."""
    try:
        load_state(model, load_tensors(final), final)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; delete {final.parent}, or add --retrain, to train anew") from error
