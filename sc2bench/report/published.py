"""Published rate-quality points, to be drawn behind measured ones."""

from collections.abc import Collection
from importlib.resources import files

import pandas as pd

from sc2bench.report.figures.style import identity

# The package's own table. 1 KB of the sources is 1024 bytes: the exact points of Duan and Zhu (11.1252 KB at 1.81635
# bits per pixel of 224 x 224) and the size analyzer of the published sc2bench 0.1.1 agree on it.
POINTS = "published_points.csv"
_SPLIT = "test"


def published_points(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The published points that may be compared with the given records.

    A point agrees with records of the same task and data set, measured on the split "test" (which for data sets
    without public test labels is the published validation set).

    Args:
        records: measured points.
        metric: the column of the quality.

    Returns:
        A row a point: `method`, `codec`, `prior`, `teacher` as in records, `curve` (a label), `bytes_mean`, the
        metric's column in percent, `source` and `how_obtained`. Empty if nothing agrees.
    """
    with files("sc2bench.report").joinpath(POINTS).open(encoding="utf-8") as file:
        points = pd.read_csv(file)
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
