"""The command line. PyTorch is imported inside the commands, so that `--help` answers at once."""

import sys
from typing import Any

_EXIT_INTERRUPTED = 130


def main() -> None:
    """The entry point of the console script."""
    try:
        from sc2bench.cli.program import run_program
    except KeyboardInterrupt:
        # Nothing has begun yet.
        sys.exit(_EXIT_INTERRUPTED)
    run_program()


def __getattr__(name: str) -> Any:
    # Imported when it is used, so that Ctrl-C finds `main` under way.
    if name not in ("app", "benchmark", "guarded", "prepare"):
        raise AttributeError(f"module 'sc2bench.cli' has no attribute '{name}'")
    from sc2bench.cli import program

    return getattr(program, name)
