"""Experiments from their configurations to their records."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sc2bench.core import processes
from sc2bench.core.memory import keep_memory
from sc2bench.core.progress import Work
from sc2bench.records import environment
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.measure import measure_group
from sc2bench.runs.plan import plan, predecessors, tidy_up
from sc2bench.runs.sharing import PointsFailed, Sharing


def run_experiments(
    experiments: Sequence[Experiment],
    *,
    force: bool = False,
    force_before: float | None = None,
    retrain: bool = False,
    quiet: bool = False,
    wait: bool = True,
) -> list[Path]:
    """Trains what has to be trained, measures every experiment, and writes the records.

    Those whose record exists are skipped. A killed call goes on where it stopped when it is made again. Several calls
    at the same time, also on several machines with common folders, divide the experiments among them.

    Args:
        experiments: in the order in which they are worked off.
        force: measures again where a record exists; trained weights are kept.
        force_before: the same for records that are older than this moment, in seconds since 1970.
        retrain: what is measured again is trained anew first; what it builds on (`source`, `members`) is not.
        quiet: shows no progress.
        wait: for experiments that another call works on; else they are left to it.

    Returns:
        The paths of all records, in order.

    Raises:
        Sc2benchError: what kept a lone experiment from its record.
        PointsFailed: some of several have no record; all others have.
    """
    processes.start()
    keep_memory()
    if force or (retrain and force_before is None):
        force_before = time.time()
    oldest = processes.from_main(lambda: force_before) or 0.0
    if retrain:
        experiments = [replace(experiment, retrain_before=oldest) for experiment in experiments]
    todo = processes.from_main(
        lambda: [number for number, each in enumerate(experiments) if not each.measured_since(oldest)]
    )
    # Asked for now, for it describes the code that is loaded; the source tree may change while a long call goes on.
    environment()
    processes.from_main(lambda: tidy_up(experiments))
    units, failures = plan([experiments[number] for number in todo])
    planned = [experiments[number] for number in todo if experiments[number].id in units]
    with Work(sum(units.values()), "start", quiet or not processes.is_main()) as work:
        if len(todo) < len(experiments):
            work.say(f"{len(experiments) - len(todo)} of {len(experiments)} points are already measured")
        for sentence in processes.from_main(lambda: predecessors(planned)):
            work.say(sentence)
        sharing = Sharing[Experiment](
            measure=lambda group, confirm: measure_group(group, confirm, work),
            is_done=lambda experiment: experiment.measured_since(oldest),
            passed_over=lambda experiment: work.skip(units[experiment.id]),
            work=work,
            tells=len(experiments) > 1,
        )
        left = sharing.work_off(planned, wait=wait)
        if left:
            work.say(f"{len(left)} points are left to other runners, which work on them")
    failures |= sharing.failures
    if failures and len(experiments) == 1:
        raise failures[experiments[0].id]
    if failures:
        raise PointsFailed.of({name: processes.describe(error) for name, error in failures.items()}, len(experiments))
    return [experiment.record_path for experiment in experiments]
