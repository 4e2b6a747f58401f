"""How a figure is laid out: its width, the legend above its axes, and the words below."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from sc2bench.core.files import write_atomic
from sc2bench.core.text import one_line
from sc2bench.report.figures.style import COLUMN_INCHES, TEXT_INCHES, paper_style

TYPE_SIZE, SMALL_TYPE_SIZE = 6.5, 6.0
# What the labels of the y axis take of a panel's width.
LABELS_POINTS = 36
HOLLOW: dict[str, Any] = {"fillstyle": "none", "markeredgewidth": 0.6}
_REFERENCE: dict[str, Any] = {"color": "#444444", "linewidth": 0.8, "zorder": 1}
_REFERENCE_DASHES = ((6, 2), (6, 2, 1.5, 2), (2, 2), (10, 3))
# How markers of points that another point of their curve beats are told from the others.
HOLLOW_SENTENCE = "Hollow: another point of the curve is at least as good with no more bytes."
# Above this number of curves, or if only fewer have a legend of at least two columns, a figure is as wide as the text.
_COLUMN_CURVES = 9
_ONE_COLUMN_LEGEND = 5
_AXES_INCHES = 2.35
_CAPTION_CHARACTERS_PER_INCH = 22
_LINE_INCHES = 0.11
# What a legend's entry needs beside its text, and the width of a letter, in parts of the type size.
_HANDLE_EMS, _LETTER_EMS = 4.5, 0.6


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


def reference_style(number: int) -> dict[str, Any]:
    """Of the line of a teacher, the first, second, ... of a figure."""
    return _REFERENCE | {"linestyle": (0, _REFERENCE_DASHES[number % len(_REFERENCE_DASHES)])}


def reference_handles(labels: Iterable[str]) -> list[Line2D]:
    """Entries of the legend for the lines of teachers, in order."""
    return [Line2D([], [], label=label, **reference_style(number)) for number, label in enumerate(labels)]


def add_caption(figure: Figure, sentences: Iterable[str]) -> None:
    """Says something below the axes, and makes room for it; nothing is said if there are no sentences."""
    text = fill_text(figure, " ".join(sentences))
    if text:
        figure.supxlabel(text, fontsize=SMALL_TYPE_SIZE, color="#444444")
        figure.set_figheight(figure.get_figheight() + (text.count("\n") + 1) * _LINE_INCHES)


def fill_text(figure: Figure, text: str) -> str:
    """Breaks small type into lines that the figure holds."""
    return fill(one_line(text), int(figure.get_figwidth() * _CAPTION_CHARACTERS_PER_INCH))


def write_figure(figure: Figure, stem: Path) -> list[Path]:
    """Writes a PNG and a PDF with the given name; returns their paths, or raises `OutputError`."""
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "pdf")]
    for path in paths:
        # Without a date, equal figures are equal files.
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
        with paper_style():
            write_atomic(path, partial(figure.savefig, metadata=metadata))
    return paths


def legend_of(figure: Figure, handles: Sequence[Artist], characters: int, **where: Any) -> Legend:
    """A legend with the labels of its handles, whatever they are, in lines of so many characters."""
    # Matplotlib leaves out labels that start with an underscore, so they are set afterwards.
    legend = figure.legend(handles=handles, labels=[""] * len(handles), **where)
    for text, handle in zip(legend.get_texts(), handles, strict=True):
        text.set_text(fill(one_line(handle.get_label()), characters))
    return legend


def _add_legend(figure: Figure, handles: Sequence[Line2D]) -> tuple[Legend, int]:
    """Above the axes, because curves of several methods leave no corner free; as many columns as fit."""
    characters = int((figure.get_figwidth() * 72 / TYPE_SIZE - _HANDLE_EMS) / _LETTER_EMS)
    # Where no curve has the metric there is nothing but a caption.
    handles = handles or [Line2D([], [], linestyle="", label=" ")]
    for columns in range(min(6, len(handles)), 0, -1):
        legend = legend_of(figure, handles, characters, loc="outside upper center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    return legend, columns
