"""Everything that is written about the records of a suite."""

from functools import partial
from pathlib import Path

import pandas as pd

from sc2bench.errors import DataError
from sc2bench.files import write_atomic, write_text
from sc2bench.report.figures import rate_quality_figure
from sc2bench.report.style import paper_style
from sc2bench.report.tables import curves, equal_quality_table, points_table, summary_table, to_markdown

FIGURE = "rate_accuracy"
_FORMATS = {
    "Value": "g",
    "top1 [%]": ".2f",
    "top5 [%]": ".2f",
    "Device params": ",.0f",
    "Device MACs": ",.0f",
    "Encode [ms]": ".3f",
    "Decode [ms]": ".3f",
    "Points": "d",
}


def write_report(records: pd.DataFrame, folder: Path, *, title: str, metric: str, anchor: str | None) -> list[Path]:
    """Writes the tables (Markdown, CSV) and the figure (PNG, PDF) of a set of records.

    Args:
        records: with the column `curve`, which labels them.
        folder: where the files go.
        title: heads the Markdown.
        metric: the column of the quality.
        anchor: label of the curve that the others are compared with.

    Returns:
        The paths of the files.

    Raises:
        DataError: no records, or none with this metric.
        OutputError: a file can't be written.
    """
    if records.empty or metric not in records:
        raise DataError(f"there are no records with the metric '{metric}' to report; run the suite first")
    points = points_table(records, metric)
    parts = [f"# {title}\n", "Measured points; bytes are means over the samples.\n", to_markdown(points, _FORMATS)]
    groups = curves(records)
    if groups:
        parts += ["\n## Curves\n", to_markdown(summary_table(records, metric, anchor), _FORMATS)]
    if anchor in groups:
        parts.append(f"\n## Bytes for the quality of {anchor}\n\nInterpolated on each curve's Pareto front.\n")
        parts.append(to_markdown(equal_quality_table(records, metric, anchor), _FORMATS | {f"{anchor} quality": "g"}))
    markdown, csv = folder / "table.md", folder / "table.csv"
    write_text(markdown, "\n".join(part.rstrip("\n") + "\n" for part in parts))
    write_text(csv, points.to_csv(index=False))
    figure = rate_quality_figure(records, metric)
    written = [markdown, csv]
    for suffix in ("png", "pdf"):
        path = folder / f"{FIGURE}.{suffix}"
        with paper_style():
            write_atomic(path, partial(figure.savefig, metadata=_dateless(suffix)))
        written.append(path)
    return written


def _dateless(suffix: str) -> dict[str, None]:
    """Metadata that makes equal figures equal files."""
    return {"CreationDate": None} if suffix == "pdf" else {"Software": None}
