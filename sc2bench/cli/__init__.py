"""The command line. PyTorch is imported inside the commands, so that `--help` answers at once."""

import sys

from sc2bench.cli import experiments, exporting, names, suites  # noqa: F401 - they register their commands
from sc2bench.cli.application import app
from sc2bench.cli.common import guarded, prepare
from sc2bench.cli.experiments import benchmark

__all__ = ["app", "benchmark", "guarded", "main"]


def main() -> None:
    """The entry point of the console script."""
    prepare()
    debug = "--debug" in sys.argv[1:]
    sys.exit(guarded(lambda: app(standalone_mode=True), debug))
