"""The points of a curve that no other point beats, and what lies between them."""

import numpy as np
from scipy.interpolate import PchipInterpolator


def pareto_front(rate: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Finds the points that no other beats in both axes.

    Args:
        rate: (N,), smaller is better.
        quality: (N,), larger is better.

    Returns:
        The indices of the front's points, by rising rate (and so by rising quality). Of equal points one is kept.

    >>> pareto_front(np.array([3, 1, 2]), np.array([5, 4, 3])).tolist()
    [1, 0]
    """
    # Among points of one rate the best quality comes first and shadows the others.
    order = np.lexsort((-np.asarray(quality), np.asarray(rate)))
    kept = []
    best = -np.inf
    for index in order:
        if quality[index] > best:
            best = quality[index]
            kept.append(index)
    return np.array(kept, dtype=int)


def sending_front(rate: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """The front without a point of no bytes at all, which has no logarithm; arguments and result as `pareto_front`."""
    front = pareto_front(rate, quality)
    return front[np.asarray(rate, float)[front] > 0]


def bytes_at_quality(rate: np.ndarray, quality: np.ndarray, wanted: float) -> float | None:
    """The rate at which a curve reaches a quality.

    Between the points of the front the logarithm of the rate is interpolated by monotone cubics (pchip).

    Args:
        rate: (N,), bytes.
        quality: (N,).
        wanted: a quality.

    Returns:
        Bytes; `None` outside the range of the qualities of the front's points that send anything.
    """
    front = sending_front(rate, quality)
    rate, quality = np.asarray(rate, float)[front], np.asarray(quality, float)[front]
    if len(front) == 0 or not quality[0] <= wanted <= quality[-1]:
        return None
    if len(front) == 1:
        return float(rate[0])
    return float(np.exp(PchipInterpolator(quality, np.log(rate))(wanted)))
