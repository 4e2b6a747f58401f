"""What a program of one's own calls, for one model each: `sc2bench.build` and the others of `sc2bench`."""

from collections.abc import Sequence
from pathlib import Path

from sc2bench.config import compose
from sc2bench.core.registry import load_plugins
from sc2bench.methods import SplitModel
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.trained import build_untrained, load_trained


def build(overrides: Sequence[str] = (), config_dirs: Sequence[str] = (), plugins: Sequence[str] = ()) -> SplitModel:
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
    load_plugins(plugins)
    return build_untrained(Experiment(compose(overrides, config_dirs)))


def load(checkpoint: str | Path, plugins: Sequence[str] = ()) -> SplitModel:
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
    load_plugins(plugins)
    return load_trained(checkpoint)
