"""The application that the commands register with."""

import platform
import warnings
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import sc2bench
from sc2bench.cli.common import examples, interruptible

_HELP = """Supervised compression for split computing: train, measure and compare split models.

A model is split between a weak device and a server, with a few bytes between them. An experiment trains one such \
split, if it learns, and measures one point: quality, bytes, cost, latency. A suite is many of them, drawn as curves. \
Experiments are chosen by overrides of the form key=value.
"""
_EXAMPLES = (
    "sc2bench run task=fashion_mnist method=entropic_student rate=0.16",
    "sc2bench suite run quickstart",
    "sc2bench list method",
    "sc2bench explain method.entropic_student",
)

_ORDER = ("run", "suite", "report", "list", "explain", "validate", "pictures", "export", "import-checkpoint")
# What results depend on beside our own code.
_BESIDE = ("torch", "torchvision", "compressai", "timm", "numpy")


class _Commands(TyperGroup):
    """Commands that can be interrupted at any point, also while they import."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the order of first use, others behind them."""
        return sorted(super().list_commands(ctx), key=lambda name: (*_ORDER, name).index(name))

    def invoke(self, ctx: Any) -> Any:
        with interruptible():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help=_HELP,
    epilog=examples(*_EXAMPLES),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
suite_app = typer.Typer(
    help="Measure and draw many curves together.",
    epilog=examples("sc2bench suite list", "sc2bench suite run quickstart", "sc2bench suite status quickstart"),
    no_args_is_help=True,
)
app.add_typer(suite_app, name="suite")


def _show_version(wanted: bool) -> None:
    """Prints our version and those of what results depend on, without importing any of it, and ends."""
    if not wanted:
        return
    others = [f"Python {platform.python_version()}"]
    for name in _BESIDE:
        with suppress(PackageNotFoundError):
            others.append(f"{name} {version(name)}")
    print(f"sc2bench {sc2bench.__version__} ({', '.join(others)})")
    raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks of errors")] = False,
    shown: Annotated[
        bool, typer.Option("--version", help="print the version and end", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    context.ensure_object(dict)["debug"] = debug
    # CompressAI scripts a function when it is imported; PyTorch deprecates that, and a user can't help it.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")
    # Ask Accelerate for nothing but its defaults where the machine is a single processor.
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
