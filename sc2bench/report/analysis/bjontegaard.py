"""Bjontegaard deltas: the mean distance of two rate-quality curves, along either axis (Bjøntegaard 2001)."""

from dataclasses import dataclass

import bjontegaard
import numpy as np

from sc2bench.core.errors import Sc2benchError
from sc2bench.report.analysis.pareto import sending_front

# The smallest share of the narrower curve's range that both curves must cover.
MIN_OVERLAP = 0.25
MIN_POINTS = 3
# Both curves are interpolated by monotone cubics, and may have any number of points.
_OPTIONS = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}


@dataclass(frozen=True)
class Delta:
    """A mean difference, and what it is a mean over.

    Attributes:
        value: percent of rate or points of quality.
        low: where the range that both curves cover starts: a quality, or bytes.
        high: where it ends.
        share: what this range is of the narrower curve's; for bytes that of logarithms.
    """

    value: float
    low: float
    high: float
    share: float


class NoOverlap(Sc2benchError):
    """Two curves that can't be compared, because they hardly share any quality or any rate."""


def bd_rate(anchor_rate: np.ndarray, anchor_quality: np.ndarray, rate: np.ndarray, quality: np.ndarray) -> Delta:
    """The mean difference in rate to an anchor at equal quality, over the qualities that both curves reach.

    Both curves are reduced to the points of their Pareto fronts that send anything, then interpolated by monotone
    cubics (pchip).

    Args:
        anchor_rate: bytes, (N,).
        anchor_quality: percent, (N,).
        rate: bytes, (M,).
        quality: percent, (M,).

    Returns:
        The difference in percent, negative where less rate is needed, over a range of qualities.

    Raises:
        NoOverlap: a front has fewer than three points, or the curves share less than a quarter of the narrower range.
    """
    first = _front("anchor", anchor_rate, anchor_quality)
    second = _front("curve", rate, quality)
    low, high = _shared(first[1], second[1])
    share = (high - low) / min(np.ptp(first[1]), np.ptp(second[1]))
    if share < MIN_OVERLAP:
        raise NoOverlap(
            f"the curves share too little quality: the anchor covers {_range(first[1], '.2f', '%')}, "
            f"the curve {_range(second[1], '.2f', '%')}; measure more rates of either"
        )
    return Delta(float(bjontegaard.bd_rate(*first, *second, **_OPTIONS)), low, high, float(share))


def bd_quality(anchor_rate: np.ndarray, anchor_quality: np.ndarray, rate: np.ndarray, quality: np.ndarray) -> Delta:
    """The mean difference in quality to an anchor at equal rate, over the rates that both curves have.

    The mean is taken over the logarithm of the rate, so that halving counts the same everywhere.

    Args:
        anchor_rate: bytes, (N,).
        anchor_quality: percent, (N,).
        rate: bytes, (M,).
        quality: percent, (M,).

    Returns:
        The difference in points, positive where the quality is better, over a range of bytes.

    Raises:
        NoOverlap: a front has fewer than three points, or the curves share less than a quarter of the narrower range
            of log rates.
    """
    first = _front("anchor", anchor_rate, anchor_quality)
    second = _front("curve", rate, quality)
    low, high = _shared(first[0], second[0])
    share = np.log(high / low) / min(np.ptp(np.log(first[0])), np.ptp(np.log(second[0])))
    if share < MIN_OVERLAP:
        raise NoOverlap(
            f"the curves share too few rates: the anchor covers {_range(first[0], '.0f', 'bytes')}, "
            f"the curve {_range(second[0], '.0f', 'bytes')}; measure more rates of either"
        )
    # The library's name says PSNR; it is the mean difference of any second axis over log10 of the first.
    return Delta(float(bjontegaard.bd_psnr(*first, *second, **_OPTIONS)), low, high, float(share))


def _front(which: str, rate: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    front = sending_front(rate, quality)
    if len(front) < MIN_POINTS:
        raise NoOverlap(f"the {which}'s Pareto front has {len(front)} points; a Bjontegaard delta needs {MIN_POINTS}")
    return np.asarray(rate, float)[front], np.asarray(quality, float)[front]


def _shared(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Where two rising axes overlap; the first number is above the second where they don't."""
    return float(max(first[0], second[0])), float(min(first[-1], second[-1]))


def _range(values: np.ndarray, form: str, unit: str) -> str:
    return f"{values[0]:{form}} ... {values[-1]:{form}} {unit}"
