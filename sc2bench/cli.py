"""The command line. PyTorch is imported inside the commands, so that `--help` answers at once."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time as now
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from sc2bench.errors import ConfigError, Sc2benchError, nearest

INTERRUPTED = 130
_HELP = """Supervised compression for split computing: train, measure and compare split models.

Experiments are chosen by overrides of the form key=value, for instance:

    sc2bench run task=fashion_mnist method=entropic_student rate=0.16
"""

app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
suite_app = typer.Typer(help="Measure and draw many curves together.", no_args_is_help=True)
app.add_typer(suite_app, name="suite")

Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, such as method=input_codec or stage1.epochs=2")]
SuiteName = Annotated[str, typer.Argument(help="a suite of configs/suite/, or the path of a YAML file")]
ConfigDirs = Annotated[list[str] | None, typer.Option("--config-dir", help="a further folder laid out like configs/")]
Plugins = Annotated[list[str] | None, typer.Option("--plugin", help="a Python file that registers methods of your own")]
Force = Annotated[bool, typer.Option("--force", help="measure again where a record exists")]
Quiet = Annotated[bool, typer.Option("--quiet", help="show no progress")]


@app.callback()
def _common(
    context: typer.Context, debug: Annotated[bool, typer.Option("--debug", help="show tracebacks of errors")] = False
) -> None:
    context.ensure_object(dict)["debug"] = debug
    # CompressAI scripts a function when it is imported; PyTorch deprecates that, and a user can't help it.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")
    # Ask Accelerate for nothing but its defaults where the machine is a single processor.
    warnings.filterwarnings("ignore", message=".*pin_memory.*")


@app.command()
def run(
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Train and measure one experiment, and write its record."""
    run_experiment(overrides or [], config_dir or [], plugin or [], force=force, quiet=quiet)


def run_experiment(
    overrides: list[str],
    config_dirs: list[str],
    plugins: list[str],
    *,
    force: bool = False,
    quiet: bool = False,
    task: str | None = None,
) -> None:
    """Runs one experiment and prints the path of its record; raises `ConfigError` if it is of another task."""
    from sc2bench import processes
    from sc2bench.config import compose
    from sc2bench.registry import load_plugins
    from sc2bench.run import Run, run_all

    load_plugins(plugins)
    config = compose(overrides, config_dirs)
    if task is not None and config.task.name != task:
        raise ConfigError(
            f"task.name: this script is for '{task}', but the task is '{config.task.name}'; choose another task="
        )
    with _interruptible():
        paths = run_all([Run(config)], force=force, quiet=quiet)
    for path in paths if processes.is_main() else []:
        print(path)


@app.command("import-checkpoint")
def import_checkpoint(
    file: Annotated[str, typer.Argument(help="a checkpoint of the published package: .pt, .pth or .safetensors")],
    overrides: Overrides = None,
    named: Annotated[list[str] | None, typer.Option("--as", help="key=value, the same as without --as")] = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    force: Annotated[bool, typer.Option("--force", help="replace weights that are there already")] = False,
) -> None:
    """Take a published checkpoint over as the trained weights of an experiment, which `run` then only measures."""
    from pathlib import Path

    from sc2bench.config import compose
    from sc2bench.importing import import_checkpoint as take_over
    from sc2bench.registry import load_plugins

    load_plugins(plugin or [])
    config = compose([*(overrides or []), *(named or [])], config_dir or [])
    print(take_over(Path(file), config, force=force))


@suite_app.command("run")
def suite_run(
    name: SuiteName,
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    force: Force = False,
    quiet: Quiet = False,
    launcher: Annotated[str | None, typer.Option(help="run as jobs: local or slurm")] = None,
    jobs: Annotated[int, typer.Option(help="number of jobs; they divide the points among them")] = 1,
    partition: Annotated[str | None, typer.Option(help="of the cluster")] = None,
    time: Annotated[int, typer.Option(help="minutes of a job; one that needs more is queued again")] = 1440,
    cpus: Annotated[int | None, typer.Option(help="of each job; local: all, divided by the jobs")] = None,
    gpus: Annotated[int, typer.Option(help="of each job; each gets a process")] = 0,
    wait: Annotated[
        bool | None, typer.Option(help="for points that others measure; by default not for jobs of a cluster")
    ] = None,
) -> None:
    """Measure all points of a suite that have no record yet, then write its tables and figure."""
    suite = _suite(name, overrides, config_dir, plugin)
    if launcher is not None:
        from sc2bench.launcher import JobOptions, SuiteJob

        options = JobOptions(launcher, jobs, partition, time, cpus, gpus)
        job = SuiteJob(name, overrides or [], config_dir or [], plugin or [], now() if force else None)
        _launch(suite, job, options, quiet=quiet, wait=launcher == "local" if wait is None else wait)
        return
    if jobs != 1 or partition is not None or cpus is not None or gpus:
        raise ConfigError("--jobs, --partition, --cpus and --gpus are for jobs; add --launcher local or slurm")
    with _interruptible(), _reporting(suite):
        suite.run(force=force, quiet=quiet, wait=wait is not False)


def _launch(suite: Any, job: Any, options: Any, *, quiet: bool, wait: bool) -> None:
    from sc2bench import launcher
    from sc2bench.sharing import PointsFailed

    submitted = launcher.submit(job, options, suite.job_folder)
    print(f"jobs {', '.join(job.job_id for job in submitted)}; logs in {suite.job_folder}", file=sys.stderr)
    if not wait:
        return
    with _interruptible(), _reporting(suite):
        sentences = launcher.wait(submitted, suite, quiet=quiet)
        if sentences:
            raise PointsFailed("\n".join(sentences))


@contextmanager
def _reporting(suite: Any) -> Iterator[None]:
    """Writes the report in the end, also if some points failed."""
    from sc2bench import processes
    from sc2bench.sharing import PointsFailed

    try:
        yield
    except PointsFailed:
        if processes.is_main() and any(run.done for run in suite.all_runs()):
            _report(suite)
        raise
    if processes.is_main():
        _report(suite)


@suite_app.command("status")
def suite_status(
    name: SuiteName, overrides: Overrides = None, config_dir: ConfigDirs = None, plugin: Plugins = None
) -> None:
    """Show which points of a suite are measured, and which are being measured by whom."""
    from sc2bench.claims import holder

    suite = _suite(name, overrides, config_dir, plugin)
    table = Table("curve", "rate", "record")
    for label, runs in suite.runs.items():
        for run in runs:
            rate = "" if run.config.rate is None else f"{run.config.rate:g}"
            owner = None if run.done else holder(run.record_path)
            state = "-" if owner is None else f"claimed: {owner}"
            table.add_row(label, rate, str(run.record_path) if run.done else state)
    Console().print(table)


@suite_app.command("list")
def suite_list(config_dir: ConfigDirs = None) -> None:
    """List the suites."""
    from sc2bench.config import suite_files

    for name in sorted(suite_files(config_dir or [])):
        print(name)


@app.command()
def report(
    name: SuiteName,
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    published: Annotated[bool, typer.Option("--published", help="draw published points behind measured ones")] = False,
) -> None:
    """Write the tables and the figures of a suite from the records that exist."""
    _report(_suite(name, overrides, config_dir, plugin), published=published)


@app.command()
def validate(
    name: SuiteName,
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    all_rates: Annotated[bool, typer.Option("--all-rates", help="try every rate, not one a curve")] = False,
) -> None:
    """Try every curve of a suite for a moment, with miniature data and random weights, and say what would fail."""
    from sc2bench.validation import Trial, validate

    suite = _suite(name, overrides, config_dir, plugin)
    console = Console()

    def show(trial: Trial) -> None:
        verdict = f"FAILS: {trial.problem}" if trial.problem else "works"
        rate = "" if trial.rate is None else f" {trial.rate:g}"
        console.print(f"{trial.label}{rate}: {verdict} ({trial.seconds:.1f} s)", highlight=False, markup=False)

    with _interruptible():
        trials = validate(suite, all_rates=all_rates, on_trial=show)
    table = Table("curve", "rate", "stages", "bytes", "seconds", "works")
    for trial in trials:
        rate = "" if trial.rate is None else f"{trial.rate:g}"
        size = "" if trial.bytes_mean is None else f"{trial.bytes_mean:.0f}"
        stages = str(len(trial.stages))
        table.add_row(trial.label, rate, stages, size, f"{trial.seconds:.1f}", "no" if trial.problem else "yes")
    console.print(table)
    for address in sorted({address for trial in trials for address in trial.downloads}):
        print(f"would download {address}")
    failed = [trial for trial in trials if trial.problem]
    print(f"{len(trials) - len(failed)} of {len(trials)} work, tried with random weights in miniature")
    if failed:
        raise ConfigError("\n".join(["these would fail:", *(f"  {trial.label}: {trial.problem}" for trial in failed)]))


@app.command("list")
def list_names(
    kind: Annotated[str | None, typer.Argument(help="for instance method; without it, all kinds")] = None,
    plugin: Plugins = None,
) -> None:
    """List what a configuration can name: methods, codecs, teachers, data sets, ..."""
    from sc2bench import registry

    registry.load_plugins(plugin or [])
    registries = {value.kind: value for value in vars(registry).values() if isinstance(value, registry.Registry)}
    if kind is not None and kind not in registries:
        raise ConfigError(f"unknown kind '{kind}'; {nearest(kind, registries)}")
    for known, entries in registries.items():
        if kind in (None, known):
            print(f"{known}: {', '.join(entries.names())}")


def _suite(name: str, overrides: list[str] | None, config_dirs: list[str] | None, plugins: list[str] | None) -> Any:
    from sc2bench.registry import load_plugins
    from sc2bench.suite import Suite

    load_plugins(plugins or [])
    return Suite.load(name, overrides or [], config_dirs or [])


def _report(suite: Any, *, published: bool = False) -> None:
    from sc2bench.report import published_points, write_report

    records = suite.records()
    config = suite.config
    missing = len(suite.all_runs()) - len(records)
    if missing:
        print(f"{missing} of {len(suite.all_runs())} points are not measured yet", file=sys.stderr)
    points = published_points(records, config.metric) if published else None
    if points is not None and points.empty:
        where = ", ".join(sorted(set(records["task"] + " on " + records["dataset"])))
        print(f"there are no published points of {config.metric} for {where}; no overlay is drawn", file=sys.stderr)
    written = write_report(
        records,
        suite.folder,
        title=f"Suite {config.name}",
        metric=config.metric,
        anchor=config.anchor,
        figures=config.figures,
        published=points,
    )
    for path in written:
        print(path)


class Interrupted(Sc2benchError):
    """The user pressed Ctrl-C."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turns Ctrl-C into an error of ours: Typer would end the program without a word."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command goes on where this one stopped") from None


def guarded(command: Callable[[], Any], debug: bool) -> int:
    """Runs a command; turns what a user can mend into one sentence. Returns the exit code."""
    try:
        command()
    except Sc2benchError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return INTERRUPTED if isinstance(error, Interrupted) else 1
    return 0


def main() -> None:
    """The entry point of the console script."""
    debug = "--debug" in sys.argv[1:]
    sys.exit(guarded(lambda: app(standalone_mode=True), debug))


def benchmark(task: str) -> None:
    """The entry point of the scripts in `benchmarks/`: `sc2bench run`, for one task only.

    Args:
        task: name of the task that the configuration must have.
    """

    def command(
        overrides: Overrides = None,
        config_dir: ConfigDirs = None,
        plugin: Plugins = None,
        force: Force = False,
        quiet: Quiet = False,
        debug: Annotated[bool, typer.Option("--debug", help="show tracebacks of errors")] = False,
    ) -> None:
        run_experiment(overrides or [], config_dir or [], plugin or [], force=force, quiet=quiet, task=task)

    command.__doc__ = f"Train and measure one experiment of the task {task}."
    script = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    script.command()(command)
    sys.exit(guarded(lambda: script(standalone_mode=True), "--debug" in sys.argv[1:]))


if __name__ == "__main__":
    main()
