"""Making the models of experiments ready to be measured: what has no weights yet is trained."""

import shutil
from collections.abc import Callable

from accelerate import Accelerator

from sc2bench.core import processes
from sc2bench.core.digests import read_object
from sc2bench.core.errors import OutputError
from sc2bench.core.files import write_json
from sc2bench.core.progress import Work
from sc2bench.core.registry import TASKS
from sc2bench.core.state import load_tensors
from sc2bench.data import checked_fingerprint
from sc2bench.methods import SplitModel
from sc2bench.runs.conditions import here
from sc2bench.runs.experiment import FINAL_WEIGHTS, HISTORY, TRAINED_IN, Experiment, has_weights
from sc2bench.runs.identity import IMPORTED, surroundings_of_weights
from sc2bench.runs.trained import build_bare, build_untrained, load_final, save_trained
from sc2bench.teachers import Teacher
from sc2bench.training import train
from sc2bench.training.checkpoint import PROGRESS


def ready_model(
    experiment: Experiment, teacher: Callable[[], Teacher], accelerator: Accelerator, work: Work
) -> SplitModel:
    """The experiment's model with its final weights: loaded if they exist, else trained.

    Args:
        experiment: is trained in its folder.
        teacher: loads the reference model, for a model that has no weights of its own yet.
        accelerator: of this precision.
        work: progress.
    """
    config = experiment.config
    if processes.from_main(lambda: experiment.trained) and config.stages:
        model = processes.together(lambda: build_bare(experiment))
        processes.from_main(lambda: load_final(model, experiment.checkpoint_folder / FINAL_WEIGHTS))
        processes.share_state(model)
        processes.from_main(experiment.ensure_unchanged)
        return model
    model = processes.together(lambda: build_untrained(experiment, teacher()))
    processes.from_main(experiment.ensure_unchanged)
    _take_parts(model, experiment, accelerator, work)
    if config.stages:
        work.describe(f"{config.method.name}{'' if config.rate is None else f' {config.rate:g}'}: train")
        _train(model, experiment, accelerator, work)
    return model


def _train(model: SplitModel, experiment: Experiment, accelerator: Accelerator, work: Work) -> None:
    """Trains a model from its last checkpoint, if there is one, and writes what its folder is to hold in the end."""
    config, folder = experiment.config, experiment.checkpoint_folder
    processes.from_main(lambda: _clear(experiment))
    training_set, validation_set = experiment.training_sets()
    for split in ("train", "validation"):
        checked_fingerprint(config.task, split)
    task = TASKS[config.task.name](training_set, config.task)
    # The model may have taken modules over and train them, so what it imitates is a teacher of its own.
    imitated = experiment.teacher()
    processes.from_main(experiment.ensure_unchanged)
    surroundings = surroundings_of_weights(config)
    places = folder, accelerator, work
    history = processes.in_step(lambda: train(model, imitated, task, training_set, validation_set, config, *places))
    found = here(config)

    def write() -> None:
        write_json(folder / HISTORY, history)
        conditions = read_object(folder / PROGRESS).get("conditions", [])
        write_json(folder / TRAINED_IN, found | {"conditions": conditions, "surroundings": surroundings})
        save_trained(model, folder)

    processes.from_main(write)


def _take_parts(model: SplitModel, experiment: Experiment, accelerator: Accelerator, work: Work) -> None:
    """Trains the experiments that this one builds on, where they are not, and takes over what it wants of them."""
    for number, part in enumerate(experiment.parts):
        final = part.checkpoint_folder / FINAL_WEIGHTS
        if not processes.from_main(lambda part=part: part.trained):  # type: ignore[misc]
            ready_model(part, part.teacher, accelerator, work)
        weights = processes.from_main(lambda final=final: load_tensors(final))  # type: ignore[misc]
        model.take_part(number, weights, final)


def _clear(experiment: Experiment) -> None:
    """Removes weights that are to be trained anew; one that was stopped keeps its checkpoints."""
    try:
        if has_weights(experiment.checkpoint_folder):
            shutil.rmtree(experiment.checkpoint_folder)
        # Of an import that was stopped; what is trained here must not be taken for it.
        (experiment.checkpoint_folder / IMPORTED).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{experiment.checkpoint_folder} can't be removed to train anew ({error.strerror}); delete it"
        ) from error
