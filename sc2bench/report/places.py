"""Where curves stand on a logarithmic axis of device costs, on which none (image codecs) has a place, too."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

# In points: the least distance of two curves, that where there is no cost, what the break between none and the
# logarithmic part takes, and the margin.
_COLUMN, _FREE_COLUMN, _BREAK, _MARGIN = 6.8, 9.0, 13.0, 7.0
# The range around a single cost, as a factor to both sides.
_ALONE = 3.0
# Shifts below this are not worth a word, in points.
_VISIBLE = 1.0


@dataclass(frozen=True)
class CostPlaces:
    """The axis and the curves on it.

    Attributes:
        columns: for each curve the places of its points, on the logarithmic axis.
        limits: of the axis.
        low: where its logarithmic part starts.
        nothing: the place of cost 0; `None` if no curve has it.
        gap: the middle of the break; `None` likewise.
        moved: whether curves were moved apart.
    """

    columns: list[np.ndarray]
    limits: tuple[float, float]
    low: float
    nothing: float | None
    gap: float | None
    moved: bool


def place(costs: Sequence[np.ndarray], width: float) -> CostPlaces:
    """Places curves by their cost; those of nearly the same cost are moved apart, as little as possible.

    Args:
        costs: of the points of each curve, from zero upwards, at least one of them positive.
        width: of the axis, in points.
    """
    free = [i for i, values in enumerate(costs) if not values.any()]
    paid = [i for i, values in enumerate(costs) if values.any()]
    positive = np.concatenate([costs[i] for i in paid])
    # A curve that starts at nothing starts at the left end of its logarithmic part.
    low, high = float(positive[positive > 0].min()), float(positive.max())
    if low == high:
        low, high = low / _ALONE, high * _ALONE
    band = _BREAK + len(free) * _FREE_COLUMN if free else 0.0
    points = (width - band - 2 * _MARGIN) / np.log(high / low)
    columns = [np.maximum(values, low) for values in costs]
    shifts = _spread([np.log(columns[i]) * points for i in paid])
    for i, shift in zip(paid, shifts, strict=True):
        columns[i] = columns[i] * np.exp(shift / points)
    placed = np.concatenate([columns[i] for i in paid])
    margin = np.exp(_MARGIN / points)
    start, end = min(low, float(placed.min())) / margin, max(high, float(placed.max())) * margin
    nothing = None
    if free:
        # From the start to the left: the break, then a column a curve.
        nothing = start * np.exp(-(_BREAK + len(free) * _FREE_COLUMN / 2) / points)
        for k, i in enumerate(free):
            columns[i] = np.full(len(costs[i]), nothing * np.exp((k - (len(free) - 1) / 2) * _FREE_COLUMN / points))
    limits = (start if nothing is None else start * np.exp(-band / points), end)
    gap = None if nothing is None else start * np.exp(-_BREAK / 2 / points)
    moved = bool((np.abs(shifts) > _VISIBLE).any())
    return CostPlaces(columns, limits, start, nothing, gap, moved)


def _spread(columns: Sequence[np.ndarray]) -> np.ndarray:
    """How far columns move so that they keep their distance: the least sum of squares.

    Args:
        columns: the places of each one's points, in points of length.
    """
    middle = np.array([(values.min() + values.max()) / 2 for values in columns])
    half = np.array([np.ptp(values) / 2 for values in columns]) + _COLUMN / 2
    order = np.argsort(middle, kind="stable")
    # Distances of neighbours when they touch; minus these, keeping distance is being in order.
    touching = np.concatenate([[0], np.cumsum(half[order][:-1] + half[order][1:])])
    settled = isotonic_regression(middle[order] - touching).x + touching
    shifts = np.empty(len(columns))
    shifts[order] = settled - middle[order]
    return shifts
