"""Bjontegaard delta rates: the mean difference in rate between two curves at equal quality (Bjøntegaard 2001)."""

import bjontegaard
import numpy as np

from sc2bench.errors import Sc2benchError
from sc2bench.report.pareto import pareto_front

# The smallest share of the narrower curve's range of qualities that both curves must cover.
MIN_OVERLAP = 0.25
MIN_POINTS = 3


class NoOverlap(Sc2benchError):
    """Two curves that can't be compared, because they hardly share any quality."""


def bd_rate(
    anchor_rate: np.ndarray, anchor_quality: np.ndarray, rate: np.ndarray, quality: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """The mean difference in rate to an anchor at equal quality, over the qualities that both curves reach.

    Both curves are reduced to their Pareto fronts, then interpolated by monotone cubics (pchip).

    Args:
        anchor_rate: bytes, (N,).
        anchor_quality: percent, (N,).
        rate: bytes, (M,).
        quality: percent, (M,).

    Returns:
        The difference in percent, negative where less rate is needed, and the range of qualities it covers.

    Raises:
        NoOverlap: a front has fewer than three points, or the curves share less than a quarter of the narrower range.
    """
    fronts = []
    for which, rates, qualities in (("anchor", anchor_rate, anchor_quality), ("curve", rate, quality)):
        front = pareto_front(rates, qualities)
        if len(front) < MIN_POINTS:
            raise NoOverlap(f"the {which}'s Pareto front has {len(front)} points; a delta rate needs {MIN_POINTS}")
        fronts.append((np.asarray(rates, float)[front], np.asarray(qualities, float)[front]))
    (first_rate, first_quality), (second_rate, second_quality) = fronts
    low = max(first_quality[0], second_quality[0])
    high = min(first_quality[-1], second_quality[-1])
    narrower = min(np.ptp(first_quality), np.ptp(second_quality))
    if high - low < MIN_OVERLAP * narrower:
        covered = [f"{quality[0]:.2f} ... {quality[-1]:.2f} %" for quality in (first_quality, second_quality)]
        raise NoOverlap(
            f"the curves share too little quality: the anchor covers {covered[0]}, the curve {covered[1]}; "
            f"measure more rates of either"
        )
    delta = bjontegaard.bd_rate(
        first_rate,
        first_quality,
        second_rate,
        second_quality,
        method="pchip",
        require_matching_points=False,
        min_overlap=0,
    )
    return float(delta), (float(low), float(high))
