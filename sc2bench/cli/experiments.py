"""Commands about one experiment, and the entry point of the scripts in `benchmarks/`."""

import sys
from typing import Annotated, Any

import typer

from sc2bench.cli.application import app
from sc2bench.cli.common import (
    ConfigDirs,
    Force,
    Overrides,
    Plugins,
    PrintConfig,
    Quiet,
    Retrain,
    WholeConfig,
    examples,
    guarded,
    interruptible,
    paths,
    prepare,
)
from sc2bench.core.errors import ConfigError
from sc2bench.core.signals import end_at_once

_EXAMPLES = (
    "sc2bench run task=fashion_mnist method=entropic_student rate=0.16",
    "sc2bench run task=scenes_detection method=input_codec method.codec=webp rate=50",
    "sc2bench run method=end_to_end stage1.epochs=2 --print-config > mine.yaml",
    "sc2bench run --config mine.yaml seed=1",
    "sc2bench run --plugin mine.py --config-dir my_configs method=mine",
)


@app.command(epilog=examples(*_EXAMPLES))
def run(
    overrides: Overrides = None,
    config_dir: ConfigDirs = None,
    plugin: Plugins = None,
    force: Force = False,
    retrain: Retrain = False,
    quiet: Quiet = False,
    config: WholeConfig = None,
    print_config: PrintConfig = False,
) -> None:
    """Train and measure one experiment, and write its record."""
    what: dict[str, Any] = {
        "whole": config,
        "print_only": print_config,
        "force": force,
        "retrain": retrain,
        "quiet": quiet,
    }
    run_experiment(overrides or [], config_dir or [], plugin or [], **what)


def run_experiment(
    overrides: list[str],
    config_dirs: list[str],
    plugins: list[str],
    *,
    force: bool = False,
    retrain: bool = False,
    quiet: bool = False,
    task: str | None = None,
    whole: str | None = None,
    print_only: bool = False,
) -> None:
    """Runs one experiment and prints the path of its record.

    Args:
        overrides: key=value.
        config_dirs: further folders laid out like `configs/`.
        plugins: Python files.
        force: measure again where there is a record.
        retrain: train and measure again where there are weights.
        quiet: show no progress.
        task: what the experiment must be of; `None`: any.
        whole: a file that holds the whole configuration, which the overrides are laid over.
        print_only: print the configuration instead of running it.

    Raises:
        ConfigError: the experiment is of another task.
    """
    from sc2bench.config import compose, compose_whole, written
    from sc2bench.core import processes
    from sc2bench.core.registry import load_plugins

    load_plugins(plugins)
    config = compose(overrides, config_dirs) if whole is None else compose_whole(whole, overrides, config_dirs)
    if task is not None and config.task.name != task:
        raise ConfigError(
            f"task.name: this script is for '{task}', but the task is '{config.task.name}'; choose another task="
        )
    if print_only:
        print("# sc2bench run --config FILE runs this; key=value behind it changes it.")
        print(written(config), end="")
        return
    from sc2bench.runs.experiment import Experiment
    from sc2bench.runs.run import run_experiments

    with interruptible():
        paths = run_experiments([Experiment(config)], force=force, retrain=retrain, quiet=quiet)
    for path in paths if processes.is_main() else []:
        print(path)


@app.command(
    "import-checkpoint",
    epilog=examples(
        "sc2bench import-checkpoint student.pt task=ilsvrc2012 method=entropic_student rate=0.16",
        "sc2bench run task=ilsvrc2012 method=entropic_student rate=0.16",
    ),
)
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
        config: WholeConfig = None,
        print_config: PrintConfig = False,
        debug: Annotated[bool, typer.Option("--debug", help="show tracebacks of errors")] = False,
    ) -> None:
        chosen = [*([f"task={default}"] if config is None else []), *(overrides or [])]
        options: dict[str, Any] = {
            "whole": config,
            "print_only": print_config,
            "force": force,
            "retrain": retrain,
            "quiet": quiet,
        }
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
