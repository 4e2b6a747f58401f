"""How boxes, names and masks look on an image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from sc2bench.pictures.predictions import Boxes, LabelMap, Marks
from sc2bench.tasks.semantic_segmentation import IGNORED

# Those of Okabe and Ito and of Tol, told apart by colour-blind readers; classes of similar look come with unlike hues.
_COLOURS = (
    "#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#0072B2", "#009E73", "#D55E00", "#882255", "#AAF0D1", "#9933FF",
)  # fmt: skip
_LIGHTER = 0.5
_MASK_OPACITY = 0.6
_LINE_POINTS = 0.9
NAME_SIZE = 4.2
# Width of a letter and height of a line, in parts of the type size; what is added around a name, in points.
_LETTER_EMS, _LINE_EMS, _PAD = 0.56, 1.05, 0.5
_BRIGHT = 0.45
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_OPEN = 255.0


def colour_of(label: int) -> str:
    """The colour of a class, the same in all pictures; from the eleventh on lighter, from the twenty-first on again."""
    turn, place = divmod(label - 1, len(_COLOURS))
    colour = np.array(to_rgb(_COLOURS[place]))
    red, green, blue = np.round(255 * (colour + _LIGHTER * (1 - colour) * (turn % 2))).astype(int)
    return f"#{red:02X}{green:02X}{blue:02X}"


def draw_marks(axes: Axes, image: np.ndarray, marks: Marks, classes: Sequence[str], points_a_pixel: float) -> None:
    """Draws an image and what is said about it.

    Args:
        axes: as large as the image.
        image: uint8, (H, W, 3).
        marks: boxes or a label map.
        classes: names by class index.
        points_a_pixel: of the figure.
    """
    shown = image if isinstance(marks, Boxes) else tinted(image, marks)
    # Pixels stay squares: what a codec has left of an image is to be seen.
    axes.imshow(shown, interpolation="none")
    axes.set_axis_off()
    if isinstance(marks, Boxes):
        _draw_boxes(axes, marks, classes, points_a_pixel)


def tinted(image: np.ndarray, marks: LabelMap) -> np.ndarray:
    """An image in grey under the colours of its classes, with their edges; pixels that are left open are hatched.

    Args:
        image: uint8, (H, W, 3).
        marks: its label map.
    """
    labels = marks.labels
    result = np.repeat(image @ _LUMINANCE, 3).reshape(image.shape)
    edges = np.zeros(labels.shape, bool)
    edges[1:] |= labels[1:] != labels[:-1]
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    for label in marks.classes():
        colour = 255 * np.array(to_rgb(colour_of(label)))
        inside = labels == label
        opacity = np.where(edges, 1.0, _MASK_OPACITY)[inside, None]
        result[inside] = (1 - opacity) * result[inside] + opacity * colour
    rows, columns = np.indices(labels.shape)
    hatched = (labels == IGNORED) & ((rows + columns) % 4 == 0)
    result[hatched] = _OPEN
    return np.round(result).astype(np.uint8)


@dataclass(frozen=True)
class _Area:
    """A rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float

    def overlap(self, other: "_Area") -> float:
        """The area in common."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        down = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(across, 0) * max(down, 0)


def _draw_boxes(axes: Axes, marks: Boxes, classes: Sequence[str], points_a_pixel: float) -> None:
    """Boxes under names; the surest lie on top, and their names are the first to choose a place."""
    right, low, high, left = axes.get_xlim()[1], axes.get_ylim()[0], axes.get_ylim()[1], axes.get_xlim()[0]
    frame = _Area(left, high, right - left, low - high)
    taken: list[_Area] = []
    for number, (box, label) in enumerate(zip(marks.boxes, marks.labels, strict=True)):
        text = classes[label]
        if marks.scores is not None:
            text += f" {100 * marks.scores[number]:.0f}"
        _draw_box(axes, box, colour_of(label), depth=len(marks.labels) - number)
        pad = _PAD / points_a_pixel
        width = len(text) * _LETTER_EMS * NAME_SIZE / points_a_pixel + 2 * pad
        area = _place(box, width, _LINE_EMS * NAME_SIZE / points_a_pixel + 2 * pad, frame, taken)
        taken.append(area)
        _draw_name(axes, text, area, colour_of(label))


def _draw_box(axes: Axes, box: np.ndarray, colour: str, depth: int) -> None:
    left, top, right, bottom = box
    halo = [patheffects.Stroke(linewidth=_LINE_POINTS + 0.7, foreground="black", alpha=0.6), patheffects.Normal()]
    axes.add_patch(
        Rectangle(
            (left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=_LINE_POINTS,
            joinstyle="miter", path_effects=halo, zorder=2 - depth / 1000,
        )
    )  # fmt: skip


def _draw_name(axes: Axes, text: str, area: _Area, colour: str) -> None:
    bright = np.dot(to_rgb(colour), _LUMINANCE) > _BRIGHT
    axes.add_patch(
        Rectangle((area.left, area.top), area.width, area.height, facecolor=colour, edgecolor="none", zorder=3)
    )
    axes.text(
        area.left + area.width / 2, area.top + area.height / 2, text, fontsize=NAME_SIZE, ha="center",
        va="center_baseline", color="black" if bright else "white", zorder=4, clip_on=True,
    )  # fmt: skip


def _place(box: np.ndarray, width: float, height: float, frame: _Area, taken: Sequence[_Area]) -> _Area:
    """Where a name stands: at a corner of its box, within the image, where it hides least of other names."""
    left, top, right, bottom = box
    corners = [(left, top - height), (left, top), (right - width, top - height), (left, bottom - height)]
    corners += [(right - width, top), (right - width, bottom - height), (left, bottom), (right - width, bottom)]
    areas = [
        _Area(
            min(max(x - 0.5, frame.left), max(frame.left + frame.width - width, frame.left)),
            min(max(y - 0.5, frame.top), frame.top + frame.height - height),
            width,
            height,
        )
        for x, y in corners
    ]
    return min(areas, key=lambda area: sum(area.overlap(other) for other in taken))
