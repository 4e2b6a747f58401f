"""Tables of the time from an image to its prediction, over links."""

from collections.abc import Sequence
from math import inf

import pandas as pd

from sc2bench.report.link import IDEAL, Choice, Link, choices, crossover, fastest, profiles
from sc2bench.report.quantities import metric_quantity
from sc2bench.report.table import Table
from sc2bench.report.tables import BELOW_TEACHER


def link_tables(records: pd.DataFrame, metric: str) -> list[Table]:
    """All tables about links, of records that have times.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
    """
    found = choices(records, metric)
    return [
        link_latency_table(found, metric, profiles(), _machines(records)),
        link_fastest_table(found),
        crossover_table(found),
    ]


def link_latency_table(found: Sequence[Choice], metric: str, links: Sequence[Link], machines: str = "") -> Table:
    """A row a choice, a column a link: milliseconds from an image to its prediction.

    Args:
        found: what is compared.
        metric: the column of the quality.
        links: what is between device and server.
        machines: where the times were measured.
    """
    what = metric_quantity(metric)
    rows = []
    for choice in found:
        row: dict[str, object] = {
            "Curve": choice.label,
            "Value": choice.rate,
            what.head: choice.quality,
            "Bytes": choice.sent_bytes,
            "Device [ms]": choice.device_ms,
            "Server [ms]": choice.server_ms,
        }
        rows.append(row | {f"{link.name} [ms]": choice.end_to_end_ms(link) for link in links})
    caption = (
        "Device, link and server one after the other, medians of single images"
        f"{f' on {machines}' if machines else ''}. Of a curve, the point of the fewest bytes whose {what.short} is at "
        f"most {min(BELOW_TEACHER)} point below the teacher's, else its best one. On the device: the teacher takes as "
        "long there as on the server, for both were timed on one machine. Links: "
        + "; ".join(_described(link) for link in links)
        + "."
    )
    formats = {"Value": "g", what.head: ".2f", "Device [ms]": ".2f", "Server [ms]": ".2f"}
    return Table("link_latency", "End-to-end latency", caption, pd.DataFrame(rows), formats)


def link_fastest_table(found: Sequence[Choice], link: Link = IDEAL) -> Table:
    """A row a range of bandwidths, with the choice that is the fastest in it."""
    rows = [
        {
            "From [kbit/s]": low or None,
            "To [kbit/s]": None if high == inf else high,
            "Fastest": choice.label,
            "Bytes": choice.sent_bytes,
        }
        for low, high, choice in fastest(found, link)
    ]
    caption = (
        "The choice of the least end-to-end latency at each bandwidth, of a link without round trip, loss and "
        "overhead. Between two choices there is at most one such crossover, since latency is linear in the inverse of "
        "the bandwidth; link_crossovers.csv has those of all pairs."
    )
    formats = {"From [kbit/s]": ",.1f", "To [kbit/s]": ",.1f"}
    return Table("link_fastest", "Fastest at each bandwidth", caption, pd.DataFrame(rows), formats)


def crossover_table(found: Sequence[Choice], link: Link = IDEAL) -> Table:
    """A row a pair of choices: the bandwidth at which they take equally long, and which one is faster below it."""
    rows = []
    for number, second in enumerate(found):
        for first in found[:number]:
            bandwidth = crossover(first, second, link)
            few, many = sorted((first, second), key=lambda choice: choice.bits(link))
            quick = min((first, second), key=lambda choice: choice.end_to_end_ms(link, bandwidth or 1.0))
            rows.append(
                {
                    "First": first.label,
                    "Second": second.label,
                    "Crossover [kbit/s]": bandwidth,
                    "Faster below": quick.label if bandwidth is None else few.label,
                    "Faster above": quick.label if bandwidth is None else many.label,
                }
            )
    caption = (
        "The bandwidth at which two choices have the same end-to-end latency, of a link without round trip, loss and "
        "overhead; empty where one of them is faster at any bandwidth."
    )
    columns = ["First", "Second", "Crossover [kbit/s]", "Faster below", "Faster above"]
    formats = {"Crossover [kbit/s]": ",.1f"}
    return Table("link_crossovers", "Crossover bandwidths", caption, pd.DataFrame(rows, columns=columns), formats)


def _described(link: Link) -> str:
    words = [f"{link.kbit_per_s:,g} kbit/s", f"round trip {link.round_trip_ms:g} ms"]
    if link.loss:
        words.append(f"loss {100 * link.loss:g} %")
    return f"{link.name}, {', '.join([*words, f'{link.overhead_bytes} bytes beside each {link.message_bytes}'])}"


def _machines(records: pd.DataFrame) -> str:
    """Processors and numbers of threads of the times, each once."""
    timed = records.dropna(subset=["device_ms_p50", "latency_threads"])
    # The seeds of a point may have been measured on several machines.
    environments = timed["environments"] if "environments" in timed else timed["environment"].map(lambda where: [where])
    pairs = [(where, n) for own, n in zip(environments, timed["latency_threads"], strict=True) for where in own]
    known = [(where.get("accelerator") or where.get("processor"), int(threads)) for where, threads in pairs]
    named = {(name, threads) for name, threads in known if name}
    return "; ".join(f"{name} with {n} thread{'s' if n > 1 else ''}" for name, n in sorted(named))
