"""Jobs that work off a suite together, on this machine or on a Slurm cluster, through submitit.

Each job is a runner over the whole suite; claims divide the points among them while they run.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sc2bench.core.errors import ConfigError, OutputError, Sc2benchError
from sc2bench.core.processes import processors
from sc2bench.core.progress import Work
from sc2bench.core.registry import load_plugins
from sc2bench.core.signals import heeding_interrupts
from sc2bench.core.text import file_name
from sc2bench.runs.suite import Suite

LAUNCHERS = ("local", "slurm")
_DAY_MINUTES = 1440
# Local jobs have no queue that wants to know; submitit wants a bound.
_LOCAL_MINUTES = 365 * _DAY_MINUTES
_POLL_SECONDS = 0.5
_CANCEL_SECONDS = 10.0


@dataclass(frozen=True)
class JobOptions:
    """How many jobs there are, and what each gets.

    Attributes:
        launcher: "local" or "slurm".
        jobs: number of jobs.
        partition: of the cluster; `None`: its default.
        minutes: bound of a job's time on the cluster; a job that needs more is queued again and goes on.
        cpus: threads of a job; `None`: the machine's divided by the number of jobs, or one on a cluster.
        gpus: of a job; each gets a process of its own, which share every experiment.
    """

    launcher: str
    jobs: int = 1
    partition: str | None = None
    minutes: int = _DAY_MINUTES
    cpus: int | None = None
    gpus: int = 0

    def __post_init__(self) -> None:
        if self.launcher not in LAUNCHERS:
            raise ConfigError(f"--launcher: unknown value '{self.launcher}'; known: {', '.join(LAUNCHERS)}")
        least = {"jobs": (self.jobs, 1), "time": (self.minutes, 1), "cpus": (self.cpus, 1), "gpus": (self.gpus, 0)}
        for name, (value, bound) in least.items():
            if value is not None and value < bound:
                raise ConfigError(f"--{name}: {value} is below the least value, {bound}")
        if self.launcher == "local" and self.partition is not None:
            raise ConfigError(f"--partition: '{self.partition}' is for --launcher slurm; leave it out")
        available = torch.cuda.device_count()
        if self.launcher == "local" and self.gpus * self.jobs > available:
            raise ConfigError(
                f"--gpus: {self.jobs} jobs with {self.gpus} each need more than the {available} of this machine"
            )

    @property
    def threads(self) -> int:
        """Threads of each process of a job."""
        cpus = self.cpus
        if cpus is None:
            cpus = processors() // self.jobs if self.launcher == "local" else 1
        return max(cpus // max(self.gpus, 1), 1)


@dataclass(frozen=True)
class SuiteJob:
    """What a job calls: a runner over the suite. Returns the sentence of what failed, or an empty one.

    Attributes:
        name: of the suite, or its path.
        overrides: as on the command line.
        config_dirs: as on the command line.
        plugins: as on the command line.
        force_before: records older than this moment, in seconds since 1970, are measured again.
        retrain: they are trained anew first, unless their weights are younger.
    """

    name: str
    overrides: list[str] = field(default_factory=list)
    config_dirs: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)
    force_before: float | None = None
    retrain: bool = False

    def __call__(self) -> str:
        """Runs in the job."""
        from submitit import JobEnvironment
        from submitit.helpers import TorchDistributedEnvironment

        if JobEnvironment().num_tasks > 1:
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        try:
            load_plugins(self.plugins)
            # A point of another job is waited for by whoever started the jobs, not by a job that costs a machine.
            Suite.load(self.name, self.overrides, self.config_dirs).run(
                force_before=self.force_before, retrain=self.retrain, wait=False
            )
        except Sc2benchError as error:
            return str(error)
        return ""

    def checkpoint(self) -> Any:
        """What submitit queues when the job's time is over: the same, for it goes on where it stopped."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(job: SuiteJob, options: JobOptions, folder: Path) -> list[Any]:
    """Submits the jobs.

    Args:
        job: what each calls.
        options: how many, and what each gets.
        folder: of logs and of what submitit keeps; shared with the cluster.

    Returns:
        submitit's jobs.

    Raises:
        ConfigError: submitit or Slurm is missing, or Slurm refuses.
        OutputError: the folder can't be written to.
    """
    try:
        import submitit
    except ImportError:
        raise ConfigError(
            f"--launcher {options.launcher} needs submitit; install it: pip install 'sc2bench[cluster]'"
        ) from None
    try:
        if options.launcher == "local":
            return _submit_local(submitit, job, options, folder)
        return _submit_slurm(submitit, job, options, folder)
    except OSError as error:
        raise OutputError(
            f"jobs can't be written to {folder}: {error.strerror or error}; choose another folder with checkpoints="
        ) from error


def _submit_slurm(submitit: Any, job: SuiteJob, options: JobOptions, folder: Path) -> list[Any]:
    for program in ("sbatch", "srun"):
        if shutil.which(program) is None:
            raise ConfigError(f"--launcher slurm: no program {program} here; log in to the cluster, or use local")
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(
        job_name=f"sc2bench-{file_name(Path(job.name).stem)}",
        time=options.minutes,
        ntasks_per_node=max(options.gpus, 1),
        cpus_per_task=options.threads,
        # srun does not take it over from sbatch by itself.
        setup=[f"export OMP_NUM_THREADS={options.threads} SRUN_CPUS_PER_TASK={options.threads}"],
        **({"partition": options.partition} if options.partition else {}),
        **({"gpus_per_node": options.gpus} if options.gpus else {}),
    )
    try:
        return _submit_all(executor, job, options.jobs)
    except submitit.core.utils.FailedJobError as error:
        raise ConfigError(f"--launcher slurm: sbatch refuses the jobs: {_last_line(error)}") from error


def _submit_all(executor: Any, job: SuiteJob, count: int) -> list[Any]:
    if count == 1:
        return [executor.submit(job)]
    jobs = []
    with executor.batch():
        for _ in range(count):
            jobs.append(executor.submit(job))
    return jobs


def _submit_local(submitit: Any, job: SuiteJob, options: JobOptions, folder: Path) -> list[Any]:
    jobs: list[Any] = []
    executor = submitit.LocalExecutor(folder)
    threads = submitit.helpers.environment_variables(OMP_NUM_THREADS=str(options.threads))
    with threads, heeding_interrupts(), ExitStack() as on_error:
        on_error.callback(cancel, jobs)
        for number in range(options.jobs):
            executor.update_parameters(
                timeout_min=_LOCAL_MINUTES,
                tasks_per_node=max(options.gpus, 1),
                gpus_per_node=options.gpus,
                visible_gpus=tuple(range(number * options.gpus, (number + 1) * options.gpus)),
            )
            jobs.append(executor.submit(job))
        on_error.pop_all()
    return jobs


def wait(jobs: Sequence[Any], suite: Suite, *, quiet: bool = False) -> list[str]:
    """Waits until all jobs have ended; cancels them if it is interrupted.

    Returns:
        The sentences of what failed, each once.
    """
    experiments = suite.all_experiments()
    with Work(len(experiments), f"{len(jobs)} jobs", quiet) as work, ExitStack() as on_error:
        on_error.callback(cancel, jobs)
        done = 0
        while not all(job.done() for job in jobs):
            now_done = sum(experiment.done for experiment in experiments)
            work.advance(now_done - done)
            done = now_done
            time.sleep(_POLL_SECONDS)
        on_error.pop_all()
    sentences = [_outcome(job) for job in jobs]
    return [sentence for sentence in dict.fromkeys(sentences) if sentence]


def cancel(jobs: Sequence[Any]) -> None:
    """Cancels the jobs that still run, and waits a little for them to end."""
    # A terminal's Ctrl-C reaches local jobs too; a second one would disturb them while they end.
    _until(lambda: all(job.done() for job in jobs), seconds=1.0)
    for job in jobs:
        if not job.done():
            job.cancel(check=False)
    _until(lambda: all(job.done() for job in jobs), _CANCEL_SECONDS)


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _outcome(job: Any) -> str:
    """The sentence of what failed in a job, or an empty one."""
    try:
        sentences = [sentence for sentence in dict.fromkeys(job.results()) if sentence]
    except Exception as error:
        return f"job {job.job_id} failed: {_last_line(error)}; its log is {job.paths.stderr}"
    return "\n".join(sentences)


def _last_line(error: BaseException) -> str:
    """Of a traceback that submitit brings along, the line that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -\t")]
    return lines[-1] if lines else type(error).__name__
