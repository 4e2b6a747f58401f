"""What a configuration can name."""

from typing import Annotated

import typer

from sc2bench.cli.application import app
from sc2bench.cli.common import ConfigDirs, Plugins, examples
from sc2bench.core.errors import ConfigError, nearest

# Groups of files that overrides choose from.
_GROUPS = ("task", "method", "recipe")


@app.command("list", epilog=examples("sc2bench list", "sc2bench list recipe=", "sc2bench list 'image codec'"))
def list_names(
    kind: Annotated[str | None, typer.Argument(help="for instance method; without it, all kinds")] = None,
    plugin: Plugins = None,
    config_dir: ConfigDirs = None,
) -> None:
    """List what a configuration can name: files for task=, method= and recipe=; codecs, teachers, data sets, ..."""
    from sc2bench.config import config_files
    from sc2bench.core import registry

    registry.load_plugins(plugin or [])
    known = {f"{group}=": sorted(config_files(group, config_dir or [])) for group in _GROUPS}
    known |= {each.kind: each.names() for each in vars(registry).values() if isinstance(each, registry.Registry)}
    if kind is not None and kind not in known:
        raise ConfigError(f"unknown kind '{kind}'; {nearest(kind, known)}")
    for name, entries in known.items():
        if kind in (None, name):
            print(f"{name}: {', '.join(entries)}")
