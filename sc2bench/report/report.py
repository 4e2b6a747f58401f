"""Everything that is written about the records of a suite."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from sc2bench.errors import DataError
from sc2bench.files import write_atomic, write_text
from sc2bench.report.document import document
from sc2bench.report.figures import rate_quality_figure
from sc2bench.report.published import points_for_figure
from sc2bench.report.style import first_records, identity, paper_style
from sc2bench.report.tables import curves, points_table

FIGURE = "rate_accuracy"


def write_report(
    records: pd.DataFrame,
    folder: Path,
    *,
    title: str,
    metric: str,
    anchor: str | None,
    figures: Mapping[str, Sequence[str]] | None = None,
    published: pd.DataFrame | None = None,
) -> list[Path]:
    """Writes the tables (Markdown, CSV) and the figures (PNG, PDF) of a set of records.

    Args:
        records: with the column `curve`, which labels them.
        folder: where the files go.
        title: heads the Markdown.
        metric: the column of the quality.
        anchor: label of the curve that the others are compared with.
        figures: for each file name the labels of its curves, the main figure first; empty: one with all curves. A
            figure without any measured curve is left out.
        published: points to be drawn behind the measured ones, from `published_points`.

    Returns:
        The paths of the files.

    Raises:
        DataError: no records, or none with this metric.
        OutputError: a file can't be written.
    """
    if records.empty or metric not in records:
        raise DataError(f"there are no records with the metric '{metric}' to report; run the suite first")
    if published is not None and published.empty:
        published = None
    markdown, csv = folder / "table.md", folder / "table.csv"
    write_text(markdown, document(records, title, metric, anchor, published))
    write_text(csv, points_table(records, metric).to_csv(index=False))
    written = [markdown, csv]
    groups = curves(records)
    plan = {name: [label for label in labels if label in groups] for name, labels in (figures or {}).items()}
    for name, shown in (plan or {FIGURE: list(groups)}).items():
        if shown:
            behind = (
                None if published is None else _behind(published, records, shown, main=name == next(iter(plan), name))
            )
            written += _write_figure(rate_quality_figure(records, metric, shown, behind), folder / name)
    return written


def _behind(published: pd.DataFrame, records: pd.DataFrame, shown: Sequence[str], *, main: bool) -> pd.DataFrame | None:
    names = {label: identity(first) for label, first in first_records(curves(records)).items()}
    points = points_for_figure(published, {names[label] for label in shown}, set(names.values()), main=main)
    return None if points.empty else points


def _write_figure(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "pdf")]
    for path in paths:
        # Without a date, equal figures are equal files.
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
        with paper_style():
            write_atomic(path, partial(figure.savefig, metadata=metadata))
    return paths
