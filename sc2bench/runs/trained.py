"""Models of experiments, filled with the weights that training left."""

from pathlib import Path

from sc2bench.config import from_resolved
from sc2bench.core.digests import read_object
from sc2bench.core.errors import CheckpointError
from sc2bench.core.files import write_json
from sc2bench.core.state import load_state, load_tensors, save_tensors, unique_state
from sc2bench.methods import SplitModel
from sc2bench.runs.blueprint import Blueprint, build, read_blueprint, write_blueprint
from sc2bench.runs.experiment import FINAL_CONFIG, FINAL_WEIGHTS, Experiment
from sc2bench.teachers import Teacher


def trained_experiment(folder: str | Path) -> Experiment:
    """The experiment that left a folder below `checkpoints/`; raises `CheckpointError` as `load_trained` does."""
    folder = Path(folder)
    try:
        return Experiment(from_resolved(read_object(folder / FINAL_CONFIG)))
    except Exception as error:  # damaged values raise errors of many unrelated classes
        raise CheckpointError(
            f"{folder} is no folder of a finished experiment: {FINAL_CONFIG} can't be read ({error})"
        ) from error


def load_trained(folder: str | Path) -> SplitModel:
    """Builds the model of a folder and loads its weights, which are all that it has.

    Raises:
        CheckpointError: missing, damaged, or of another version.
        DataError: the folder has no blueprint, and the data set, which has to be asked then, is missing.
    """
    folder = Path(folder)
    config = trained_experiment(folder).config
    model = build(config, read_blueprint(folder, config) or Blueprint.of_data(config), bare=True)
    weights = folder / FINAL_WEIGHTS
    load_state(model, load_tensors(weights), weights)
    return model


def save_trained(model: SplitModel, folder: Path) -> None:
    """Writes what `load_trained` reads; the weights come last, as their file says that a folder is whole.

    Raises:
        OutputError: it can't be written.
    """
    write_json(folder / FINAL_CONFIG, model.origin.config.resolved())
    write_blueprint(folder, model.origin.blueprint)
    save_tensors(unique_state(model), folder / FINAL_WEIGHTS)


def trained_model(experiment: Experiment) -> SplitModel:
    """Builds an experiment's model with its final weights, and trains nothing.

    Raises:
        CheckpointError: the weights, or those of what it builds on, are missing or unreadable.
    """
    if experiment.config.stages:
        model = build_bare(experiment)
        load_final(model, experiment.checkpoint_folder / FINAL_WEIGHTS)
        return model
    model = build_untrained(experiment)
    for number, part in enumerate(experiment.parts):
        final = part.checkpoint_folder / FINAL_WEIGHTS
        model.take_part(number, load_tensors(final), final)
    return model


def build_untrained(experiment: Experiment, teacher: Teacher | None = None) -> SplitModel:
    """Builds an experiment's model as it is before training, of a teacher's modules, or of a new one's."""
    return build(experiment.config, Blueprint.of_data(experiment.config), teacher)


def build_bare(experiment: Experiment) -> SplitModel:
    """Builds the model of an experiment that is trained, for its weights to be loaded; see `build`."""
    config = experiment.config
    return build(config, read_blueprint(experiment.checkpoint_folder, config) or Blueprint.of_data(config), bare=True)


def load_final(model: SplitModel, final: Path) -> None:
    """Fills a model with an experiment's final weights; raises `CheckpointError` that says how to do without them."""
    try:
        load_state(model, load_tensors(final), final)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; delete {final.parent}, or add --retrain, to train anew") from error
