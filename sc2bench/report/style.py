"""How figures look: one place, so that a method looks the same in all of them."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl

# A column of a two-column paper.
COLUMN_INCHES = 3.45
# Okabe and Ito's palette, told apart by colour-blind readers; markers tell curves apart in grey.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_KNOWN = ("entropic_student", "webp", "jpeg", "avif", "jpeg2000")

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.4,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    # Type 42 keeps text as text in the PDF, as publishers ask.
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.02,
}


def paper_style() -> AbstractContextManager[Any]:
    """A context in which figures have the size and type of a paper's column."""
    return mpl.rc_context(_STYLE)


def identity(record: Mapping[str, Any]) -> str:
    """What decides a curve's look: its codec if it has one, else its method."""
    return str(record["codec"] if isinstance(record["codec"], str) else record["method"])


def look(name: str, taken: dict[str, int]) -> dict[str, Any]:
    """Colour and marker of a curve.

    Args:
        name: from `identity`.
        taken: the places already given in this figure; known names have fixed ones, others take what is free.
    """
    if name not in taken:
        free = [i for i in range(len(_KNOWN), len(_COLOURS)) if i not in taken.values()]
        taken[name] = _KNOWN.index(name) if name in _KNOWN else (free or [len(taken) % len(_COLOURS)])[0]
    place = taken[name]
    return {"color": _COLOURS[place], "marker": _MARKERS[place]}
