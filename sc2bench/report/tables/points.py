"""Tables of measured points and of what follows from them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from sc2bench.measures import PARTS, SHARES, measure, metric_measure
from sc2bench.report.analysis.bjontegaard import Delta, NoOverlap, bd_quality, bd_rate
from sc2bench.report.analysis.pareto import bytes_at_quality, pareto_front
from sc2bench.report.analysis.points import metrics_of
from sc2bench.report.tables.table import Columns, Table

REFERENCE_METHOD = "teacher"
# Qualities below the teacher's, in points, at which curves are compared.
BELOW_TEACHER = (2, 1)
# More than these behind the point no number has.
_ALL_DIGITS = 18
_SIZES = (*PARTS, "bytes_p95", "estimated_bits_mean")
# How costs of points are written.
_COSTS = {"device_params": ",.0f", "device_macs": ",.0f", "encode_ms": ".3f", "decode_ms": ".3f"}


def points_table(records: pd.DataFrame, metric: str) -> Table:
    """A row a measured point, in the order of the records.

    Args:
        records: points, with the column `curve`.
        metric: the column of the quality.
    """
    chosen = Columns(records)
    chosen.add_points()
    for name in _SIZES:
        chosen.add(name, measure(name).column)
    chosen.add_spread(metric, metric_measure(metric), ".2f")
    chosen.add_interval(metric, metric_measure(metric))
    for name, form in _COSTS.items():
        chosen.add(name, measure(name).column, form)
    for beside in ("top5", "top1_subset") if metric == "top1" else ():
        if beside in records:
            chosen.add_spread(beside, measure(beside), ".2f")
    caption = "All measured points. Bytes are means over the samples, with payload, side information and framing."
    return chosen.table("points", "Points", " ".join([caption, *uncertainty(records)]))


def uncertainty(points: pd.DataFrame) -> list[str]:
    """Sentences about the seeds and the confidence intervals of points, if they have some."""
    said = []
    several = "seeds" in points and (points["seeds"].map(len) > 1).any()
    if several:
        said.append(
            "Points of several seeds are the means over them, \u00b1 the sample standard deviation (n - 1) of bytes "
            "and qualities; all comparisons are of these means."
        )
    known = [name for name in metrics_of(points) if f"{name}_low" in points and points[f"{name}_low"].notna().any()]
    ways = ["binomial (Wilson) for accuracies"] if any(name in SHARES for name in known) else []
    ways += ["between percentiles of a bootstrap over images for other metrics"] if set(known) - set(SHARES) else []
    if ways:
        of_seeds = "; of several seeds the means of its ends" if several else ""
        said.append(
            f"95 %: the confidence interval of a trained model's quality on other images, {', '.join(ways)}{of_seeds}."
        )
    return said


def measured_on(points: pd.DataFrame) -> str:
    """The samples, split and seeds of points in a clause; what differs among them is given as a range."""
    words = []
    if "samples" in points:
        low, high = (f"{value:,.0f}" for value in (points["samples"].min(), points["samples"].max()))
        words.append(f"{low if low == high else f'{low} to {high}'} samples")
    if "split" in points:
        words.append("of " + " and ".join(f"the split '{split}'" for split in dict.fromkeys(points["split"])))
    seeds = sorted({seed for own in points["seeds"] for seed in own}) if "seeds" in points else []
    if seeds:
        words.append(f"with seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    return " ".join(words)


def summary_table(records: pd.DataFrame, metric: str) -> Table:
    """A row a curve: its ranges, and its bytes near the teacher's quality.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
    """
    what = metric_measure(metric)
    joint = _joint_front(records, metric)
    counts = records["seeds"].map(len) if "seeds" in records else pd.Series(1, index=records.index)
    rows = []
    for label, curve in curves(records).items():
        row: dict[str, object] = {
            "Curve": label,
            "Points": len(curve),
            **({"Seeds": _span(counts[curve.index], "d")} if (counts > 1).any() else {}),
            "On the joint front": int(joint[curve.index].sum()),
            "Bytes": _span(curve["bytes_mean"], ".0f"),
            what.column: _span(curve[metric], ".2f"),
        }
        rows.append(row | _near_teacher(records, curve, metric))
    caption = "On the joint front: points that no point of any curve beats in both bytes and quality."
    if references(records, metric, ()):
        depths = " or ".join(str(below) for below in BELOW_TEACHER)
        caption += (
            f" Bytes, teacher - {depths}: what the curve needs for a {what.short} that many points below the "
            "teacher's, interpolated on its Pareto front; empty where it does not come so close."
        )
    return Table("curves", "Curves", caption, pd.DataFrame(rows), {"Points": "d", "On the joint front": "d"})


def delta_table(records: pd.DataFrame, metric: str, anchor: str) -> tuple[Table, list[str]]:
    """A row a curve: its Bjontegaard deltas to the anchor, with the ranges that they are means over.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
        anchor: label of the curve that is compared with.

    Returns:
        The table, and a sentence for each delta that can't be given.
    """
    what = metric_measure(metric).short
    groups = curves(records)
    rate, quality = "BD rate [%]", f"BD {what} [points]"
    rows: list[dict[str, object]] = []
    notes = []
    for label, curve in groups.items():
        if label == anchor:
            continue
        row: dict[str, object] = {"Curve": label}
        values = [frame[name].to_numpy() for frame in (groups[anchor], curve) for name in ("bytes_mean", metric)]
        for column, where, form, function in (
            (rate, what, ".2f", bd_rate),
            (quality, "bytes", ".0f", bd_quality),
        ):
            cells, reason = _delta(function, values, form)
            row |= dict(zip((column, f"over {where}", f"share of {where}"), cells, strict=True))
            if reason:
                notes.append(f"{label}: no {column.split(' [')[0]}, because {reason}")
        rows.append(row)
    caption = (
        f"Bjontegaard deltas against {anchor}: the mean difference in bytes at equal {what}, and in {what} at equal "
        "bytes, of the Pareto fronts, interpolated by monotone cubics (pchip), over the range that both curves cover. "
        "Share: what this range is of the narrower curve's, in percent; of bytes, on a logarithmic scale."
    )
    formats = {rate: "+.1f", quality: "+.2f", f"share of {what}": ".0f", "share of bytes": ".0f"}
    return Table("bjontegaard", f"Bjontegaard deltas against {anchor}", caption, pd.DataFrame(rows), formats), notes


def equal_quality_table(records: pd.DataFrame, metric: str, anchor: str) -> Table:
    """A row a curve: the bytes that it needs for the quality of each point of the anchor; empty where out of range.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
        anchor: label of the curve whose qualities head the columns.
    """
    groups = curves(records)
    values = {label: (curve["bytes_mean"].to_numpy(), curve[metric].to_numpy()) for label, curve in groups.items()}
    rate, quality = values[anchor]
    front = pareto_front(rate, quality)
    names = _told_apart(quality[front])
    rows = []
    for label in [anchor, *(label for label in groups if label != anchor)]:
        row: dict[str, object] = {"Curve": label}
        for point, name in zip(front, names, strict=True):
            row[name] = float(rate[point]) if label == anchor else bytes_at_quality(*values[label], quality[point])
        rows.append(row)
    caption = (
        f"A column for each {metric_measure(metric).short} on the Pareto front of {anchor}; interpolated on each "
        "curve's own front, empty outside its range."
    )
    return Table("equal_quality", f"Bytes for the quality of {anchor}", caption, pd.DataFrame(rows))


def curves(records: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The records of each curve by its label, in order, without the reference that has no rate to choose."""
    rated = records[records["method"] != REFERENCE_METHOD]
    return {str(label): curve for label, curve in rated.groupby("curve", sort=False)}


def references(records: pd.DataFrame, metric: str, shown: Sequence[str]) -> dict[str, float]:
    """The qualities of the teachers that belong to the shown curves, by label; of all, if no curve is shown."""
    teachers = set(records.loc[records["curve"].isin(shown), "teacher"])
    found = records[(records["method"] == REFERENCE_METHOD) & records[metric].notna()]
    if teachers:
        found = found[found["teacher"].isin(teachers)]
    return {str(label): float(curve[metric].iloc[0]) for label, curve in found.groupby("curve", sort=False)}


def _joint_front(records: pd.DataFrame, metric: str) -> pd.Series:
    """Whether a point is beaten by no point of any curve of the same teacher, for each record with a rate."""
    rated = records[records["method"] != REFERENCE_METHOD]
    front = pd.Series(False, index=rated.index)
    for _, group in rated.groupby("teacher"):
        kept = pareto_front(group["bytes_mean"].to_numpy(), group[metric].to_numpy())
        front[group.index[kept]] = True
    return front


def _near_teacher(records: pd.DataFrame, curve: pd.DataFrame, metric: str) -> dict[str, str]:
    """The bytes for a quality that is some points below the teacher's; empty where the curve does not reach it."""
    row = {}
    of_teacher = references(records, metric, [curve["curve"].iloc[0]])
    rate, quality = curve["bytes_mean"].to_numpy(), curve[metric].to_numpy()
    for below in BELOW_TEACHER if of_teacher else ():
        wanted = max(of_teacher.values()) - below
        needed = bytes_at_quality(rate, quality, wanted)
        cell = "" if needed is None else f"{needed:.1f}"
        if wanted < quality[np.argmin(rate)]:
            # The curve starts above: it needs no more than its smallest rate.
            cell = f"<= {rate.min():.1f}"
        row[f"Bytes, teacher - {below}"] = cell
    return row


def _delta(
    function: Callable[..., Delta], values: Sequence[np.ndarray], form: str
) -> tuple[tuple[float | None, str, float | None], str]:
    """The cells of a delta, its range and its share, or empty ones with the reason."""
    try:
        delta = function(*values)
    except NoOverlap as error:
        return (None, "", None), str(error)
    return (delta.value, f"{delta.low:{form}} ... {delta.high:{form}}", 100 * delta.share), ""


def _told_apart(qualities: Sequence[float]) -> list[str]:
    """Qualities as heads of columns, with as many digits as it takes that no two are the same."""
    names: list[str] = []
    for digits in range(2, _ALL_DIGITS):
        names = [f"{quality:.{digits}f} %" for quality in qualities]
        if len(set(names)) == len(names):
            break
    return names


def _span(values: pd.Series, form: str) -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} ... {high}"
