"""How figures look: one place, so that a method looks the same in all of them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_rgb

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
        return _MARKERS[self.marker]

    def plot_arguments(self) -> dict[str, Any]:
        """As `Axes.plot` takes them."""
        size = _MARKER_POINTS * self.marker_factor
        return {"color": self.colour, "marker": self.marker, "markersize": size, "linestyle": self.line}

    def varied(self, times: int) -> "Look":
        """The look of a further curve of the same kind: the same colour, another marker and line."""
        markers = list(_MARKERS)
        marker = markers[(markers.index(self.marker) + times) % len(markers)]
        line = _LINES[(_LINES.index(self.line) + times) % len(_LINES)]
        return replace(self, marker=marker, line=line)


# The hues are those of Okabe and Ito and of Tol, told apart by colour-blind readers. Methods of one family share a hue
# and differ by shade, marker and line, so that they are told apart in grey, too.
_LOOKS: dict[tuple[str, str], Look] = {
    ("entropic_student", "factorized"): Look("#D55E00", "o"),
    ("entropic_student", "scale_hyperprior"): Look("#8F3B00", "s", _DASH_DOT),
    ("entropic_student", "mean_scale_hyperprior"): Look("#F09A5B", "^"),
    ("multi_task", ""): Look("#D55E00", "h"),
    ("channel_reduction", ""): Look("#882255", "D"),
    ("end_to_end", ""): Look("#8C6D31", "v"),
    ("entropy_bottleneck", ""): Look("#A8A000", "P"),
    ("feature_codec", "jpeg"): Look("#777777", "X"),
    ("feature_codec", "webp"): Look("#777777", "*", _DASH_DOT),
    ("input_codec", "jpeg"): Look("#009E73", "^"),
    ("input_codec", "jpeg_abbreviated"): Look("#00694D", "v", _DOTTED),
    ("input_codec", "webp"): Look("#0072B2", "s"),
    ("input_codec", "avif"): Look("#CC79A7", "D"),
    ("input_codec", "jpeg2000"): Look("#E69F00", "v"),
    ("input_codec", "jpeg_xl"): Look("#56B4E9", "P"),
    ("input_codec", "heic"): Look("#000000", "X"),
    ("input_codec", "hevc"): Look("#000000", "o", _DASH_DOT),
    ("input_codec", "bpg"): Look("#555555", "s", _DOTTED),
    ("input_codec", "vtm"): Look("#999999", "p", _DASH_DOT),
    ("input_codec", "vvenc"): Look("#999999", "h"),
    ("neural_input_codec", "factorized"): Look("#B48CE0", "o", _DASH_DOT),
    ("neural_input_codec", "scale_hyperprior"): Look("#8F62C9", "s", _DASH_DOT),
    ("neural_input_codec", "mean_scale_hyperprior"): Look("#6A3D9A", "^", _DASH_DOT),
    ("neural_input_codec", "joint_autoregressive"): Look("#3B1B66", "D", _DASH_DOT),
    # Known from publications alone.
    ("duan_zhu_2022", "n0"): Look("#117733", "o"),
    ("duan_zhu_2022", "n4"): Look("#117733", "s"),
    ("duan_zhu_2022", "n8"): Look("#117733", "^"),
    ("duan_zhu_2022", "n0_encoder_fixed"): Look("#AA4499", "o"),
    ("duan_zhu_2022", "n4_encoder_fixed"): Look("#AA4499", "s"),
    ("duan_zhu_2022", "n8_encoder_fixed"): Look("#AA4499", "^"),
}
# For methods that are not named above, such as those of plugins.
_SPARE = tuple(Look(colour, "*") for colour in ("#44AA99", "#332288", "#CC6677", "#999933", "#88CCEE"))


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


def looks(firsts: Mapping[str, Mapping[str, Any]], shown: Sequence[str]) -> dict[str, Look]:
    """The looks of the curves of a figure, which are the same in every figure of a suite.

    Curves of one identity differ by marker and line; those of another teacher start again, unless they are in the
    same figure.

    Args:
        firsts: the first record of every curve of the suite, by label.
        shown: labels of the curves of this figure.
    """
    unknown = list(dict.fromkeys(name for name in map(identity, firsts.values()) if name not in _LOOKS))
    bases = _LOOKS | {name: _SPARE[i % len(_SPARE)].varied(i) for i, name in enumerate(unknown)}
    given: dict[str, Look] = {}
    before: list[tuple[Any, ...]] = []
    for label, first in firsts.items():
        name = identity(first)
        times = before.count((name, first["teacher"]))
        before.append((name, first["teacher"]))
        if label in shown:
            while bases[name].varied(times) in given.values() and times < len(_MARKERS) * len(_LINES):
                times += 1
            given[label] = bases[name].varied(times)
    return given


def lighter(look: Look) -> Look:
    """How a published curve looks where the measured one has the given look."""
    red, green, blue = (round(255 * (0.4 + 0.6 * part)) for part in to_rgb(look.colour))
    return Look(f"#{red:02X}{green:02X}{blue:02X}", look.marker, PUBLISHED_LINE)


def first_records(curves: Mapping[str, pd.DataFrame]) -> dict[str, Mapping[str, Any]]:
    """The record of each curve that tells its identity."""
    return {label: curve.iloc[0].to_dict() for label, curve in curves.items()}
