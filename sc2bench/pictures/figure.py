"""The figure: scenes in rows, models in columns, as wide as the text of a paper."""

from collections.abc import Sequence
from itertools import groupby
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sc2bench.pictures.marks import colour_of, draw_marks
from sc2bench.pictures.predictions import LEAST_SCORE, Boxes, Column, Picture
from sc2bench.report.figures.layout import SMALL_TYPE_SIZE, TYPE_SIZE, fill_text, legend_of
from sc2bench.report.figures.style import TEXT_INCHES, paper_style

# Columns side by side, with those that each band of the figure starts with.
_MOST_COLUMNS = 8
_WIDEST = 1.75
# Heights and gaps, in inches.
_GAP, _LINE, _SIZE_LINE, _BAND_GAP, _MARGIN = 0.05, 0.11, 0.12, 0.1, 0.04
_LETTER_EMS = 0.55
# Longer names of classes go over several lines.
_CLASS_CHARACTERS = 80
_CAPTION_COLOUR = "#444444"


def predictions_figure(first: Sequence[Column], columns: Sequence[Column], classes: Sequence[str]) -> Figure:
    """Draws columns of pictures; where they are too many, in several bands below each other.

    Args:
        first: what each band starts with: annotations and teacher.
        columns: the others; those of one curve have one title and stand together.
        classes: names by class index.
    """
    bands = [[*first, *part] for part in _parts(columns, _MOST_COLUMNS - len(first))]
    with paper_style():
        figure = Figure(figsize=(TEXT_INCHES, 1))
        caption = fill_text(figure, _caption([*first, *columns]))
        below = _MARGIN + (caption.count("\n") + 1) * _LINE
        legend = _add_legend(figure, [*first, *columns], classes, below)
        below += legend.get_window_extent().height / figure.dpi + _MARGIN if legend else 0
        width = min((TEXT_INCHES - (max(map(len, bands)) - 1) * _GAP) / max(map(len, bands)), _WIDEST)
        height = below + sum(_band_height(band, width) for band in bands) + (len(bands) - 1) * _BAND_GAP
        figure.set_figheight(height)
        _text(figure, 0, _MARGIN, caption, va="bottom", ha="left", fontsize=SMALL_TYPE_SIZE, color=_CAPTION_COLOUR)
        top = height
        for band in bands:
            _draw_band(figure, band, classes, width, top)
            top -= _band_height(band, width) + _BAND_GAP
        return figure


def _parts(columns: Sequence[Column], most: int) -> list[list[Column]]:
    """Divides columns into as few parts as hold them, of nearly equal length; a curve stays together if it fits."""
    curves = [list(group) for _, group in groupby(columns, key=lambda column: column.title)]
    pieces = [curve[start : start + most] for curve in curves for start in range(0, len(curve), most)]
    fewest = len(_filled(pieces, most))
    return next(parts for size in range(1, most + 1) if len(parts := _filled(pieces, size)) == fewest)


def _filled(pieces: Sequence[list[Column]], size: int) -> list[list[Column]]:
    """Puts pieces into parts of the given size, in order; one that is larger is a part of its own."""
    parts: list[list[Column]] = [[]]
    for piece in pieces:
        if parts[-1] and len(parts[-1]) + len(piece) > size:
            parts.append([])
        parts[-1] = parts[-1] + piece
    return parts


def _headings(band: Sequence[Column], width: float) -> list[tuple[list[str], int, int]]:
    """The lines of each curve's title, its first column, and how many columns it has."""
    found = []
    start = 0
    for title, group in groupby(band, key=lambda column: column.title):
        count = len(list(group))
        characters = int((count * (width + _GAP) - _GAP) * 72 / (_LETTER_EMS * TYPE_SIZE))
        found.append((wrap(title, max(characters, 1)), start, count))
        start += count
    return found


def _head_height(band: Sequence[Column], width: float) -> float:
    return (max(len(lines) for lines, _, _ in _headings(band, width)) + 1) * _LINE + 2 * _MARGIN


def _band_height(band: Sequence[Column], width: float) -> float:
    return _head_height(band, width) + sum(_row_height(picture, width) for picture in band[0].pictures)


def _row_height(picture: Picture, width: float) -> float:
    """Of a scene's picture with the line below it; no picture is higher than a column is wide."""
    height, breadth = picture.image.shape[:2]
    return width * min(height / breadth, 1) + _SIZE_LINE + _GAP


def _draw_band(figure: Figure, band: Sequence[Column], classes: Sequence[str], width: float, top: float) -> None:
    start = (TEXT_INCHES - len(band) * width - (len(band) - 1) * _GAP) / 2
    lefts = [start + number * (width + _GAP) for number in range(len(band))]
    foot = top - _head_height(band, width)
    rule = foot + _LINE + 1.5 * _MARGIN
    for lines, first, count in _headings(band, width):
        left, right = lefts[first], lefts[first + count - 1] + width
        _text(figure, (left + right) / 2, rule + _MARGIN / 2, "\n".join(lines), va="bottom", fontsize=TYPE_SIZE)
        figure.add_artist(
            Line2D([left, right], [rule, rule], color="black", linewidth=0.5, transform=figure.dpi_scale_trans)
        )
    for left, column in zip(lefts, band, strict=True):
        _text(figure, left + width / 2, foot + _MARGIN, column.subtitle, va="bottom", fontsize=SMALL_TYPE_SIZE)
        edge = foot
        for picture in column.pictures:
            _draw_picture(figure, picture, classes, left, edge, width)
            edge -= _row_height(picture, width)


def _draw_picture(
    figure: Figure, picture: Picture, classes: Sequence[str], left: float, top: float, width: float
) -> None:
    """A picture in the middle of its column, and the size of its packet below."""
    rows, columns = picture.image.shape[:2]
    height = width * min(rows / columns, 1)
    breadth = height * columns / rows
    place = (left + (width - breadth) / 2, top - height, breadth, height)
    across, up = figure.get_figwidth(), figure.get_figheight()
    axes = figure.add_axes((place[0] / across, place[1] / up, place[2] / across, place[3] / up))
    draw_marks(axes, picture.image, picture.marks, classes, 72 * height / rows)
    if picture.size_bytes is not None:
        size = f"{picture.size_bytes:,} bytes"
        _text(figure, left + width / 2, top - height - 0.02, size, va="top", fontsize=SMALL_TYPE_SIZE)


def _text(figure: Figure, x: float, y: float, text: str, *, ha: str = "center", **style: Any) -> None:
    """Text at a place in inches from the lower left corner."""
    figure.text(x, y, text, ha=ha, transform=figure.dpi_scale_trans, **style)


def _add_legend(figure: Figure, columns: Sequence[Column], classes: Sequence[str], bottom: float) -> Any:
    """The colours of the classes that occur, in a row or several; `None` if none does."""
    found = sorted({label for column in columns for picture in column.pictures for label in picture.marks.classes()})
    handles = [Patch(facecolor=colour_of(label), label=classes[label]) for label in found]
    legend = None
    for count in range(len(handles), 0, -1):
        legend = legend_of(
            figure, handles, _CLASS_CHARACTERS, loc="lower center", ncols=count,
            bbox_to_anchor=(TEXT_INCHES / 2, bottom), handlelength=1,
            bbox_transform=figure.dpi_scale_trans, handleheight=0.8, columnspacing=1.1,
        )  # fmt: skip
        if legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    return legend


def _caption(columns: Sequence[Column]) -> str:
    """What can't be seen in the pictures themselves."""
    sentences = ["Below each picture: the size of that image's packet."]
    if any(column.decoded for column in columns) and not all(column.decoded for column in columns[1:]):
        sentences.append(
            "Predictions of methods that send an image are drawn on the image that the server decodes; all others on "
            "the original, which the server never sees."
        )
    elif len(columns) > 1:
        sentences.append("Predictions are drawn on the images that the server decodes.")
    if isinstance(columns[0].pictures[0].marks, Boxes):
        sentences.append(f"Numbers: scores in percent; boxes below {100 * LEAST_SCORE:.0f}\u00a0% are left out.")
    else:
        sentences.append("Images are in grey, so that colours are those of the classes alone.")
    return " ".join(sentences)
