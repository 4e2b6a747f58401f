"""The link between device and server, and the time from an image to its prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import ceil, inf, sqrt

import pandas as pd

from sc2bench.report.tables import BELOW_TEACHER, REFERENCE_METHOD, curves, references

# The package's own table; its column `source` says what each number is taken from, and what is assumed.
PROFILES = "link_profiles.csv"
_BYTE_BITS = 8
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
    """A way to a prediction, with the point of its curve that is chosen.

    Attributes:
        label: of the curve.
        device_ms: time of the device's half, for one image.
        server_ms: time of the server's half.
        sent_bytes: mean bytes of a sample; `None` if nothing is sent.
        quality: in percent.
        rate: the value of the rate knob.
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
    with files("sc2bench.report").joinpath(PROFILES).open(encoding="utf-8") as file:
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


def has_times(records: pd.DataFrame) -> bool:
    """Whether single images were timed for any of the records."""
    return set(_TIMES) <= set(records) and bool(records[list(_TIMES)].notna().all(axis=1).any())


def choices(records: pd.DataFrame, metric: str) -> list[Choice]:
    """One point of each curve, and the teacher behind the link and on the device itself.

    Of a curve it is the point of the fewest bytes whose quality is at most a point below the teacher's (without a
    teacher: below the best of all records); if there is none, that of the highest quality. For the teacher on the
    device, the device is taken to be as fast as the server: the times of both were measured on one machine.

    Args:
        records: with the column `curve`; those without times are left out.
        metric: the column of the quality.
    """
    timed = records.dropna(subset=[*_TIMES, metric])
    best = max(references(records, metric, ()).values(), default=records[metric].max())
    found = []
    for label, curve in curves(timed).items():
        near = curve[curve[metric] >= best - min(BELOW_TEACHER)]
        point = curve.loc[curve[metric].idxmax()] if near.empty else near.loc[near["bytes_mean"].idxmin()]
        found.append(_choice(label, point, metric))
    for label, curve in timed[timed["method"] == REFERENCE_METHOD].groupby("curve", sort=False):
        point = curve.iloc[0]
        found.append(_choice(str(label), point, metric))
        alone = float(point["server_network_ms_p50"])
        found.append(Choice(f"{label}, on the device", alone, 0.0, None, float(point[metric])))
    return found


def _choice(label: str, point: pd.Series, metric: str) -> Choice:
    device, server, size, quality = (float(point[name]) for name in (*_TIMES[:2], "bytes_mean", metric))
    return Choice(label, device, server, size, quality, None if pd.isna(point["rate"]) else float(point["rate"]))
