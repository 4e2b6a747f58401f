"""Published rate-quality points, to be drawn behind measured ones: the package's own table, and those of users."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import pandas as pd

from sc2bench.core.errors import DataError, nearest
from sc2bench.measures import METRICS, NUMBER, POSITIVE, TEXT, Kind
from sc2bench.report.figures.style import identity

# The package's own table. 1 KB of the sources is 1024 bytes: the exact points of Duan and Zhu (11.1252 KB at 1.81635
# bits per pixel of 224 x 224) and the size analyzer of the published sc2bench 0.1.1 agree on it.
POINTS = "published_points.csv"
_SPLIT = "test"
# What its columns hold; a row is a point. `value` is that of the metric, which those of the package bound.
COLUMNS: dict[str, Kind] = {
    "task": TEXT,
    "dataset": TEXT,
    "metric": TEXT,
    "method": TEXT,
    "codec": Kind("a printable text, or nothing", lambda v: not v or TEXT.fits(v)),
    "prior": Kind("a printable text, or nothing", lambda v: not v or TEXT.fits(v)),
    "label": TEXT,
    "teacher": TEXT,
    "bytes": POSITIVE,
    "value": NUMBER,
    "source": TEXT,
    "how_obtained": TEXT,
}
_NUMBERS = ("bytes", "value")


def read_points(table: Path | None = None) -> pd.DataFrame:
    """Reads a table of published points.

    Args:
        table: a CSV file with the columns `COLUMNS`, in any order; `None`: the package's own.

    Returns:
        A row a point, with these columns; missing values where a codec or a prior is left empty.

    Raises:
        DataError: a file that can't be read, has other columns, no point, or a value that its column does not take.
    """
    text = files("sc2bench.report").joinpath(POINTS).read_text(encoding="utf-8") if table is None else _text(table)
    points = pd.DataFrame(_rows(table or POINTS, text), columns=list(COLUMNS))
    if (points["bytes"] % 1 == 0).all():
        points["bytes"] = points["bytes"].astype(int)
    return points


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise DataError(f"the table of published points {path} can't be read: {reason}; give a CSV file") from error


def _rows(table: str | Path, text: str) -> list[dict[str, object]]:
    """The points of a table; errors name it."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(lines, [])
        problem = next(_wrong_columns(columns), None)
        rows = [] if problem else [_row(columns, cells, number) for number, cells in enumerate(lines, 1) if cells]
    except (csv.Error, ValueError) as error:
        problem = str(error)
    if problem is None and not rows:
        problem = "it has no point"
    if problem is not None:
        raise DataError(
            f"{table} is no table of published points: {problem}; the columns are {', '.join(COLUMNS)}, a row a point"
        )
    return rows


def _wrong_columns(columns: Sequence[str]) -> Iterator[str]:
    for name in columns:
        if name not in COLUMNS:
            yield f"unknown column {name!a}, {nearest(name, COLUMNS)}"
        if columns.count(name) > 1:
            yield f"column '{name}' stands there {columns.count(name)} times"
    yield from (f"column '{name}' is missing" for name in COLUMNS if name not in columns)


def _row(columns: Sequence[str], cells: Sequence[str], number: int) -> dict[str, object]:
    """One point; raises `ValueError` that says what is wrong with it."""
    if len(cells) != len(columns):
        raise ValueError(f"row {number} has {len(cells)} cells instead of {len(columns)}")
    row: dict[str, object] = {}
    for name, cell in zip(columns, (cell.strip() for cell in cells), strict=True):
        kind = COLUMNS[name]
        if name == "value":
            metric = dict(zip(columns, cells, strict=True))["metric"].strip()
            kind = METRICS[metric].kind if metric in METRICS else kind
        value: object = _number(cell) if name in _NUMBERS else cell
        if not kind.fits(value):
            raise ValueError(f"{name} in row {number} is {cell!a} instead of {kind.what}")
        row[name] = value or None if name in ("codec", "prior") else value
    return row


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def published_points(records: pd.DataFrame, metric: str, table: Path | None = None) -> pd.DataFrame:
    """The published points that may be compared with the given records.

    A point agrees with records of the same task and data set, measured on the split "test" (which for data sets
    without public test labels is the published validation set).

    Args:
        records: measured points.
        metric: the column of the quality.
        table: of a user's own points, see `read_points`; `None`: the package's.

    Returns:
        A row a point: `method`, `codec`, `prior`, `teacher` as in records, `curve` (a label), `bytes_mean`, the
        metric's column in percent, `source` and `how_obtained`. Empty if nothing agrees.

    Raises:
        DataError: a table that is none.
    """
    points = read_points(table)
    tested = records[records["split"] == _SPLIT]
    measured = set(zip(tested["task"], tested["dataset"], strict=True))
    agree = [pair in measured for pair in zip(points["task"], points["dataset"], strict=True)]
    points = points[pd.Series(agree, index=points.index, dtype=bool) & (points["metric"] == metric)]
    return points.rename(columns={"label": "curve", "bytes": "bytes_mean", "value": metric}).reset_index(drop=True)


def points_for_figure(
    points: pd.DataFrame, shown: Collection[tuple[str, str]], measured: Collection[tuple[str, str]], *, main: bool
) -> pd.DataFrame:
    """The published points that belong into one figure of a suite.

    Args:
        points: from `published_points`.
        shown: identities of the curves of the figure.
        measured: identities of all curves of the suite.
        main: the figure also takes what the suite does not measure.
    """
    names = [identity(point) for point in points.to_dict("records")]
    kept = [name in shown or (main and name not in measured) for name in names]
    return points[pd.Series(kept, index=points.index, dtype=bool)]


def citations(points: pd.DataFrame) -> list[str]:
    """Whom the points are from: the sources without the place in them, each once."""
    return list(dict.fromkeys(source.split(" (")[0] for source in points["source"]))
