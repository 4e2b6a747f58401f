"""The Markdown document about the records of a suite."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from sc2bench.core.text import markdown
from sc2bench.measures import measure, metric_measure
from sc2bench.report.analysis.points import missing_seeds
from sc2bench.report.tables.points import REFERENCE_METHOD, measured_on, points_table, references, uncertainty
from sc2bench.report.tables.table import Table

# Cells of a column that says the same in every row of a section stand above it instead.
_COSTS = tuple(measure(name).column for name in ("device_params", "device_macs"))
_OFTEN_EMPTY = tuple(measure(name).column for name in ("side_info_bytes_mean", "estimated_bits_mean"))


def document(
    records: pd.DataFrame,
    title: str,
    metric: str,
    tables: Sequence[Table],
    notes: Sequence[str] = (),
    published: pd.DataFrame | None = None,
) -> str:
    """Writes about all curves together first, then about the points of each.

    Args:
        records: points, with the column `curve`.
        title: the heading.
        metric: the column of the quality.
        tables: about several curves, in order.
        notes: sentences below the tables, for instance about what could not be compared.
        published: points that the figures show behind the measured ones.
    """
    blocks = [_introduction(records, "Bytes are means over the samples, with payload, side information and framing.")]
    lines = [
        f"{label}: {metric_measure(metric).short} {quality:.2f} %{_interval(records, label, metric)}, for which "
        f"{records.loc[records['curve'] == label, 'bytes_mean'].iloc[0]:.1f} bytes are sent."
        for label, quality in references(records, metric, ()).items()
    ]
    blocks += [_list(lines)] if lines else []
    blocks += _tables(tables)
    blocks += ["## Not compared", _list(notes)] if notes else []
    blocks += ["## Points"]
    for label, curve in records.groupby("curve", sort=False):
        blocks += _points(str(label), curve, metric, _own_measure(curve, records))
    if published is not None:
        blocks += _published(published, metric)
    return _joined(title, blocks)


def document_of(title: str, points: pd.DataFrame, tables: Sequence[Table]) -> str:
    """Writes nothing but tables under a heading, and what their points are measured on."""
    curves = [curve for _, curve in points.groupby("curve", sort=False)]
    own = [f"{curve['curve'].iloc[0]}: {said}" for curve in curves if (said := _own_measure(curve, points))]
    blocks = [said] if (said := _introduction(points)) else []
    return _joined(title, [*blocks, *([_list(own)] if own else []), *_tables(tables)])


def _introduction(points: pd.DataFrame, *sentences: str) -> str:
    """What points are measured on, as far as that is the same for all, then the sentences, then how sure they are."""
    on = measured_on(points)
    common = [f"Measured on {on}."] if on and len(_measures(points)) == 1 else []
    return markdown(" ".join([*common, *sentences, *uncertainty(points)]))


def _own_measure(curve: pd.DataFrame, points: pd.DataFrame) -> str:
    """What a curve is measured on, if the points of a report differ in that; and which seeds are not there yet."""
    if len(_measures(points)) == 1:
        return ""
    missing = missing_seeds(curve)
    return f"{measured_on(curve)}{f' ({missing})' if missing else ''}."


def _measures(points: pd.DataFrame) -> set[tuple[object, ...]]:
    names = [name for name in ("samples", "split", "seeds") if name in points]
    return set(points[names].itertuples(index=False, name=None)) if names else {()}


def _joined(title: str, blocks: Sequence[str]) -> str:
    return "\n\n".join(block.rstrip("\n") for block in (f"# {markdown(title)}", *blocks)) + "\n"


def _tables(tables: Sequence[Table]) -> list[str]:
    return [
        block
        for table in tables
        for block in (f"## {markdown(table.title)}", markdown(table.caption), table.to_markdown())
    ]


def _points(label: str, curve: pd.DataFrame, metric: str, measured: str) -> list[str]:
    """A section a curve: what all its points share in a sentence, the rest in a table."""
    table = points_table(curve, metric)
    frame = table.frame.drop(columns="Curve")
    shared = [name for name in _COSTS if frame[name].nunique(dropna=False) == 1]
    known = [name for name in shared if frame[name].fillna(0).any()]
    cost = [f"{frame[name].iloc[0]:,.0f} {name.removeprefix('Device ')}" for name in known]
    frame = frame.drop(columns=shared)
    if curve["method"].iloc[0] == REFERENCE_METHOD:
        frame = frame.drop(columns=["Rate knob", "Value"])
    else:
        knob = str(frame["Rate knob"].iloc[0] or "Value")
        frame = frame.drop(columns="Rate knob").rename(columns={"Value": knob})
    empty = [name for name in (*_OFTEN_EMPTY, *_COSTS) if name in frame]
    frame = frame.drop(columns=[name for name in empty if frame[name].fillna(0).eq(0).all()])
    formats = {**table.formats, str(frame.columns[0]): "g", "Bytes": ".1f"}
    rows = replace(table, title=label, caption="", frame=frame, formats=formats).to_markdown()
    said = [f"On the device: {', '.join(cost)}."] if cost else []
    said += [f"Measured on {measured}"] if measured else []
    return [f"### {markdown(label)}", *([markdown(" ".join(said))] if said else []), rows]


def _published(published: pd.DataFrame, metric: str) -> list[str]:
    """The points of the figures that were not measured here, with numbered sources."""
    sources = list(dict.fromkeys(zip(published["source"], published["how_obtained"], strict=True)))
    numbers = {pair: number for number, pair in enumerate(sources, start=1)}
    pairs = zip(published["source"], published["how_obtained"], strict=True)
    what = metric_measure(metric).column
    frame = pd.DataFrame(
        {
            "Curve": published["curve"],
            "Teacher": published["teacher"],
            "Bytes": published["bytes_mean"],
            what: published[metric],
            "Source": [numbers[pair] for pair in pairs],
        }
    )
    title = "Published points"
    caption = (
        "As published, 1 KB taken as 1024 bytes; not measured here. How sizes were taken differs between the sources."
    )
    size = "d" if pd.api.types.is_integer_dtype(frame["Bytes"]) else ".1f"
    return [
        f"## {title}",
        markdown(caption),
        Table("published", title, caption, frame, {"Bytes": size, what: ".2f", "Source": "d"}).to_markdown(),
        "Sources:",
        "\n".join(f"{number}. {markdown(f'{source}: {how}')}" for (source, how), number in numbers.items()),
    ]


def _interval(points: pd.DataFrame, label: str, metric: str) -> str:
    """The confidence interval of a reference's quality in brackets; empty where it is not known."""
    point = points[points["curve"] == label].iloc[0]
    low, high = (point.get(f"{metric}_{end}") for end in ("low", "high"))
    return "" if low is None or pd.isna(low) else f" (95 %: {low:.2f} ... {high:.2f})"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)
