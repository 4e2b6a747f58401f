"""Whether the experiments of a suite would run: each is tried for a moment, from data to record.

What is tried is the experiment's own code path, with the data set in miniature, random weights, and every stage cut to
one step of its optimizer.
"""

import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from sc2bench.config import ExperimentConfig
from sc2bench.core.errors import Sc2benchError
from sc2bench.core.files import scratch_folder
from sc2bench.data.miniature import MINIATURES
from sc2bench.methods import downloads
from sc2bench.records import read_record
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.run import run_experiments
from sc2bench.runs.suite import Suite
from sc2bench.teachers import teacher_downloads

# Two samples are the fewest that a batch normalization can learn from; measuring takes but one.
_TRAINING_SAMPLES = 2


@dataclass(frozen=True)
class Trial:
    """What came of one experiment.

    Attributes:
        label: of its curve.
        rate: the value of its rate knob.
        stages: names of its stages of training.
        seconds: that the trial took.
        bytes_mean: of the packets, with random weights; `None` if it failed.
        problem: why it failed; `None` if it did not.
        downloads: addresses of what the experiment itself would download.
    """

    label: str
    rate: float | None
    stages: tuple[str, ...]
    seconds: float
    bytes_mean: float | None
    problem: str | None
    downloads: tuple[str, ...]


def validate(
    suite: Suite, *, all_rates: bool = False, on_trial: Callable[[Trial], object] = lambda trial: None
) -> list[Trial]:
    """Tries the experiments of a suite.

    Args:
        suite: nothing of it is changed, and nothing is written to its folders.
        all_rates: tries every rate; else the first one of each curve.
        on_trial: told of each trial when it is over.

    Returns:
        A trial an experiment, in the suite's order.

    Raises:
        OutputError: there is no place for temporary files.
    """
    trials = []
    with scratch_folder("sc2bench-validate-") as folder:
        for label in suite.experiments:
            experiments = suite.rates(label)
            for experiment in experiments if all_rates else experiments[:1]:
                trial = _try(label, experiment, folder)
                trials.append(trial)
                on_trial(trial)
    return trials


def _try(label: str, experiment: Experiment, folder: Path) -> Trial:
    started = time.monotonic()
    wanted: tuple[str, ...] = ()
    bytes_mean, problem = None, None
    try:
        wanted = tuple(_wanted(experiment.config))
        # A folder of its own, which takes the weights of large models away when the trial is over.
        with tempfile.TemporaryDirectory(dir=folder) as own:
            (path,) = run_experiments([Experiment(_cut_down(experiment.config, folder, Path(own)))], quiet=True)
            bytes_mean = read_record(path)["bytes_mean"]
    except Sc2benchError as error:
        problem = str(error)
    except Exception as error:
        # Whatever it is, the other experiments want to be tried too.
        problem = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - started
    return Trial(label, experiment.config.rate, tuple(experiment.config.stages), seconds, bytes_mean, problem, wanted)


def _wanted(config: ExperimentConfig) -> list[str]:
    """What the experiment and those that it builds on would download."""
    own = [*teacher_downloads(config.teacher), *downloads(config)]
    return [*own, *(address for part in config.parts for address in _wanted(part))]


def _cut_down(config: ExperimentConfig, shared: Path, own: Path) -> ExperimentConfig:
    """The experiment on little data with random weights; everything else is as it is."""
    config = deepcopy(config)
    config.output, config.checkpoints, config.workers = str(own / "results"), str(own / "checkpoints"), 0
    make = MINIATURES.get(config.task.dataset)
    if make is not None:
        root = shared / config.task.dataset
        config.task.root = str(root if root.exists() else make(root))
    config.teacher.weights = "random"
    if getattr(config.method, "weights", None) is not None:
        config.method.weights = "random"
    config.evaluation.samples = config.evaluation.batch_size = 1
    # Timing runs nothing that measuring does not run, and large models take long.
    config.evaluation.latency_repeats = 0
    config.source = None if config.source is None else _cut_down(config.source, shared, own)
    config.members = [_cut_down(member, shared, own) for member in config.members]
    for name, stage in config.stages.items():
        setattr(config, name, stage.trial(_TRAINING_SAMPLES))
    return config
