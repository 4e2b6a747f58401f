"""Confidence intervals of measured qualities: how far those of other images of the same kind would be.

They hold for one trained model, and say nothing about another training run: for that there are seeds.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest

CONFIDENCE = 0.95
_SEED = 0
Interval = tuple[float, float]


def binomial_interval(percent: float, samples: int) -> Interval:
    """The interval of a share of independent samples (Wilson 1927).

    Args:
        percent: the share that was found, 0 to 100.
        samples: how many samples it is a share of, at least one.

    Returns:
        The ends of the interval of 95 %, in percent.

    >>> low, high = binomial_interval(90, 100)
    >>> print(f"{low:.2f} {high:.2f}")
    82.56 94.48
    """
    hits = min(max(round(percent / 100 * samples), 0), samples)
    found = binomtest(hits, samples).proportion_ci(CONFIDENCE, method="wilson")
    return 100 * float(found.low), 100 * float(found.high)


def resampled_counts(images: int, resamples: int) -> np.ndarray:
    """How often each image is drawn, where as many are drawn with replacement as there are; always the same draws.

    Args:
        images: how many there are, at least one.
        resamples: how often that many are drawn.

    Returns:
        int64, (resamples, images); each row sums to `images`.
    """
    return np.random.default_rng(_SEED).multinomial(images, np.full(images, 1 / images), size=resamples)


def bootstrap_intervals(
    quality: Callable[[np.ndarray], dict[str, np.ndarray]], images: int, resamples: int
) -> dict[str, Interval]:
    """The intervals between percentiles of a quality over images drawn with replacement (Efron 1979).

    Args:
        quality: of counts (resamples, images), int64, gives each metric of each row, (resamples,); NaN where a draw
            has none.
        images: how many were measured.
        resamples: how often images are drawn.

    Returns:
        The ends of the interval of 95 % of each metric. None for fewer than two images, which don't say how images
        differ, or without resamples.
    """
    if images < 2 or resamples < 1:
        return {}
    tails = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    found = {}
    for name, values in quality(resampled_counts(images, resamples)).items():
        known = values[np.isfinite(values)]
        if len(known):
            low, high = np.percentile(known, tails)
            found[name] = (float(low), float(high))
    return found
