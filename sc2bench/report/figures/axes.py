"""Axes of rate-quality figures: what they span, and which of their ticks have labels."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from sc2bench.measures import measure

# Digits that carry a label in each decade, from dense to sparse.
_DIGITS = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
# Width of a digit in parts of the type size, and the least distance of two labels.
_DIGIT_EMS, _GAP_EMS = 0.64, 0.9
_KILO = 1000
_WHOLE = 100.0
# How many times the range everything may need to be shown, and how many times its start a rate axis ends at.
_STRETCH, _LEAST_SPAN = 2.0, 2.0
_SCALES = ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands"), (1.0, ""))


def tick_values(low: float, high: float, width: float, type_size: float, scale: float = 1) -> list[float]:
    """Chooses the ticks of a logarithmic axis so that their labels don't collide.

    Args:
        low: where the axis starts, positive.
        high: where it ends.
        width: of the axis, in points.
        type_size: of the labels, in points.
        scale: labels say the value divided by this.

    Returns:
        The most values whose labels keep their distance, rising.

    >>> tick_values(7, 700, 200, 6.5)
    [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
    """

    def keep_distance(values: Sequence[float]) -> bool:
        places = [np.log(value / low) / np.log(high / low) * width for value in values]
        halves = [len(f"{value / scale:g}") * _DIGIT_EMS * type_size / 2 for value in values]
        gaps = np.diff(places) - [a + b for a, b in pairwise(halves)]
        return bool((gaps >= _GAP_EMS * type_size).all())

    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    values: list[float] = []
    for digits in _DIGITS:
        values = [value for decade in decades for digit in digits if low <= (value := digit * 10.0**decade) <= high]
        if keep_distance(values):
            return values
    while not keep_distance(values):
        values = values[::2]
    return values


def set_rate_axis(axes: Axes, low: float, high: float, width: float, type_size: float) -> None:
    """Makes the x axis logarithmic, in bytes or kB.

    Args:
        axes: to be changed.
        low: the smallest rate that is shown, bytes.
        high: the largest one.
        width: of the axis, in points.
        type_size: of the labels of its ticks, in points.
    """
    # Half a marker and a bit more beyond the outer points; and wide enough for a tick.
    margin = max((high / low) ** 0.03 * 1.02, (_LEAST_SPAN * low / high) ** 0.5)
    low, high = low / margin, high * margin
    scale = _KILO if low >= 0.4 * _KILO and high >= 10 * _KILO else 1
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(tick_values(low, high, width, type_size, scale)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    axes.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{measure('bytes_mean').label} ({'bytes' if scale == 1 else 'kB'} per image, log scale)")


def quality_limits(
    qualities: Sequence[np.ndarray], references: Iterable[float], below_best: float, *, every_curve: bool
) -> tuple[float, float]:
    """What a quality axis spans: what is far below all that anybody would use may be left out.

    Args:
        qualities: of each curve, percent.
        references: qualities of lines without a rate.
        below_best: points below the best that are shown.
        every_curve: show more, if otherwise a curve or a line would not be seen at all; and show everything, if that
            needs at most twice the range.
    """
    references = list(references)
    bests = [float(values.max()) for values in qualities]
    if not bests and not references:
        return 0.0, _WHOLE
    best = max([*bests, *references])
    lowest = min([float(values.min()) for values in qualities] or references)
    low = max(lowest, best - below_best)
    if every_curve:
        low = min([low, *bests, *references])
        if best - lowest <= _STRETCH * (best - low):
            low = min(low, lowest)
    margin = 0.05 * max(best - low, 0.5)
    # Percentages end at 100; the metric of a plugin may be no percentage.
    return low - margin, best + margin if best > _WHOLE else min(best + margin, _WHOLE)


def shown_rates(rate: np.ndarray, quality: np.ndarray, low: float) -> np.ndarray:
    """The rates between which a curve lies above a quality, with the one where its line crosses it.

    Args:
        rate: bytes, (N,), rising and positive.
        quality: percent, (N,).
        low: percent.
    """
    found = list(rate[quality >= low])
    for i in np.flatnonzero((quality[:-1] < low) & (quality[1:] >= low)):
        # Straight on the logarithmic axis, as lines are drawn.
        found.append(np.exp(np.interp(low, quality[i : i + 2], np.log(rate[i : i + 2]))))
    return np.array(found)


def is_inside(axes: Axes, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points lie within the limits of axes, (N,)."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    return (x >= left) & (x <= right) & (y >= low) & (y <= high)


def outside_sentences(axes: Axes, points: Mapping[str, tuple[np.ndarray, np.ndarray]], panel: str = "") -> list[str]:
    """Says how many points lie outside of axes, in which direction and of which curve.

    Args:
        axes: with their final limits.
        points: places of the points of each curve, by its label, both (N,).
        panel: names the axes among several.

    Returns:
        A sentence a direction; none if all points are inside.
    """
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    counts: dict[str, dict[str, int]] = {}
    for label, (x, y) in points.items():
        where = {"below": y < low, "above": y > high}
        beside = ~(where["below"] | where["above"])
        where |= {"left of": beside & (x < left), "right of": beside & (x > right)}
        for direction, found in where.items():
            if found.any():
                counts.setdefault(direction, {})[label] = int(found.sum())
    sentences = []
    for direction, curves in counts.items():
        total = sum(curves.values())
        named = ", ".join(f"{label} {count}" for label, count in curves.items() if label)
        what = "1 point lies" if total == 1 else f"{total} points lie"
        of = f" of {panel}" if panel else ""
        sentences.append(f"{what} {direction} the range{of}{f' ({named})' if named else ''}.")
    return sentences


def all_together(points: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The points of all curves as those of one without a name, where naming each would be too much."""
    x, y = (np.concatenate([np.array([]), *(pair[k] for pair in points.values())]) for k in (0, 1))
    return {"": (x, y)}


def cost_scale(low: float) -> tuple[float, str]:
    """What labels of a cost are divided by, and its name, so that the smallest cost reads well.

    >>> cost_scale(934_400)
    (1000000.0, 'millions')
    """
    return next((scale, name) for scale, name in _SCALES if low >= 0.1 * scale or scale == 1)
