"""Training an experiment for its weights alone, beside other runners that may want the same ones."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sc2bench.core import processes
from sc2bench.core.memory import keep_memory
from sc2bench.core.progress import Work
from sc2bench.methods import SplitModel
from sc2bench.records import ensure_writable
from sc2bench.runs.conditions import accelerator_for
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.plan import tidy_up
from sc2bench.runs.ready import ready_model
from sc2bench.runs.sharing import Sharing


@dataclass(frozen=True)
class _Weights:
    """The weights of an experiment and of what it builds on: a point that runners share out; see `Sharing`."""

    experiment: Experiment
    sweep: None = None

    @property
    def id(self) -> str:
        return self.experiment.id

    def places(self) -> list[Path]:
        return [each.checkpoint_folder for each in self.experiment.untrained()]


def train_experiment(experiment: Experiment, *, quiet: bool = False) -> SplitModel:
    """Trains what an experiment wants, and what it builds on; weights that exist are loaded. No record is written.

    Args:
        experiment: is trained in its folder, from its last checkpoint if there is one.
        quiet: shows no progress.

    Returns:
        The model with its final weights.

    Raises:
        Sc2benchError: what kept it from them.
    """
    processes.start()
    keep_memory()
    processes.from_main(lambda: tidy_up([experiment]))
    units = processes.from_main(lambda: _plan(experiment))
    with Work(units, "start", quiet or not processes.is_main()) as work:
        accelerator = accelerator_for(experiment.config.mixed_precision)
        ready = partial(ready_model, experiment, experiment.teacher, accelerator, work)

        def train(points: list[_Weights], confirm: object) -> None:
            ready()

        sharing = Sharing[_Weights](
            train,
            is_done=lambda point: not point.places(),
            passed_over=lambda point: work.skip(units),
            work=work,
            tells=False,
        )
        sharing.work_off([_Weights(experiment)])
        for failure in sharing.failures.values():
            raise failure
        # From its folder, whichever runner has trained it.
        return ready()


def _plan(experiment: Experiment) -> float:
    """Units of work to do; raises where weights can't be trained or written."""
    experiment.ensure_trainable()
    untrained = experiment.untrained()
    if untrained:
        ensure_writable(experiment.config.checkpoints, "checkpoints")
    return sum(each.training_work() for each in untrained)
