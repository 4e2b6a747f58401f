"""Everything that is written about the records of a suite.

    results/<suite>/
        table.md                  all tables, and the points of each curve
        tables/<name>.csv, .tex   the same tables, with all digits and for a paper (booktabs)
        <figure>.png, .pdf        rate and quality, as the suite names them; rate_accuracy if it names none
        cost_accuracy.png, .pdf        the device's cost and quality, of the main figure's curves, if they have a cost
        rate_cost_accuracy.png, .pdf   all three, likewise
        link_latency.png, .pdf         bandwidth and end-to-end latency, of the same curves, if single images were timed
        explorer.html             all points, to look around in; only on demand
        <task>/<method>/*.json    the records

A suite of several tasks or data sets has all this, but for the records, in a folder for each of them (see `groups`).
The tables are `curves`, `bjontegaard` and `equal_quality` (if there is an anchor), `budget_bytes`, `budget_joint`,
`rate_parts`, `link_latency`, `link_fastest` and `link_crossovers` (if single images were timed) and `points`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from sc2bench.core.errors import DataError, nearest
from sc2bench.core.files import write_text
from sc2bench.measures import COSTS
from sc2bench.report.analysis.points import points_of
from sc2bench.report.document import document
from sc2bench.report.figures.costs import cost_quality_figure, rate_cost_quality_figure
from sc2bench.report.figures.curves import rate_quality_figure
from sc2bench.report.figures.layout import write_figure
from sc2bench.report.figures.style import Wish, first_records, identity, looks
from sc2bench.report.link.figure import link_figure
from sc2bench.report.link.latency import has_times
from sc2bench.report.link.tables import link_tables
from sc2bench.report.page.explorer import explorer_page
from sc2bench.report.published import points_for_figure
from sc2bench.report.tables.budgets import budget_table, byte_budgets, cost_budgets, joint_budget_table
from sc2bench.report.tables.points import curves, delta_table, equal_quality_table, points_table, summary_table
from sc2bench.report.tables.rate_parts import rate_parts_table
from sc2bench.report.tables.table import Table

FIGURE = "rate_accuracy"
COST = "device_macs"


def write_report(
    records: pd.DataFrame,
    folder: Path,
    *,
    title: str,
    metric: str,
    anchor: str | None,
    figures: Mapping[str, Sequence[str]] | None = None,
    published: pd.DataFrame | None = None,
    cost: str = COST,
    budgets: Sequence[float] = (),
    device_budgets: Sequence[float] = (),
    html: bool = False,
    label: str | None = None,
    wishes: Mapping[str, Wish] | None = None,
    quality: float | None = None,
) -> list[Path]:
    """Writes the tables (Markdown, CSV, LaTeX) and the figures (PNG, PDF) of a set of records.

    Args:
        records: with the column `curve`, which labels them.
        folder: where the files go.
        title: heads the Markdown.
        metric: the column of the quality.
        anchor: label of the curve that the others are compared with.
        figures: for each file name the labels of its curves, the main figure first; empty: one with all curves. A
            figure without any measured curve is left out.
        published: points to be drawn behind the measured ones, from `published_points`.
        cost: the column of the device's cost in figures and budgets.
        budgets: bytes a sample; empty: round numbers within the range of the records.
        device_budgets: likewise of `cost`.
        html: also write the page to look around in.
        label: what references to the tables start with; `None`: the folder's name.
        wishes: what the suite asks for the looks of its curves, by label.
        quality: at which latencies are compared, in percent; `None`: as `link.target_quality` has it.

    Returns:
        The paths of the files.

    Raises:
        DataError: no records, none with this metric, or no such cost.
        OutputError: a file can't be written.
    """
    if records.empty or metric not in records:
        raise DataError(f"there are no records with the metric '{metric}' to report; run the suite first")
    if cost not in COSTS or cost not in records:
        raise DataError(f"the records have no device cost '{cost}'; {nearest(cost, set(COSTS) & set(records))}")
    if published is not None and published.empty:
        published = None
    _require_quality(records, metric)
    measured, records = records, points_of(records)
    groups = curves(records)
    tables, notes = _tables(records, metric, anchor, cost, budgets, device_budgets) if groups else ([], [])
    linked = link_tables(records, metric, quality) if has_times(records, metric) else []
    # The crossovers of all pairs are, like the points, too many for the document's common part.
    tables, apart = [*tables, *linked[:-1]], [*linked[-1:], points_table(records, metric)]
    written = [folder / "table.md"]
    write_text(written[0], document(records, title, metric, tables, notes, published))
    for table in [*tables, *apart]:
        written += table.write(folder / "tables", f"tab:{label or folder.name}-{table.name.replace('_', '-')}")
    plan = {name: [label for label in labels if label in groups] for name, labels in (figures or {}).items()}
    plan = plan or {FIGURE: list(groups)}
    main = next(iter(plan))
    styles = looks(first_records(groups), plan.values(), wishes)
    for name, shown in plan.items():
        if shown:
            behind = None if published is None else _behind(published, records, shown, main=name == main)
            written += write_figure(rate_quality_figure(records, metric, shown, behind, styles), folder / name)
    if plan[main]:
        for name, draw in (("cost_accuracy", cost_quality_figure), ("rate_cost_accuracy", rate_cost_quality_figure)):
            figure = draw(records, metric, cost, plan[main], styles)
            written += [] if figure is None else write_figure(figure, folder / name)
        if has_times(records, metric):
            written += write_figure(link_figure(records, metric, plan[main], styles, quality), folder / "link_latency")
    if html:
        page = folder / "explorer.html"
        write_text(page, explorer_page(measured, title, metric, wishes))
        written.append(page)
    return written


def _require_quality(records: pd.DataFrame, metric: str) -> None:
    without = records[records[metric].isna()]
    if len(without):
        place = f"record {without['path'].iloc[0]}" if "path" in without else "a record"
        raise DataError(f"{place} has no quality '{metric}', which its curve is compared by; measure the point again")


def _tables(
    records: pd.DataFrame,
    metric: str,
    anchor: str | None,
    cost: str,
    budgets: Sequence[float],
    device_budgets: Sequence[float],
) -> tuple[list[Table], list[str]]:
    """The tables about several curves, and what they could not compare."""
    tables = [summary_table(records, metric)]
    notes: list[str] = []
    groups = curves(records)
    if anchor in groups and len(groups) > 1:
        deltas, notes = delta_table(records, metric, anchor)
        tables += [deltas, equal_quality_table(records, metric, anchor)]
    budgets = sorted(budgets) or byte_budgets(records)
    tables.append(budget_table(records, metric, budgets))
    tables.append(
        joint_budget_table(records, metric, cost, budgets, sorted(device_budgets) or cost_budgets(records, cost))
    )
    return [*tables, rate_parts_table(records)], notes


def _behind(published: pd.DataFrame, records: pd.DataFrame, shown: Sequence[str], *, main: bool) -> pd.DataFrame | None:
    names = {label: identity(first) for label, first in first_records(curves(records)).items()}
    points = points_for_figure(published, {names[label] for label in shown}, set(names.values()), main=main)
    return None if points.empty else points
