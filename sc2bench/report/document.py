"""The Markdown document about the records of a suite."""

import pandas as pd

from sc2bench.report.markdown import to_markdown
from sc2bench.report.tables import (
    BELOW_TEACHER,
    REFERENCE_METHOD,
    curves,
    equal_quality_table,
    points_table,
    references,
    summary_table,
)

_FORMATS = {
    "Value": "g",
    "Encode [ms]": ".3f",
    "Decode [ms]": ".3f",
    "Points": "d",
    "On the joint front": "d",
    "Source": "d",
}


def document(
    records: pd.DataFrame, title: str, metric: str, anchor: str | None, published: pd.DataFrame | None = None
) -> str:
    """Writes about all curves together first, then about the points of each.

    Args:
        records: with the column `curve`.
        title: the heading.
        metric: the column of the quality.
        anchor: label of the curve that the others are compared with.
        published: points that the figures show behind the measured ones.
    """
    groups = curves(records)
    blocks = [f"# {title}", "Bytes are means over the samples, with payload, side information and framing."]
    if groups:
        blocks += _summary(records, metric, anchor)
    if anchor is not None and anchor in groups:
        blocks += [
            f"## Bytes for the quality of {anchor}",
            f"A column for each {metric} on the Pareto front of {anchor}; interpolated on each curve's own front, "
            "empty outside its range.",
            to_markdown(equal_quality_table(records, metric, anchor)),
        ]
    blocks += ["## Points"]
    for label, curve in records.groupby("curve", sort=False):
        blocks += _points(str(label), curve, metric)
    if published is not None:
        blocks += _published(published, metric)
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def _summary(records: pd.DataFrame, metric: str, anchor: str | None) -> list[str]:
    table, notes = summary_table(records, metric, anchor)
    lines = ["On the joint front: points that no point of any curve beats in both bytes and quality."]
    for label, quality in references(records, metric, ()).items():
        raw = records.loc[records["curve"] == label, "bytes_mean"].iloc[0]
        lines.insert(0, f"{label}: {metric} {quality:.2f} %, for which {raw:.1f} bytes are sent.")
    if references(records, metric, ()):
        depths = " or ".join(str(below) for below in BELOW_TEACHER)
        lines.append(
            f"Bytes, teacher - {depths}: what the curve needs for a {metric} that many points below the teacher's, "
            "interpolated on its Pareto front; empty where it does not come so close."
        )
    if anchor in curves(records):
        lines.append(
            f"BD, Bjontegaard delta against {anchor}: the mean difference in bytes at equal {metric}, and in {metric} "
            "at equal bytes, over the range that both curves cover."
        )
    formats = _FORMATS | {f"BD {metric} [points]": "+.2f", "BD rate [%]": "+.1f"}
    blocks = ["## Curves", _list(lines), to_markdown(table, formats)]
    return [*blocks, _list(notes)] if notes else blocks


def _points(label: str, curve: pd.DataFrame, metric: str) -> list[str]:
    """A section a curve: what all its points share in a sentence, the rest in a table."""
    table = points_table(curve, metric).drop(columns="Curve")
    shared = [name for name in ("Device params", "Device MACs") if table[name].nunique() == 1]
    cost = [f"{table[name].iloc[0]:,.0f} {name.removeprefix('Device ')}" for name in shared if table[name].any()]
    table = table.drop(columns=shared)
    if curve["method"].iloc[0] == REFERENCE_METHOD:
        table = table.drop(columns=["Rate knob", "Value"])
    else:
        knob = str(table["Rate knob"].iloc[0])
        table = table.drop(columns="Rate knob").rename(columns={"Value": knob})
    empty = [name for name in ("Side info", "Estimated bits") if table[name].fillna(0).eq(0).all()]
    table = table.drop(columns=empty)
    formats = _FORMATS | {f"{name} [%]": ".2f" for name in (metric, "top5")} | {str(table.columns[0]): "g"}
    formats |= {"Bytes": ".1f", "Device params": ",.0f", "Device MACs": ",.0f"}
    return [f"### {label}", *([f"On the device: {', '.join(cost)}."] if cost else []), to_markdown(table, formats)]


def _published(published: pd.DataFrame, metric: str) -> list[str]:
    """The points of the figures that were not measured here, with numbered sources."""
    sources = list(dict.fromkeys(zip(published["source"], published["how_obtained"], strict=True)))
    numbers = {pair: number for number, pair in enumerate(sources, start=1)}
    pairs = zip(published["source"], published["how_obtained"], strict=True)
    table = pd.DataFrame(
        {
            "Curve": published["curve"],
            "Teacher": published["teacher"],
            "Bytes": published["bytes_mean"],
            f"{metric} [%]": published[metric],
            "Source": [numbers[pair] for pair in pairs],
        }
    )
    return [
        "## Published points",
        "As published, 1 KB taken as 1024 bytes; not measured here. How sizes were taken differs between the sources.",
        to_markdown(table, _FORMATS | {"Bytes": "d", f"{metric} [%]": ".2f"}),
        "Sources:",
        "\n".join(f"{number}. {source}: {how}" for (source, how), number in numbers.items()),
    ]


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
