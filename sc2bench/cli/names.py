"""What a configuration can name."""

from typing import Annotated

import typer

from sc2bench.cli.application import app
from sc2bench.cli.common import Plugins
from sc2bench.errors import ConfigError, nearest


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
