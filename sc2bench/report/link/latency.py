"""The link between device and server, and the time from an image to its prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import ceil, floor, inf, sqrt

import numpy as np
import pandas as pd

from sc2bench.core.errors import DataError
from sc2bench.report.analysis.pareto import bytes_at_quality, pareto_front
from sc2bench.report.tables.points import BELOW_TEACHER, REFERENCE_METHOD, curves, references

# The package's own table; its column `source` says what each number is taken from, and what is assumed.
PROFILES = "profiles.csv"
_BYTE_BITS = 8
# Points by which a curve may miss the quality at which it is compared.
TOLERANCE = 0.5
# The share of the curves that is to be compared, and the step of that quality.
_MOST, _STEP = 2 / 3, 0.5
_TIMES = ("device_ms_p50", "server_ms_p50", "server_network_ms_p50")


@dataclass(frozen=True)
class Link:
    """A link from a device to a server.

    Attributes:
        name: in tables and figures.
        kbit_per_s: its bandwidth, towards the server.
        round_trip_ms: from the end of a request to its answer, without the server's work; the answer is short.
        loss: share of the messages that are lost and sent again after a round trip.
        message_bytes: the most that a message carries; more bytes go in several messages. 0: no limit.
        overhead_bytes: that each message has beside what it carries.
    """

    name: str
    kbit_per_s: float
    round_trip_ms: float = 0.0
    loss: float = 0.0
    message_bytes: int = 0
    overhead_bytes: int = 0

    def bits(self, size: float) -> float:
        """What is sent for `size` bytes, on average: headers and repetitions belong to it."""
        messages = ceil(size / self.message_bytes) if self.message_bytes else 1
        return _BYTE_BITS * (size + messages * self.overhead_bytes) / (1 - self.loss)

    @property
    def waiting_ms(self) -> float:
        """The round trips of a request, on average."""
        return self.round_trip_ms / (1 - self.loss)


# Nothing but bandwidth.
IDEAL = Link("ideal", inf)


@dataclass(frozen=True)
class Choice:
    """A way to a prediction: a measured point of a curve, or one between two of them.

    Attributes:
        label: of the curve.
        device_ms: time of the device's half, for one image.
        server_ms: time of the server's half.
        sent_bytes: mean bytes of a sample; `None` if nothing is sent.
        quality: in percent.
        rate: the value of the rate knob; `None` between two measured points.
    """

    label: str
    device_ms: float
    server_ms: float
    sent_bytes: float | None
    quality: float
    rate: float | None = None

    def fixed_ms(self, link: Link) -> float:
        """What no bandwidth shortens."""
        return self.device_ms + self.server_ms + (0.0 if self.sent_bytes is None else link.waiting_ms)

    def bits(self, link: Link) -> float:
        """What is sent, on average."""
        return 0.0 if self.sent_bytes is None else link.bits(self.sent_bytes)

    def end_to_end_ms(self, link: Link, kbit_per_s: float | None = None) -> float:
        """Device, link and server one after the other; at another bandwidth than the link's, if one is given."""
        return self.fixed_ms(link) + self.bits(link) / (kbit_per_s or link.kbit_per_s)


def profiles() -> list[Link]:
    """The links of the package's table, from slow to fast."""
    with files("sc2bench.report.link").joinpath(PROFILES).open(encoding="utf-8") as file:
        rows = pd.read_csv(file).drop(columns="source").to_dict("records")
    return [Link(**{str(name): value for name, value in row.items()}) for row in rows]


def crossover(first: Choice, second: Choice, link: Link = IDEAL) -> float | None:
    """The bandwidth at which two choices take equally long, kbit/s; `None` if one is faster at any bandwidth.

    The time is linear in the inverse of the bandwidth, so there is at most one.
    """
    more_bits = first.bits(link) - second.bits(link)
    more_ms = second.fixed_ms(link) - first.fixed_ms(link)
    return more_bits / more_ms if more_bits * more_ms > 0 else None


def fastest(choices: Sequence[Choice], link: Link = IDEAL) -> list[tuple[float, float, Choice]]:
    """Which choice is the fastest: bandwidths from and to, kbit/s, and the choice, from slow to fast links."""
    pairs = [(first, second) for number, first in enumerate(choices) for second in choices[:number]]
    bounds = sorted({found for pair in pairs if (found := crossover(*pair, link)) is not None})
    result: list[tuple[float, float, Choice]] = []
    for low, high in zip([0.0, *bounds], [*bounds, inf], strict=True):
        inside = _between(low, high)
        best = min(choices, key=lambda choice: choice.end_to_end_ms(link, inside))
        if result and result[-1][2] is best:
            low = result.pop()[0]
        result.append((low, high, best))
    return result


def _between(low: float, high: float) -> float:
    """A bandwidth inside a range from 0 or more to infinity or less."""
    if high == inf:
        return 2 * low or 1.0
    return sqrt(low * high) or high / 2


@dataclass(frozen=True)
class Comparison:
    """Ways to a prediction of equal quality.

    Attributes:
        quality: that all of them reach, in percent.
        choices: of each curve that reaches it one point, and the teacher behind the link and on the device itself.
        missed: the best quality of each curve that does not reach it, by label.
    """

    quality: float
    choices: tuple[Choice, ...]
    missed: dict[str, float]


def has_times(records: pd.DataFrame, metric: str) -> bool:
    """Whether single images were timed for any of the records that have the metric."""
    return set(_TIMES) <= set(records) and bool(records[[*_TIMES, metric]].notna().all(axis=1).any())


def compare_at(records: pd.DataFrame, metric: str, quality: float | None = None) -> Comparison:
    """Compares curves at one quality.

    Of a curve it is the point of that quality on its Pareto front, with bytes and times interpolated between the two
    measured ones beside it; if the curve starts above, its point of the fewest bytes; and if it ends at most
    `TOLERANCE` points below, its best one. The teacher has its own quality. On the device, it is taken to be as fast as
    on the server: the times of both were measured on one machine.

    Args:
        records: with the column `curve`; those without times are left out.
        metric: the column of the quality.
        quality: in percent; `None`: see `target_quality`.

    Raises:
        DataError: no curve reaches the given quality.
    """
    timed = records.dropna(subset=[*_TIMES, metric])
    groups = curves(timed)
    bests = {label: float(curve[metric].max()) for label, curve in groups.items()}
    teachers = references(timed, metric, ())
    target = target_quality(list(bests.values()), list(teachers.values())) if quality is None else quality
    found = {label: _point_at(label, curve, metric, target) for label, curve in groups.items()}
    choices = [choice for choice in found.values() if choice is not None]
    if quality is not None and bests and not choices:
        label = max(bests, key=lambda name: bests[name])
        raise DataError(
            f"--quality: no curve that was timed reaches {quality:g} %; the best one, '{label}', has {bests[label]:.2f}"
        )
    for label, curve in timed[timed["method"] == REFERENCE_METHOD].groupby("curve", sort=False):
        there = _measured(str(label), curve.iloc[0], metric)
        alone = float(curve["server_network_ms_p50"].iloc[0])
        choices += [there, Choice(f"{label}, on the device", alone, 0.0, None, there.quality)]
    return Comparison(target, tuple(choices), {label: bests[label] for label in found if found[label] is None})


def target_quality(bests: Sequence[float], teachers: Sequence[float]) -> float:
    """The quality at which curves are compared: near the teacher's, if they come there, and else what most reach.

    It is a point below the best teacher's, or where fewer than two thirds of the curves come so close, the highest
    quality that two thirds of them reach; either is rounded down to half a point.

    Args:
        bests: the best quality of each curve.
        teachers: the qualities of the teachers.

    >>> target_quality([54.28, 45.47, 35.94, 61.03, 62.52, 62.74], [64.15])
    54.0
    """
    known = [max(teachers) - min(BELOW_TEACHER)] if teachers else []
    if bests:
        known.append(sorted(bests, reverse=True)[ceil(_MOST * len(bests)) - 1])
    return floor(min(known) / _STEP) * _STEP


def _point_at(label: str, curve: pd.DataFrame, metric: str, target: float) -> Choice | None:
    """The point of a curve that has a quality; see `compare_at`."""
    every = curve[metric].to_numpy(float)
    front = curve.iloc[pareto_front(curve["bytes_mean"].to_numpy(float), every)]
    quality = front[metric].to_numpy(float)
    if not quality[-1] >= target - TOLERANCE:  # nor is a target that is no number reached
        return None
    reached = float(min(max(target, quality[0]), quality[-1]))
    if reached in quality:
        return _measured(label, front[quality == reached].iloc[0], metric)
    size = bytes_at_quality(front["bytes_mean"].to_numpy(float), quality, reached)
    if size is None:
        # The point below sends nothing, and what has no logarithm is not interpolated.
        return _measured(label, front[quality > reached].iloc[0], metric)
    device, server = (float(np.interp(reached, quality, front[name].to_numpy(float))) for name in _TIMES[:2])
    return Choice(label, device, server, size, reached)


def _measured(label: str, point: pd.Series, metric: str) -> Choice:
    device, server, size, quality = (float(point[name]) for name in (*_TIMES[:2], "bytes_mean", metric))
    return Choice(label, device, server, size, quality, None if pd.isna(point["rate"]) else float(point["rate"]))
