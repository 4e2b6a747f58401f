"""Which colours readers tell apart, colour-blind ones included."""

from collections.abc import Iterable
from functools import cache

import numpy as np
from matplotlib.colors import to_rgb

# Those of Okabe and Ito without their yellow, which is pale on white, and of Tol, and a grey: as many as are clear.
PALETTE = (
    "#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#882255", "#332288", "#8F3B00", "#000000",
    "#6C6C6C",
)  # fmt: skip
# Of two colours that share a figure, in units of OKLab, in which black and white are 1 apart.
CLEAR = 0.1
# Colour-blind readers have the marker to go by, too.
_BLIND_FACTOR = 1.5
# Linear RGB as seen without the red or the green cones (Machado, Oliveira and Fernandes 2009, severity 1).
_BLIND = np.array(
    [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
)
# From linear RGB to OKLab (Ottosson 2020), with a cube root between the two.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@cache
def distance(first: str, second: str) -> float:
    """How clearly two colours differ: to all readers, or, counted half as much again, to those without red or green.

    >>> round(distance("black", "white"), 2), distance("red", "red")
    (1.0, 0.0)
    """
    seen = np.abs(_seen(first) - _seen(second))
    whole, *blind = np.linalg.norm(seen, axis=1).tolist()
    return min(whole, _BLIND_FACTOR * min(blind))


def is_clear(colour: str, others: Iterable[str]) -> bool:
    """Whether a colour differs clearly from all others."""
    return all(distance(colour, other) >= CLEAR for other in others)


def clearest(others: Iterable[str]) -> str:
    """The colour of the palette that differs most from the others; among those that are taken, the least used."""
    others = list(others)
    if not others:
        return PALETTE[0]
    free = [colour for colour in PALETTE if is_clear(colour, others)]
    if free:
        return max(free, key=lambda colour: min(distance(colour, other) for other in others))
    near = {colour: sum(distance(colour, other) < CLEAR for other in others) for colour in PALETTE}
    return min(PALETTE, key=lambda colour: near[colour])


def _seen(colour: str) -> np.ndarray:
    """OKLab coordinates as seen with all cones, without the red and without the green ones, (3, 3)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    views = np.stack([linear, *(_BLIND @ linear)])
    return np.cbrt(np.clip(views @ _CONES.T, 0, None)) @ _LAB.T
