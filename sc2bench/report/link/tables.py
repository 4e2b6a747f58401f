"""Tables of the time from an image to its prediction, over links."""

from collections.abc import Sequence
from math import inf

import pandas as pd

from sc2bench.measures import metric_measure
from sc2bench.report.link.latency import (
    IDEAL,
    TOLERANCE,
    Choice,
    Comparison,
    Link,
    compare_at,
    crossover,
    fastest,
    profiles,
)
from sc2bench.report.tables.table import Table


def link_tables(records: pd.DataFrame, metric: str, quality: float | None = None) -> list[Table]:
    """All tables about links, of records that have times.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
        quality: at which curves are compared, in percent; `None`: see `link.target_quality`.

    Raises:
        DataError: no curve reaches the quality.
    """
    compared = compare_at(records, metric, quality)
    return [
        link_latency_table(compared, metric, profiles(), _machines(records)),
        link_fastest_table(compared, metric),
        crossover_table(compared.choices),
    ]


def link_latency_table(compared: Comparison, metric: str, links: Sequence[Link], machines: str = "") -> Table:
    """A row a choice, a column a link: milliseconds from an image to its prediction.

    Args:
        compared: what is compared; curves that are not have their best quality, and nothing else.
        metric: the column of the quality.
        links: what is between device and server.
        machines: where the times were measured.
    """
    what = metric_measure(metric)
    rows = []
    for choice in compared.choices:
        row: dict[str, object] = {
            "Curve": choice.label,
            "Compared": "yes",
            "Value": choice.rate,
            what.column: choice.quality,
            "Bytes": choice.sent_bytes,
            "Device [ms]": choice.device_ms,
            "Server [ms]": choice.server_ms,
        }
        rows.append(row | {f"{link.name} [ms]": choice.end_to_end_ms(link) for link in links})
    rows += [{"Curve": label, "Compared": "no", what.column: best} for label, best in compared.missed.items()]
    caption = (
        "Device, link and server one after the other, medians of single images"
        f"{f' on {machines}' if machines else ''}. {equal_quality_sentence(compared, metric)} On the device: the "
        "teacher takes as long there as on the server, for both were timed on one machine. Links: "
        + "; ".join(_described(link) for link in links)
        + "."
    )
    formats = {"Value": "g", what.column: ".2f", "Device [ms]": ".2f", "Server [ms]": ".2f"}
    title = f"End-to-end latency at a {what.short} of {compared.quality:g} %"
    return Table("link_latency", title, caption, pd.DataFrame(rows), formats)


def equal_quality_sentence(compared: Comparison, metric: str) -> str:
    """What is compared at which quality, and what is not."""
    what = metric_measure(metric).short
    text = (
        f"Curves are compared at a {what} of {compared.quality:g} %: bytes and times are interpolated between the "
        "measured points of the Pareto front beside it; the value of the rate knob is then empty. A curve that starts "
        f"above has its point of the fewest bytes, one that ends at most {TOLERANCE:g} points below has its best one, "
        "and a teacher has its own quality."
    )
    return f"{text} {missed_sentence(compared)}".rstrip()


def missed_sentence(compared: Comparison) -> str:
    """Which curves are not compared; empty if all are."""
    named = ", ".join(f"{label} (at best {best:.1f} %)" for label, best in compared.missed.items())
    return f"Not compared, for they don't reach it: {named}." if named else ""


def link_fastest_table(compared: Comparison, metric: str, link: Link = IDEAL) -> Table:
    """A row a range of bandwidths, with the choice that is the fastest in it."""
    what = metric_measure(metric)
    rows = [
        {
            "From [kbit/s]": low or None,
            "To [kbit/s]": None if high == inf else high,
            "Fastest": choice.label,
            what.column: choice.quality,
            "Bytes": choice.sent_bytes,
        }
        for low, high, choice in fastest(compared.choices, link)
    ]
    missed = missed_sentence(compared)
    caption = (
        f"Among the curves that reach a {what.short} of {compared.quality:g} %, each at that quality as in the table "
        "of latencies, the choice of the least end-to-end latency at each bandwidth, of a link without round trip, "
        f"loss and overhead. {f'{missed} ' if missed else ''}Between two choices there is at most one such crossover, "
        "since latency is linear in the inverse of the bandwidth; link_crossovers.csv has those of all pairs."
    )
    formats = {"From [kbit/s]": ",.1f", "To [kbit/s]": ",.1f", what.column: ".2f"}
    title = f"Fastest at each bandwidth for a {what.short} of {compared.quality:g} %"
    return Table("link_fastest", title, caption, pd.DataFrame(rows), formats)


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
        "The bandwidth at which two choices of the table of latencies have the same end-to-end latency, of a link "
        "without round trip, loss and overhead; empty where one of them is faster at any bandwidth."
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
