"""Fixed parts of data sets: what a limit of samples takes, which must stand for the whole.

The first samples of a sorted folder are those of its first classes, and of a film the first scene. So a part has as
many samples of each class as belong to it, and those of a class are spread over all that there are. A part is fixed,
and a smaller one lies within a larger one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def in_random_order(opener: Callable[..., Any]) -> Any:
    """Marks what opens a data set that is published in random order, so that its first samples are a fair part.

    Experiments on a part of such a data set keep the hashes they had when every part was the first samples. The sets
    themselves say what they are (`ImageSet.in_random_order`), for files of the same format may be sorted.
    """
    opener.in_random_order = True  # type: ignore[attr-defined]
    return opener


def part_of(count: int, samples: int, strata: np.ndarray | None = None) -> np.ndarray:
    """Chooses a part that is spread evenly over all samples, or over those of each class.

    Classes get shares by Webster's method: of 1,000 equal ones a part of 2,000 has two samples of each, and one of 10
    has samples of ten classes that are spread over all.

    Args:
        count: number of samples.
        samples: size of the part, at most `count`.
        strata: integers, (count,), the class of each sample; `None`: there are none.

    Returns:
        int64, (samples,), sorted indices.
    """
    if strata is None:
        return np.sort(np.argsort(_spread_ranks(count, 0))[:samples])
    keys = np.empty(count)
    turns = np.empty(count, np.int64)
    order = np.argsort(strata, kind="stable")
    places_of = np.split(order, np.flatnonzero(np.diff(strata[order])) + 1)
    for number, (places, turn) in enumerate(zip(places_of, _spread_ranks(len(places_of), 0), strict=True)):
        keys[places] = (_spread_ranks(len(places), number + 1) + 0.5) / len(places)
        turns[places] = turn
    return np.sort(np.lexsort((turns, keys))[:samples])


def _spread_ranks(count: int, salt: int) -> np.ndarray:
    """Ranks of `count` places in a row; those of the first ranks are spread evenly, however many are taken.

    The ranks are a van der Corput sequence whose digits are flipped at random, each by those before it (Owen 1995): of
    each half one place comes first, of each quarter one of the first four, and so on. Where in its half is left to
    chance, for what repeats itself in a row must not keep step with the choice.

    Args:
        count: number of places.
        salt: another number gives other ranks.

    Returns:
        int64, (count,), each number below `count` once.
    """
    places = np.arange(count, dtype=np.uint64)
    digits = max(count - 1, 0).bit_length()
    ranks = np.zeros(count, np.uint64)
    for level in range(digits):
        above = places >> np.uint64(digits - level)
        digit = places >> np.uint64(digits - level - 1) & np.uint64(1)
        ranks |= (digit ^ _coin(above + np.uint64((salt << 40) + (level << 34)))) << np.uint64(level)
    return np.argsort(np.argsort(ranks))


def _coin(keys: np.ndarray) -> np.ndarray:
    """A fixed bit for each key, uint64, as if at random: the last one of SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed = (keys + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ mixed >> np.uint64(31)) & np.uint64(1)
