"""How a figure is laid out: its width, the legend above its axes, and the words below."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from sc2bench.files import write_atomic
from sc2bench.report.style import COLUMN_INCHES, TEXT_INCHES, paper_style

TYPE_SIZE, SMALL_TYPE_SIZE = 6.5, 6.0
# What the labels of the y axis take of a panel's width.
LABELS_POINTS = 36
HOLLOW: dict[str, Any] = {"fillstyle": "none", "markeredgewidth": 0.6}
REFERENCE: dict[str, Any] = {"color": "#444444", "linestyle": (0, (6, 2)), "linewidth": 0.8, "zorder": 1}
# Above this number of curves, or if only fewer have a legend of at least two columns, a figure is as wide as the text.
_COLUMN_CURVES = 9
_ONE_COLUMN_LEGEND = 5
_AXES_INCHES = 2.35
_CAPTION_CHARACTERS_PER_INCH = 22


def open_figure(handles: Sequence[Line2D], curves: int, *, wide: bool = False) -> tuple[Figure, bool]:
    """A figure with a legend and no axes yet; and whether it is as wide as the text of a paper.

    Args:
        handles: of the legend.
        curves: how many there are.
        wide: it is to be as wide as the text, whatever the legend.
    """
    figure = Figure(figsize=(COLUMN_INCHES, _AXES_INCHES), layout="constrained")
    legend, columns = _add_legend(figure, handles)
    wide = wide or curves > _COLUMN_CURVES or (columns == 1 and len(handles) > _ONE_COLUMN_LEGEND)
    if wide:
        legend.remove()
        figure.set_figwidth(TEXT_INCHES)
        legend, _ = _add_legend(figure, handles)
    figure.set_figheight(_AXES_INCHES + legend.get_window_extent().height / figure.dpi)
    return figure, wide


def add_caption(figure: Figure, text: str) -> None:
    """Says something below the axes."""
    figure.supxlabel(fill_text(figure, text), fontsize=SMALL_TYPE_SIZE, color="#444444")


def fill_text(figure: Figure, text: str) -> str:
    """Breaks small type into lines that the figure holds."""
    return fill(text, int(figure.get_figwidth() * _CAPTION_CHARACTERS_PER_INCH))


def write_figure(figure: Figure, stem: Path) -> list[Path]:
    """Writes a PNG and a PDF with the given name; returns their paths, or raises `OutputError`."""
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "pdf")]
    for path in paths:
        # Without a date, equal figures are equal files.
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
        with paper_style():
            write_atomic(path, partial(figure.savefig, metadata=metadata))
    return paths


def _add_legend(figure: Figure, handles: Sequence[Line2D]) -> tuple[Legend, int]:
    """Above the axes, because curves of several methods leave no corner free; as many columns as fit."""
    for columns in range(min(6, len(handles)), 0, -1):
        legend = figure.legend(handles=handles, loc="outside upper center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    return legend, columns
