"""The report of records with the qualities of several tasks: one packet serves them all, so bytes count once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase

import pandas as pd
from matplotlib.figure import Figure

from sc2bench.core.errors import DataError
from sc2bench.core.files import write_text
from sc2bench.measures import MAIN_METRICS, metric_measure
from sc2bench.report.analysis.groups import task_name
from sc2bench.report.analysis.points import points_of
from sc2bench.report.analysis.spread import sentences, with_bars
from sc2bench.report.document import document_of
from sc2bench.report.figures.axes import outside_sentences, quality_limits
from sc2bench.report.figures.curves import curve_handles, draw_panel, known_curves, spreads, unknown_sentences
from sc2bench.report.figures.layout import (
    HOLLOW_SENTENCE,
    LABELS_POINTS,
    TYPE_SIZE,
    add_caption,
    open_figure,
    write_figure,
)
from sc2bench.report.figures.style import Wish, first_records, looks, paper_style
from sc2bench.report.page.explorer import explorer_page
from sc2bench.report.report import FIGURE
from sc2bench.report.tables.points import curves
from sc2bench.report.tables.table import Columns, Table

_ALL = 100.0
_LETTERS = ascii_lowercase


def write_joint_report(
    records: pd.DataFrame,
    folder: Path,
    *,
    title: str,
    metrics: Sequence[str],
    html: bool = False,
    label: str | None = None,
    wishes: Mapping[str, Wish] | None = None,
) -> list[Path]:
    """Writes a table (Markdown, CSV, LaTeX) and a figure (PNG, PDF) of points with several qualities each.

    Args:
        records: with the column `curve`, which labels them.
        folder: where the files go.
        title: heads the Markdown.
        metrics: the columns of the qualities; those that no record has are left out.
        html: also write the page to look around in.
        label: what references to the table start with; `None`: the folder's name.
        wishes: what the suite asks for the looks of its curves, by label.

    Returns:
        The paths of the files.

    Raises:
        DataError: no records, or none with these metrics.
        OutputError: a file can't be written.
    """
    metrics = [name for name in metrics if name in records and records[name].notna().any()]
    if not metrics:
        raise DataError("there are no records with qualities of several tasks to report; run the suite first")
    points = points_of(records)
    table = joint_table(points, metrics)
    written = [folder / "table.md"]
    write_text(written[0], document_of(title, points, [table]))
    written += table.write(folder / "tables", f"tab:{label or folder.name}-{table.name}")
    written += write_figure(joint_figure(points, metrics, wishes), folder / FIGURE)
    if html:
        page = folder / "explorer.html"
        write_text(page, explorer_page(records, title, metrics[0], wishes))
        written.append(page)
    return written


def joint_table(records: pd.DataFrame, metrics: Sequence[str]) -> Table:
    """A row a point: its bytes, and a column a quality.

    Args:
        records: points, with the column `curve`.
        metrics: the columns of the qualities.
    """
    chosen = Columns(records)
    chosen.add_points()
    for name in metrics:
        chosen.add_spread(name, metric_measure(name), ".2f")
        chosen.add_interval(name, metric_measure(name))
    caption = "A packet is sent once and serves all tasks. Bytes are means over the samples, with all that is sent."
    return chosen.table("points", "Points", caption)


def joint_figure(records: pd.DataFrame, metrics: Sequence[str], wishes: Mapping[str, Wish] | None = None) -> Figure:
    """Draws each quality against bytes on the wire, in panels side by side that are as wide as the text.

    Args:
        records: with the column `curve`.
        metrics: the columns of the qualities, in percent; a panel each.
        wishes: what the suite asks for the looks of its curves, by label.
    """
    groups = curves(records)
    styles = looks(first_records(groups), [groups], wishes)
    panels = [known_curves(groups, metric, styles) for metric in metrics]
    # A curve may lack some of the qualities.
    named = {curve.label: curve for drawn in panels for curve in drawn}
    remarks = [HOLLOW_SENTENCE] if any(len(curve.beaten()) for drawn in panels for curve in drawn) else []
    with paper_style():
        figure, _ = open_figure(curve_handles(list(named.values()), [], {}), len(groups), wide=True)
        width = figure.get_figwidth() * 72 / len(metrics) - LABELS_POINTS
        for number, axes in enumerate(figure.subplots(1, len(metrics), squeeze=False)[0]):
            drawn = panels[number]
            limits = quality_limits([curve.quality for curve in drawn], [], _ALL, every_curve=True)
            limits = with_bars(limits, [(curve.quality, curve.spread) for curve in drawn])
            draw_panel(axes, drawn, {}, limits, width)
            places = {curve.name: (curve.rate, curve.quality) for curve in drawn}
            remarks += outside_sentences(axes, places, f"({_LETTERS[number]})")
            axes.set_ylabel(metric_measure(metrics[number]).axis)
            axes.set_title(_panel_title(number, metrics[number]), loc="left", fontsize=TYPE_SIZE, pad=3)
        remarks += sentences(spreads([curve for drawn in panels for curve in drawn]))
        add_caption(figure, [*remarks, *unknown_sentences(groups, ["bytes_mean", *metrics])])
        return figure


def _panel_title(number: int, metric: str) -> str:
    tasks = {own: task for task, own in MAIN_METRICS.items()}
    return f"({_LETTERS[number]}) {task_name(tasks.get(metric, metric))}"
