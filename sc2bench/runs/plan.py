"""What is to be done for experiments, whether its places can be written, and what was left in them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sc2bench.core import processes
from sc2bench.core.errors import Sc2benchError
from sc2bench.core.files import remove_leftovers
from sc2bench.records import ensure_writable
from sc2bench.runs.claims import remove_dead
from sc2bench.runs.experiment import Experiment


def plan(experiments: Sequence[Experiment]) -> tuple[dict[str, float], dict[str, Exception]]:
    """The work of each experiment, and the errors of those that can't even be begun."""
    units: dict[str, float] = {}
    failures: dict[str, Exception] = {}
    for experiment in experiments:
        try:
            processes.from_main(lambda experiment=experiment: _ensure_places(experiment))  # type: ignore[misc]
            units[experiment.id] = processes.together(experiment.work)
        except Exception as error:
            failures[experiment.id] = error
    return units, failures


def predecessors(experiments: Sequence[Experiment]) -> list[str]:
    """Says of which experiments there are records or weights that don't count; see `Experiment.predecessors`."""
    return list(dict.fromkeys(sentence for experiment in experiments for sentence in experiment.predecessors()))


def tidy_up(experiments: Sequence[Experiment]) -> None:
    """Removes what killed calls left where these write, also those of other machines; what may be alive is left."""
    configs = [experiment.config for experiment in experiments]
    folders = {Path(place) for config in configs for place in (config.output, config.checkpoints)}
    for experiment in _with_parts(experiments):
        # What is wrong with one of several is said where it is planned.
        with suppress(Sc2benchError):
            folders |= {experiment.record_path.parent, experiment.checkpoint_folder}
    for folder in sorted(folders):
        remove_leftovers(folder)
        remove_dead(folder)


def _ensure_places(experiment: Experiment) -> None:
    """Tries the folders that will be written to; weights that are trained already may be on what is read-only."""
    ensure_writable(experiment.config.output)
    experiment.ensure_trainable()
    if experiment.untrained():
        ensure_writable(experiment.config.checkpoints, "checkpoints")


def _with_parts(experiments: Sequence[Experiment]) -> list[Experiment]:
    return [each for experiment in experiments for each in (experiment, *_with_parts(experiment.parts))]
