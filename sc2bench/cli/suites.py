"""Commands about a suite."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time as now
from typing import Annotated, Any

import typer
from rich.table import Table

from sc2bench.cli.application import app, suite_app
from sc2bench.cli.common import (
    ConfigDirs,
    Force,
    Overrides,
    Plugins,
    Quiet,
    Retrain,
    SuiteName,
    examples,
    interruptible,
    open_suite,
    paths,
    write_suite_report,
)
from sc2bench.core.errors import ConfigError
from sc2bench.core.progress import plain_console
from sc2bench.measures import COSTS


@suite_app.command(
    "run",
    epilog=examples(
        "sc2bench suite run quickstart",
        "sc2bench suite run quickstart stage1.epochs=1 output=elsewhere --quiet",
        "sc2bench suite run my_suite.yaml --launcher local --jobs 2",
        "sc2bench suite run paper --launcher slurm --jobs 8 --gpus 1 --partition gpu",
    ),
)
def suite_run(
    name: SuiteName,
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    force: Force = False,
    retrain: Retrain = False,
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
    suite = open_suite(name, overrides, config_dir, plugin)
    if launcher is not None:
        from sc2bench.runs.launcher import JobOptions, SuiteJob

        options = JobOptions(launcher, jobs, partition, time, cpus, gpus)
        job = SuiteJob(
            name, overrides or [], config_dir or [], plugin or [], now() if force or retrain else None, retrain
        )
        _launch(suite, job, options, quiet=quiet, wait=launcher == "local" if wait is None else wait)
        return
    if jobs != 1 or partition is not None or cpus is not None or gpus:
        raise ConfigError("--jobs, --partition, --cpus and --gpus are for jobs; add --launcher local or slurm")
    with interruptible(), _reporting(suite):
        suite.run(force=force, retrain=retrain, quiet=quiet, wait=wait is not False)


def _launch(suite: Any, job: Any, options: Any, *, quiet: bool, wait: bool) -> None:
    from sc2bench.runs import launcher
    from sc2bench.runs.sharing import PointsFailed

    submitted = launcher.submit(job, options, suite.job_folder)
    print(f"jobs {', '.join(job.job_id for job in submitted)}; logs in {suite.job_folder}", file=sys.stderr)
    if not wait:
        return
    with interruptible(), _reporting(suite):
        sentences = launcher.wait(submitted, suite, quiet=quiet)
        if sentences:
            raise PointsFailed("\n".join(sentences))


@contextmanager
def _reporting(suite: Any) -> Iterator[None]:
    """Writes the report in the end, also if some points failed."""
    from sc2bench.core import processes
    from sc2bench.runs.sharing import PointsFailed

    try:
        yield
    except PointsFailed:
        if processes.is_main() and any(run.done for run in suite.all_experiments()):
            write_suite_report(suite)
        raise
    if processes.is_main():
        write_suite_report(suite)


@suite_app.command("status", epilog=examples("sc2bench suite status embedded"))
def suite_status(
    name: SuiteName, overrides: Overrides = None, config_dir: ConfigDirs = None, plugin: Plugins = None
) -> None:
    """Show which points of a suite are measured, and which are being measured by whom."""
    from sc2bench.runs.claims import holder

    suite = open_suite(name, overrides, config_dir, plugin)
    table = Table("curve", "rate", "seed", "record")
    for label, runs in suite.experiments.items():
        for run in runs:
            rate = "" if run.config.rate is None else f"{run.config.rate:g}"
            path = run.reported_path()
            owner = None if path is not None else holder(run.record_path)
            state = "-" if owner is None else f"claimed: {owner}"
            table.add_row(label, rate, str(run.config.seed), state if path is None else str(path))
    plain_console().print(table)


@suite_app.command("list", epilog=examples("sc2bench suite list --config-dir my_configs"))
def suite_list(config_dir: ConfigDirs = None) -> None:
    """List the suites."""
    from sc2bench.config import config_files

    for name in sorted(config_files("suite", config_dir or [])):
        print(name)


@app.command(
    epilog=examples(
        "sc2bench report quickstart --html",
        "sc2bench report embedded --published --anchor WebP --budget 500",
        "sc2bench report embedded output=elsewhere",
    )
)
def report(
    name: SuiteName,
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    published: Annotated[bool, typer.Option("--published", help="draw published points behind measured ones")] = False,
    published_points: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="draw those of a CSV file of your own instead, a row a point, with the columns task, dataset, metric, "
            "method, codec, prior, label, teacher, bytes, value, source, how_obtained",
            callback=paths,
        ),
    ] = None,
    anchor: Annotated[str | None, typer.Option(help="label of the curve that the others are compared with")] = None,
    budget: Annotated[
        list[float] | None, typer.Option(min=1, help="bytes a sample that tables look for the best point under")
    ] = None,
    device_budget: Annotated[list[float] | None, typer.Option(min=0, help="likewise, of the device's cost")] = None,
    cost: Annotated[
        str,
        typer.Option(help=f"the device's cost: {', '.join(COSTS[:-1])} or {COSTS[-1]}"),
    ] = "device_macs",
    quality: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="percent at which latencies are compared; by default what most curves reach"),
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="also write explorer.html, to look around in")] = False,
) -> None:
    """Write the tables and the figures of a suite from the records that exist."""
    write_suite_report(
        open_suite(name, overrides, config_dir, plugin),
        published=published or published_points is not None,
        table=published_points,
        anchor=anchor,
        budgets=budget or [],
        device_budgets=device_budget or [],
        cost=cost,
        quality=quality,
        html=html,
    )


@app.command(epilog=examples("sc2bench validate paper", "sc2bench validate my_suite.yaml --all-rates"))
def validate(
    name: SuiteName,
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    all_rates: Annotated[bool, typer.Option("--all-rates", help="try every rate, not one a curve")] = False,
) -> None:
    """Try every curve of a suite for a moment, with miniature data and random weights, and say what would fail."""
    from sc2bench.runs.validation import Trial, validate

    suite = open_suite(name, overrides, config_dir, plugin)
    console = plain_console()

    def show(trial: Trial) -> None:
        verdict = f"FAILS: {trial.problem}" if trial.problem else "works"
        rate = "" if trial.rate is None else f" {trial.rate:g}"
        console.print(f"{trial.label}{rate}: {verdict} ({trial.seconds:.1f} s)")

    with interruptible():
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


@app.command(epilog=examples("sc2bench pictures embedded_detection --scenes 3 --rates 2"))
def pictures(
    name: SuiteName,
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    scenes: Annotated[int, typer.Option(min=1, help="number of images")] = 2,
    curves: Annotated[
        list[str] | None, typer.Option("--curves", help="label of a curve; again for more; without it, one a method")
    ] = None,
    rates: Annotated[int, typer.Option(min=1, help="points of a curve, spread over its rates")] = 2,
) -> None:
    """Draw what the models of a suite predict for a few test images; nothing is trained."""
    from sc2bench.pictures import Choice, write_pictures

    suite = open_suite(name, overrides, config_dir, plugin)
    with interruptible():
        written, notes = write_pictures(suite, Choice(scenes, tuple(curves or ()), rates))
    for note in notes:
        print(note, file=sys.stderr)
    for path in written:
        print(path)
