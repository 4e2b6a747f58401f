"""How figures look: one place, so that a method looks the same in all of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_rgb

from sc2bench.report.figures.colours import CLEAR, PALETTE, clearest, distance, is_clear

# Widths of a two-column paper: a column, and the whole text.
COLUMN_INCHES = 3.45
TEXT_INCHES = 7.16

_STYLE: dict[Any, Any] = {
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.xmargin": 0.03,
    "grid.color": "#E0E0E0",
    "grid.linewidth": 0.4,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "legend.handletextpad": 0.5,
    "legend.borderpad": 0.1,
    "legend.borderaxespad": 0.2,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.w_pad": 0.02,
    "lines.linewidth": 1.0,
    # A dollar sign in a label is a dollar sign.
    "text.parse_math": False,
    # Type 42 keeps text as text in the PDF, as publishers ask.
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
}

_SOLID, _DASH_DOT, _DOTTED = "-", (0, (4, 1.2, 1, 1.2)), (0, (1, 1))
# Dashes are kept for published curves.
PUBLISHED_LINE = (0, (3, 1.6))
_LINES = (_SOLID, _DASH_DOT, _DOTTED)
# Markers, with the size at which they look as large as a circle of size 1.
_MARKERS = {"o": 1.0, "s": 0.95, "^": 1.1, "D": 0.9, "v": 1.1, "P": 1.25, "X": 1.25, "*": 1.5, "p": 1.1, "h": 1.1}
_MARKER_POINTS = 3.4


@dataclass(frozen=True)
class Look:
    """Colour, marker and line style of a curve."""

    colour: str
    marker: str
    line: Any = _SOLID

    @property
    def marker_factor(self) -> float:
        """What the marker's size is to be multiplied with to look as large as a circle."""
        return _MARKERS.get(self.marker, 1.0)

    def plot_arguments(self) -> dict[str, Any]:
        """As `Axes.plot` takes them."""
        size = _MARKER_POINTS * self.marker_factor
        return {"color": self.colour, "marker": self.marker, "markersize": size, "linestyle": self.line}


# Colours are those of `colours.PALETTE`, so given that methods which are often compared differ clearly.
_LOOKS: dict[tuple[str, str], Look] = {
    ("entropic_student", "factorized"): Look("#D55E00", "o"),
    ("entropic_student", "scale_hyperprior"): Look("#8F3B00", "s", _DASH_DOT),
    ("entropic_student", "mean_scale_hyperprior"): Look("#E69F00", "^"),
    ("multi_task", ""): Look("#D55E00", "h"),
    ("channel_reduction", ""): Look("#882255", "D"),
    ("end_to_end", ""): Look("#56B4E9", "v"),
    ("entropy_bottleneck", ""): Look("#000000", "P"),
    ("feature_codec", "jpeg"): Look("#6C6C6C", "X"),
    ("feature_codec", "webp"): Look("#6C6C6C", "*", _DASH_DOT),
    ("input_codec", "jpeg"): Look("#009E73", "^"),
    ("input_codec", "jpeg_abbreviated"): Look("#332288", "v", _DOTTED),
    ("input_codec", "webp"): Look("#0072B2", "s"),
    ("input_codec", "avif"): Look("#CC79A7", "D"),
    ("input_codec", "jpeg2000"): Look("#E69F00", "v"),
    ("input_codec", "jpeg_xl"): Look("#56B4E9", "P"),
    ("input_codec", "heic"): Look("#000000", "X"),
    ("input_codec", "hevc"): Look("#882255", "o", _DASH_DOT),
    ("input_codec", "bpg"): Look("#6C6C6C", "s", _DOTTED),
    ("input_codec", "vtm"): Look("#332288", "p", _DASH_DOT),
    ("input_codec", "vvenc"): Look("#8F3B00", "h"),
    ("neural_input_codec", "factorized"): Look("#8F3B00", "o", _DASH_DOT),
    ("neural_input_codec", "scale_hyperprior"): Look("#E69F00", "s", _DASH_DOT),
    ("neural_input_codec", "mean_scale_hyperprior"): Look("#CC79A7", "^", _DASH_DOT),
    ("neural_input_codec", "joint_autoregressive"): Look("#332288", "D", _DASH_DOT),
    # Known from publications alone.
    ("duan_zhu_2022", "n0"): Look("#009E73", "o"),
    ("duan_zhu_2022", "n4"): Look("#009E73", "s"),
    ("duan_zhu_2022", "n8"): Look("#009E73", "^"),
    ("duan_zhu_2022", "n0_encoder_fixed"): Look("#CC79A7", "o"),
    ("duan_zhu_2022", "n4_encoder_fixed"): Look("#CC79A7", "s"),
    ("duan_zhu_2022", "n8_encoder_fixed"): Look("#CC79A7", "^"),
}


class Wish(NamedTuple):
    """What a suite asks for the look of a curve; `None` leaves it to the method."""

    colour: str | None = None
    marker: str | None = None


def paper_style() -> AbstractContextManager[Any]:
    """A context in which figures have the type and the lines of a paper's figures."""
    return mpl.rc_context(_STYLE)


def identity(record: Mapping[str, Any]) -> tuple[str, str]:
    """What decides a curve's look: its method, and the codec or else the prior where that makes a difference.

    Args:
        record: with the fields `method`, `codec` and `prior`, of which the last two may be missing values.
    """
    method = str(record["method"])
    for variant in (record["codec"], record["prior"]):
        if isinstance(variant, str) and (method, variant) in _LOOKS:
            return method, variant
    if (method, "") in _LOOKS:
        return method, ""
    named = [value for value in (record["codec"], record["prior"]) if isinstance(value, str)]
    return method, named[0] if named else ""


def looks(
    firsts: Mapping[str, Mapping[str, Any]],
    figures: Iterable[Collection[str]],
    wishes: Mapping[str, Wish] | None = None,
    behind: Collection[Look] = (),
) -> dict[str, Look]:
    """The looks of the curves of a suite, each the same in all its figures.

    A curve has the colour, the marker and the line of its method. Where a curve that shares a figure with it has a
    colour like that already, it takes the colour that is clearest beside all of them; once these are used up, it shares
    one, with another marker and, as long as there are some, another line.

    Args:
        firsts: the first record of every curve of the suite, by label, in order.
        figures: the labels of the curves of each figure.
        wishes: what the suite asks for, by label; granted before all else.
        behind: looks of further curves that are in all figures.
    """
    wishes = wishes or {}
    shared = [set(labels) for labels in figures]
    unknown = list(dict.fromkeys(name for name in map(identity, firsts.values()) if name not in _LOOKS))
    markers = list(_MARKERS)
    spare = {name: Look(PALETTE[i % len(PALETTE)], markers[-1 - i % len(markers)]) for i, name in enumerate(unknown)}
    bases = _LOOKS | spare
    given: dict[str, Look] = {}

    def settle(label: str, *, own: bool) -> None:
        """Gives a curve its look, but, if it is to have its own colour, only where that is free."""
        base, wish = bases[names[label]], wishes.get(label, Wish())
        near = [look for other, look in given.items() if any({label, other} <= labels for labels in shared)]
        near += behind
        if not own or wish.colour or is_clear(base.colour, [look.colour for look in near]):
            given[label] = _look_beside(base, wish, near)

    # Others make way for colours that are asked for, and methods without a colour of their own for those with one; who
    # has to take another colour takes none that is another curve's own.
    names = {label: identity(first) for label, first in firsts.items()}
    order = sorted(firsts, key=lambda label: (wishes.get(label, Wish()).colour is None, names[label] in spare))
    for label in order:
        settle(label, own=True)
    for label in order:
        if label not in given:
            settle(label, own=False)
    return {label: given[label] for label in firsts}


def _look_beside(base: Look, wish: Wish, near: Sequence[Look]) -> Look:
    """The look of a curve beside those that share a figure with it."""
    taken = [look.colour for look in near]
    colour = wish.colour or (base.colour if is_clear(base.colour, taken) else clearest(taken))
    like = [look for look in near if distance(look.colour, colour) < CLEAR]
    marker = wish.marker or base.marker
    lines = [base.line, *(line for line in _LINES if line != base.line)]
    markers = [marker] if wish.marker else [marker, *(name for name in _MARKERS if name != marker)]
    options = [Look(colour, shape, line) for shape in markers for line in lines]

    # Who has another colour than its method's has a marker to itself, too, while there are some.
    others = like if colour in (base.colour, wish.colour) else near

    def alike(option: Look) -> tuple[int, int, int, int]:
        same = sum((look.marker, look.line) == (option.marker, option.line) for look in like)
        marker, line = (sum(getattr(look, of) == getattr(option, of) for look in like) for of in ("marker", "line"))
        return same, marker, line, sum(look.marker == option.marker for look in others)

    # The first of the best: the method's own, if nothing of this colour has its marker or its line.
    return min(options, key=alike)


def lighter(look: Look) -> Look:
    """How a published curve looks where the measured one has the given look."""
    red, green, blue = (round(255 * (0.4 + 0.6 * part)) for part in to_rgb(look.colour))
    return Look(f"#{red:02X}{green:02X}{blue:02X}", look.marker, PUBLISHED_LINE)


def first_records(curves: Mapping[str, pd.DataFrame]) -> dict[str, Mapping[str, Any]]:
    """The record of each curve that tells its identity."""
    return {label: curve.iloc[0].to_dict() for label, curve in curves.items()}
