"""What a program of one's own calls, for one model each: `sc2bench.build` and the others of `sc2bench`."""

from collections.abc import Sequence
from pathlib import Path

import torch

from sc2bench.config import ExperimentConfig, TaskConfig, compose
from sc2bench.core.errors import InputError, OutputError
from sc2bench.core.registry import load_plugins
from sc2bench.data import ImageSet, load_dataset
from sc2bench.evaluation import Measurement
from sc2bench.methods import SplitModel
from sc2bench.runs.experiment import FINAL_WEIGHTS, Experiment
from sc2bench.runs.measure import evaluate_as
from sc2bench.runs.train import train_experiment
from sc2bench.runs.trained import build_untrained, load_trained, save_trained

Paths = Sequence[str | Path]


def build(overrides: Sequence[str] = (), config_dirs: Paths = (), plugins: Paths = ()) -> SplitModel:
    """Builds the split model that overrides name, with the teacher's weights and without training.

    >>> import sc2bench
    >>> model = sc2bench.build(["task=fashion_mnist", "method=input_codec", "method.codec=webp", "rate=20"])
    >>> model.variant
    {'codec': 'webp'}

    Args:
        overrides: `key=value`, as on the command line.
        config_dirs: further folders laid out like `configs/`.
        plugins: Python files that register methods, codecs or other things of your own.

    Raises:
        ConfigError: as `compose` does; or a plugin can't be imported.
        DataError: the data set, which says how large images are, is missing.
    """
    return build_untrained(Experiment(_compose(overrides, config_dirs, plugins)))


def load(checkpoint: str | Path, plugins: Paths = ()) -> SplitModel:
    """Loads a trained split model, ready to encode and decode.

    The folder is all that it needs: no data set, no weights of the teacher, and no network. Folders of versions before
    1.0 don't say how large images are; then the data set is asked.

    Args:
        checkpoint: the folder that a run left below `checkpoints/`, or that `import-checkpoint` or `save` wrote.
        plugins: Python files that register what the model is made of, if that is your own.

    Raises:
        CheckpointError: missing, unreadable or of another version.
        ConfigError: a plugin can't be imported.
        DataError: an old folder, and the data set is missing.
    """
    load_plugins(map(str, plugins))
    return load_trained(checkpoint)


def save(model: SplitModel, folder: str | Path) -> None:
    """Writes a folder that `load` needs nothing else for: also of models that learn nothing, or join those that did.

    What the folder held of another model is replaced.

    >>> import sc2bench, tempfile
    >>> model = sc2bench.build(["task=fashion_mnist", "method=input_codec", "method.codec=webp", "rate=20"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sc2bench.save(model, folder)
    ...     sc2bench.load(folder).session == model.session
    True

    Args:
        model: of `build`, `load` or `train`.
        folder: is made if need be.

    Raises:
        InputError: a model of another origin, so that it is not known what it is built from.
        OutputError: the folder can't be written.
    """
    if model.origin is None:
        raise InputError(f"this {type(model).__name__} does not say what it was built from; save one of sc2bench.build")
    folder = Path(folder)
    try:
        # A kill from here on must not leave other weights under this model's name.
        (folder / FINAL_WEIGHTS).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} can't be replaced ({error.strerror}); choose another folder") from error
    save_trained(model, folder)


def train(
    overrides: Sequence[str] = (), config_dirs: Paths = (), plugins: Paths = (), *, quiet: bool = False
) -> SplitModel:
    """Trains the split model that overrides name, and what it builds on; loads it where it is trained already.

    Weights and checkpoints lie below `checkpoints=`, as those of the command line do: a call that was stopped goes on
    where it was when it is made again.

    Args:
        overrides: `key=value`, as on the command line.
        config_dirs: further folders laid out like `configs/`.
        plugins: Python files that register what is your own.
        quiet: shows no progress.

    Returns:
        The model, ready to encode and decode.

    Raises:
        ConfigError: as `compose` does; or a stage names something that does not exist.
        DataError: the data set is missing.
        OutputError: weights can't be written.
        TrainingError: a loss is not finite.
    """
    return train_experiment(Experiment(_compose(overrides, config_dirs, plugins)), quiet=quiet)


def evaluate(
    model: SplitModel,
    task: str,
    split: str = "test",
    samples: int | None = None,
    overrides: Sequence[str] = (),
    config_dirs: Paths = (),
    plugins: Paths = (),
) -> Measurement:
    """Measures rate and quality of a model: each sample is coded to bytes, and predicted from those bytes alone.

    >>> import sc2bench
    >>> model = sc2bench.build(["task=fashion_mnist", "method=input_codec", "method.codec=webp", "rate=20"])
    >>> measurement = sc2bench.evaluate(model, "fashion_mnist", samples=100)
    >>> len(measurement.bytes), sorted(measurement.quality)
    (100, ['top1', 'top5'])

    Args:
        model: of `build`, `load` or `train`, or your own; it stays on its device.
        task: name of a file in `configs/task/`, which says what is predicted and from which data.
        split: "train", "validation" or "test".
        samples: measures on a fixed part of so many, with its share of each class; `None`: on all.
        overrides: further settings of `task.*` and `evaluation.*`, such as `task.root=FOLDER`.
        config_dirs: further folders laid out like `configs/`.
        plugins: Python files that register what is your own.

    Returns:
        Qualities in percent, the bytes of each sample, times; see `Measurement`.

    Raises:
        ConfigError: an unknown task or setting.
        DataError: the data set is missing or has fewer samples.
        InputError: the model takes other inputs than the data set has, or predicts something else.
    """
    chosen = [f"task={task}", "method=teacher", f"evaluation.split={split}"]
    chosen += [] if samples is None else [f"evaluation.samples={samples}"]
    config = _compose([*chosen, *overrides], config_dirs, plugins)
    options = config.evaluation
    dataset = load_dataset(config.task, options.split, options.samples)
    _require_fit(model, config.task, dataset)
    device = next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))
    (measurement,) = evaluate_as(config, [model], dataset, device)
    return measurement


def _compose(overrides: Sequence[str], config_dirs: Paths, plugins: Paths) -> ExperimentConfig:
    load_plugins(map(str, plugins))
    return compose(overrides, [str(folder) for folder in config_dirs])


def _require_fit(model: SplitModel, task: TaskConfig, dataset: ImageSet) -> None:
    """Raises `InputError` if a model takes other inputs than a data set has, or predicts something else."""
    if model.spec != dataset.spec:
        raise InputError(f"the model takes {model.spec}, but {task.dataset} has {dataset.spec}; choose its task")
    # Models of one's own don't say what they predict.
    if model.origin is None:
        return
    made_for, blueprint = model.origin.config.task, model.origin.blueprint
    if made_for.name != task.name:
        raise InputError(f"the model was made for '{made_for.name}', but the task is '{task.name}'; choose its task")
    # Published checkpoints may not say what their classes are called.
    known = blueprint.labels if blueprint.labels is not None else blueprint.classes
    found = dataset.classes if blueprint.labels is not None else len(dataset.classes)
    if known is not None and known != found:
        raise InputError(
            f"the model tells the {blueprint.classes} classes of {made_for.dataset} apart, but {task.dataset} has "
            f"{len(dataset.classes)} that are not the same; choose its task"
        )
