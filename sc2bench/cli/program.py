"""All commands together, and the program that they are."""

import sys

from sc2bench.cli import experiments, explaining, exporting, names, suites  # noqa: F401 - they register their commands
from sc2bench.cli.application import app
from sc2bench.cli.common import guarded, prepare
from sc2bench.cli.experiments import benchmark
from sc2bench.core.signals import end_at_once

__all__ = ["app", "benchmark", "guarded", "prepare", "run_program"]


def run_program() -> None:
    """Runs the command that the arguments name, and ends the process."""
    prepare()
    debug = "--debug" in sys.argv[1:]
    try:
        code = guarded(lambda: app(standalone_mode=True), debug)
    finally:
        # What is left is Python's own end, which can't be told to end in order.
        end_at_once()
    sys.exit(code)
