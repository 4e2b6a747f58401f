"""The application that the commands register with."""

import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sc2bench.cli.common import interruptible

_HELP = """Supervised compression for split computing: train, measure and compare split models.

Experiments are chosen by overrides of the form key=value, for instance:

    sc2bench run task=fashion_mnist method=entropic_student rate=0.16
"""


class _Commands(TyperGroup):
    """Commands that can be interrupted at any point, also while they import."""

    def invoke(self, ctx: Any) -> Any:
        with interruptible():
            return super().invoke(ctx)


app = typer.Typer(cls=_Commands, help=_HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
suite_app = typer.Typer(help="Measure and draw many curves together.", no_args_is_help=True)
app.add_typer(suite_app, name="suite")


@app.callback()
def _common(
    context: typer.Context, debug: Annotated[bool, typer.Option("--debug", help="show tracebacks of errors")] = False
) -> None:
    context.ensure_object(dict)["debug"] = debug
    # CompressAI scripts a function when it is imported; PyTorch deprecates that, and a user can't help it.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")
    # Ask Accelerate for nothing but its defaults where the machine is a single processor.
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
