"""What a program of one's own calls, for one model each: `sc2bench.build` and the others of `sc2bench`."""

from collections.abc import Sequence
from pathlib import Path

from sc2bench.config import compose
from sc2bench.core.state import load_state, load_tensors
from sc2bench.methods import SplitModel
from sc2bench.runs.experiment import FINAL_WEIGHTS, Experiment
from sc2bench.runs.trained import build_untrained, trained_experiment


def build(overrides: Sequence[str] = (), config_dirs: Sequence[str] = ()) -> SplitModel:
    """Builds the split model that overrides name, with the teacher's weights and without training.

    >>> import sc2bench
    >>> model = sc2bench.build(["task=fashion_mnist", "method=input_codec", "method.codec=webp", "rate=20"])
    >>> model.variant
    {'codec': 'webp'}

    Raises:
        ConfigError: as `compose` does.
        DataError: the data set, which says how large images are, is missing.
    """
    experiment = Experiment(compose(overrides, config_dirs))
    return build_untrained(experiment, experiment.teacher())


def load(checkpoint: str | Path) -> SplitModel:
    """Loads a trained split model, ready to encode and decode.

    Args:
        checkpoint: the folder that a run left below `checkpoints/`.

    Raises:
        CheckpointError: missing, unreadable or of another version.
    """
    experiment = trained_experiment(checkpoint)
    model = build_untrained(experiment, experiment.teacher())
    weights = Path(checkpoint) / FINAL_WEIGHTS
    load_state(model, load_tensors(weights), weights)
    return model
