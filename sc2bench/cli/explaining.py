"""What the keys of a configuration mean."""

from typing import Annotated

import typer

from sc2bench.cli.application import app
from sc2bench.cli.common import ConfigDirs, Plugins, examples


@app.command(
    "explain",
    epilog=examples(
        "sc2bench explain",
        "sc2bench explain stage1.losses",
        "sc2bench explain method.entropic_student",
        "sc2bench explain --plugin mine.py method.mine",
    ),
)
def explain_key(
    key: Annotated[
        str | None, typer.Argument(help="such as evaluation.samples; without it, an overview", show_default=False)
    ] = None,
    plugin: Plugins = None,
    config_dir: ConfigDirs = None,
) -> None:
    """Explain a key of a configuration: its type, its default, what it means, what can be chosen."""
    from sc2bench.config.explain import explain
    from sc2bench.core.registry import load_plugins

    load_plugins(plugin or [])
    print(explain(key, config_dir or []))
