"""The spread over seeds as error bars."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

SENTENCE = "Error bars: standard deviation over seeds."
# Shorter bars than these are hidden by their marker: parts of the rate, and points of quality.
_LEAST_SHARE, _LEAST_POINTS = 0.01, 0.01
# A bar that would reach below this part of its rate ends there, for a logarithmic axis has no zero.
_LOWEST = 0.05


@dataclass(frozen=True)
class Spread:
    """The standard deviations of the points of a curve, (N,) each; NaN where there is none, or hardly any.

    Attributes:
        rate: in bytes.
        quality: in points.
    """

    rate: np.ndarray
    quality: np.ndarray

    @classmethod
    def of(cls, points: pd.DataFrame, metric: str) -> "Spread":
        """That of points as `points_of` gives them, in their order; none without its columns."""
        rate, quality = (_column(points, f"{name}_std") for name in ("bytes_mean", metric))
        seen = rate >= _LEAST_SHARE * points["bytes_mean"].to_numpy(float)
        return cls(np.where(seen, rate, np.nan), np.where(quality >= _LEAST_POINTS, quality, np.nan))

    @property
    def known(self) -> bool:
        """Whether there is anything to draw."""
        return bool(np.isfinite([self.rate, self.quality]).any())

    def draw(self, axes: Axes, x: np.ndarray, quality: np.ndarray, colour: str, *, rate: bool = True) -> None:
        """Draws bars around points.

        Args:
            axes: whose y axis is the quality.
            x: places of the points, (N,); with `rate` their bytes.
            quality: percent, (N,).
            colour: of the bars.
            rate: also draw bars along the x axis.
        """
        if not self.known:
            return
        across = np.stack([np.minimum(self.rate, (1 - _LOWEST) * x), self.rate]) if rate else None
        axes.errorbar(
            x, quality, yerr=self.quality, xerr=across, fmt="none", ecolor=colour, elinewidth=0.5, capsize=1.2,
            capthick=0.5, zorder=3,
        )  # fmt: skip


def with_bars(limits: tuple[float, float], points: Iterable[tuple[np.ndarray, Spread | None]]) -> tuple[float, float]:
    """Limits of a quality axis, widened for the whole bars of the points that are inside.

    Args:
        limits: what the axis would span.
        points: the qualities of each curve, (N,), and their spread.
    """
    low, high = limits
    for quality, spread in points:
        if spread is not None:
            inside = (quality >= limits[0]) & (quality <= limits[1])
            bars = np.nan_to_num(spread.quality)
            low = min([low, *(quality - bars)[inside]])
            high = max([high, *(quality + bars)[inside]])
    return low, high


def sentences(spreads: Iterable[Spread]) -> list[str]:
    """What a figure says about its error bars, if it has some."""
    return [SENTENCE] if any(spread.known for spread in spreads) else []


def _column(points: pd.DataFrame, name: str) -> np.ndarray:
    return points[name].to_numpy(float) if name in points else np.full(len(points), np.nan)
