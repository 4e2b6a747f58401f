"""Commands about one experiment, and the entry point of the scripts in `benchmarks/`."""

import sys
from typing import Annotated

import typer

from sc2bench.cli.application import app
from sc2bench.cli.common import (
    ConfigDirs,
    Force,
    Overrides,
    Plugins,
    Quiet,
    Retrain,
    guarded,
    interruptible,
    paths,
    prepare,
)
from sc2bench.core.errors import ConfigError
from sc2bench.core.signals import end_at_once


@app.command()
def run(
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    force: Force = False,
    retrain: Retrain = False,
    quiet: Quiet = False,
) -> None:
    """Train and measure one experiment, and write its record."""
    run_experiment(overrides or [], config_dir or [], plugin or [], force=force, retrain=retrain, quiet=quiet)


def run_experiment(
    overrides: list[str],
    config_dirs: list[str],
    plugins: list[str],
    *,
    force: bool = False,
    retrain: bool = False,
    quiet: bool = False,
    task: str | None = None,
) -> None:
    """Runs one experiment and prints the path of its record; raises `ConfigError` if it is of another task."""
    from sc2bench.config import compose
    from sc2bench.core import processes
    from sc2bench.core.registry import load_plugins
    from sc2bench.runs.experiment import Experiment
    from sc2bench.runs.run import run_experiments

    load_plugins(plugins)
    config = compose(overrides, config_dirs)
    if task is not None and config.task.name != task:
        raise ConfigError(
            f"task.name: this script is for '{task}', but the task is '{config.task.name}'; choose another task="
        )
    with interruptible():
        paths = run_experiments([Experiment(config)], force=force, retrain=retrain, quiet=quiet)
    for path in paths if processes.is_main() else []:
        print(path)


@app.command("import-checkpoint")
def import_checkpoint(
    file: Annotated[
        str, typer.Argument(help="a checkpoint of the published package: .pt, .pth or .safetensors", callback=paths)
    ],
    overrides: Overrides = None,
    named: Annotated[list[str] | None, typer.Option("--as", help="key=value, the same as without --as")] = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    force: Annotated[bool, typer.Option("--force", help="replace weights that are there already")] = False,
) -> None:
    """Take a published checkpoint over as the trained weights of an experiment, which `run` then only measures."""
    from pathlib import Path

    from sc2bench.config import compose
    from sc2bench.core.registry import load_plugins
    from sc2bench.importing import import_checkpoint as take_over

    load_plugins(plugin or [])
    config = compose([*(overrides or []), *(named or [])], config_dir or [])
    print(take_over(Path(file), config, force=force))


def benchmark(task: str, default: str) -> None:
    """The entry point of the scripts in `benchmarks/`: `sc2bench run`, for one task only.

    Args:
        task: name of the task that the configuration must have.
        default: the file of `configs/task/` that is taken if none is named.
    """

    def command(
        overrides: Overrides = None,
        config_dir: ConfigDirs = None,
        plugin: Plugins = None,
        force: Force = False,
        retrain: Retrain = False,
        quiet: Quiet = False,
        debug: Annotated[bool, typer.Option("--debug", help="show tracebacks of errors")] = False,
    ) -> None:
        chosen = [f"task={default}", *(overrides or [])]
        options = {"force": force, "retrain": retrain, "quiet": quiet}
        run_experiment(chosen, config_dir or [], plugin or [], task=task, **options)

    command.__doc__ = f"Train and measure one experiment of the task {task}."
    script = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    script.command()(command)
    prepare()
    try:
        code = guarded(lambda: script(standalone_mode=True), "--debug" in sys.argv[1:])
    finally:
        end_at_once()
    sys.exit(code)
