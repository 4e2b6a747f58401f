"""What the commands share: their options, what they start from, and how errors end them."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from sc2bench.cli.streams import finish_output, say_error, take_any_text
from sc2bench.core.errors import ConfigError, DataError, Sc2benchError, nearest
from sc2bench.core.files import at_home
from sc2bench.core.home import ensure_home
from sc2bench.core.signals import Stopped, end_in_order, interruption

# Shells say so of a program that a signal ended.
_SIGNALLED = 128
INTERRUPTED = _SIGNALLED + 2

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="key=value, such as method=input_codec or stage1.epochs=2; `sc2bench explain` says which there are"
    ),
]


def paths(value: Any) -> Any:
    """The callback of options and arguments that are paths: spells out a leading `~`, as for those of overrides."""
    if isinstance(value, list):
        return [paths(each) for each in value]
    return value if value is None else type(value)(at_home(str(value)))


SuiteName = Annotated[str, typer.Argument(help="a suite of configs/suite/, or the path of a YAML file", callback=paths)]
ConfigDirs = Annotated[
    list[str] | None, typer.Option("--config-dir", help="a further folder laid out like configs/", callback=paths)
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="a Python file that registers methods, codecs, ... of your own", callback=paths),
]
WholeConfig = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="a whole configuration, as --print-config prints it, in place of the files of task=, method= and recipe=",
        callback=paths,
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option("--print-config", help="print the whole configuration as YAML, which --config reads; run nothing"),
]
Force = Annotated[bool, typer.Option("--force", help="measure again where a record exists")]
Retrain = Annotated[bool, typer.Option("--retrain", help="train and measure again where there are weights")]
Quiet = Annotated[bool, typer.Option("--quiet", help="show no progress")]


def examples(*lines: str) -> str:
    """What a command's help ends with: a line each."""
    return "\n\n".join(["Examples:", *lines])


class Interrupted(Sc2benchError):
    """The user pressed Ctrl-C, or another signal asked the program to end.

    Attributes:
        exit_code: what the program ends with.
    """

    def __init__(self, by: KeyboardInterrupt):
        stopped = isinstance(by, Stopped)
        super().__init__(
            f"{f'ended by {by}' if stopped else 'interrupted'}; the same command goes on where this one stopped"
        )
        self.exit_code = _SIGNALLED + by.number if isinstance(by, Stopped) else INTERRUPTED


def prepare() -> None:
    """What comes before anything else in a program of ours: signals, streams, and a home folder for libraries."""
    # The scheduler of several processes ends them itself, and at once; only the first holds what others wait for.
    if os.environ.get("RANK", "0") == "0":
        end_in_order()
    take_any_text()
    ensure_home()


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns Ctrl-C into an error of ours: Typer would end the program without a word."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(error) from None


def guarded(command: Callable[[], Any], debug: bool) -> int:
    """Runs a command; turns what a user can mend into one sentence. Returns the exit code."""
    try:
        try:
            command()
        except KeyboardInterrupt as error:
            raise Interrupted(error) from None
        except SystemExit as end:
            # Typer's way to return, also from an interruption while it reads arguments or ends.
            if end.code == INTERRUPTED:
                raise Interrupted(interruption()) from None
            if not end.code and (failed := finish_output()):
                return failed
            raise
    except (Sc2benchError, OSError, MemoryError) as error:
        if debug:
            raise
        # What was said before still wants out; that it can't may be the error itself.
        failed = finish_output()
        if failed and isinstance(error, OSError) and error.filename is None:
            return failed
        say_error(f"error: {_sentence(error)}")
        return error.exit_code if isinstance(error, Interrupted) else 1
    return finish_output()


def _sentence(error: Exception) -> str:
    """An error's sentence, also of such that no place has words of its own for."""
    if isinstance(error, OSError):
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        reason = error.strerror or str(error) or type(error).__name__
        return f"the operating system refuses: {place}{reason}; --debug shows where"
    if isinstance(error, MemoryError):
        return "there is not enough memory; free some, or choose smaller batches. --debug shows where"
    return str(error)


def open_suite(name: str, overrides: list[str] | None, config_dirs: list[str] | None, plugins: list[str] | None) -> Any:
    """Loads plugins, then the suite."""
    from sc2bench.core.registry import load_plugins
    from sc2bench.runs.suite import Suite

    load_plugins(plugins or [])
    return Suite.load(name, overrides or [], config_dirs or [])


def write_suite_report(
    suite: Any,
    *,
    published: bool = False,
    table: Path | None = None,
    anchor: str | None = None,
    **options: Any,
) -> None:
    """Writes the report of a suite, one for each of its tasks and data sets, and says what is missing in it.

    Args:
        suite: whose records are read.
        published: also draw published points.
        table: a CSV file of them, instead of the package's own.
        anchor: label of the curve that the others are compared with, instead of the suite's own.
        **options: further ones of `write_report`.

    Raises:
        ConfigError: the suite has no curve `anchor`.
    """
    if anchor is not None and anchor not in suite.experiments:
        raise ConfigError(f"unknown anchor '{anchor}'; {nearest(anchor, suite.experiments)}")
    records = suite.records()
    missing = len(suite.all_experiments()) - len(records)
    if missing:
        print(f"{missing} of {len(suite.all_experiments())} points are not measured yet", file=sys.stderr)
    if anchor is not None and anchor not in set(records["curve"]):
        print(f"the anchor '{anchor}' is not measured yet; nothing is compared with it", file=sys.stderr)
    groups = [group for group in suite.groups if not group.records(records).empty]
    if not groups:
        raise DataError(f"there are no records of suite '{suite.config.name}' to report; run the suite first")
    for group in groups:
        for path in _write_group(suite, group, group.records(records), published, table, anchor, **options):
            print(path)


def _write_group(
    suite: Any,
    group: Any,
    records: Any,
    published: bool,
    table: Path | None,
    anchor: str | None,
    *,
    html: bool = False,
    **options: Any,
) -> Any:
    """Writes the report of a group's records; returns the paths of its files."""
    from sc2bench.report import Wish, published_points, write_joint_report, write_report

    config = suite.config
    folder, title, metrics = group.folder(suite.folder), group.title(config.name), group.metrics(config.metric)
    label = f"{suite.folder.name}-{group.name}" if group.name else None
    wishes = {curve.label: Wish(curve.color, curve.marker) for curve in config.curves}
    points = published_points(records, metrics[0], table) if published else None
    if points is not None and (points.empty or len(metrics) > 1):
        where = f"{', '.join(metrics)} for {group.task} on {group.dataset}"
        print(f"there are no published points of {where}; no overlay is drawn", file=sys.stderr)
    if len(metrics) > 1:
        return write_joint_report(records, folder, title=title, metrics=metrics, html=html, label=label, wishes=wishes)
    return write_report(
        records,
        folder,
        title=title,
        metric=metrics[0],
        anchor=anchor or config.anchor,
        figures=group.figures(config.figures),
        published=points,
        html=html,
        label=label,
        wishes=wishes,
        **options,
    )
