"""Tables of measured points and of what follows from them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sc2bench.report.bjontegaard import NoOverlap, bd_quality, bd_rate
from sc2bench.report.pareto import bytes_at_quality, pareto_front

REFERENCE_METHOD = "teacher"
# Qualities below the teacher's, in points, at which curves are compared.
BELOW_TEACHER = (2, 1)


def points_table(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row a measured point, in the order of the records.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
    """
    columns = {
        "curve": "Curve",
        "rate_knob": "Rate knob",
        "rate": "Value",
        "bytes_mean": "Bytes",
        "payload_bytes_mean": "Payload",
        "side_info_bytes_mean": "Side info",
        "framing_bytes_mean": "Framing",
        "bytes_p95": "Bytes p95",
        "estimated_bits_mean": "Estimated bits",
        metric: f"{metric} [%]",
        "device_params": "Device params",
        "device_macs": "Device MACs",
        "encode_ms": "Encode [ms]",
        "decode_ms": "Decode [ms]",
    }
    if metric == "top1" and "top5" in records:
        columns["top5"] = "top5 [%]"
    return records[list(columns)].rename(columns=columns)


def summary_table(records: pd.DataFrame, metric: str, anchor: str | None) -> tuple[pd.DataFrame, list[str]]:
    """A row a curve: its ranges, its bytes near the teacher's quality, and its Bjontegaard deltas to the anchor.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
        anchor: label of the curve that is compared with; `None` leaves the comparison out.

    Returns:
        The table, and a sentence for each delta that can't be given.
    """
    groups = curves(records)
    joint = _joint_front(records, metric)
    rows, notes = [], []
    for label, curve in groups.items():
        row: dict[str, object] = {
            "Curve": label,
            "Points": len(curve),
            "On the joint front": int(joint[curve.index].sum()),
            "Bytes": _span(curve["bytes_mean"], ".0f"),
            f"{metric} [%]": _span(curve[metric], ".2f"),
        }
        row |= _near_teacher(records, curve, metric)
        if anchor in groups and label != anchor:
            deltas, reasons = _deltas(groups[anchor], curve, metric)
            row |= deltas
            notes += [f"{label}: {reason}" for reason in reasons]
        rows.append(row)
    return pd.DataFrame(rows), notes


def equal_quality_table(records: pd.DataFrame, metric: str, anchor: str) -> pd.DataFrame:
    """A row a curve: the bytes that it needs for the quality of each point of the anchor; empty where out of range.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
        anchor: label of the curve whose qualities head the columns.
    """
    groups = curves(records)
    values = {label: (curve["bytes_mean"].to_numpy(), curve[metric].to_numpy()) for label, curve in groups.items()}
    rate, quality = values[anchor]
    rows = []
    for label in [anchor, *(label for label in groups if label != anchor)]:
        row: dict[str, object] = {"Curve": label}
        for point in pareto_front(rate, quality):
            name = f"{quality[point]:.2f} %"
            row[name] = float(rate[point]) if label == anchor else bytes_at_quality(*values[label], quality[point])
        rows.append(row)
    return pd.DataFrame(rows)


def curves(records: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The records of each curve by its label, in order, without the reference that has no rate to choose."""
    rated = records[records["method"] != REFERENCE_METHOD]
    return {str(label): curve for label, curve in rated.groupby("curve", sort=False)}


def references(records: pd.DataFrame, metric: str, shown: Sequence[str]) -> dict[str, float]:
    """The qualities of the teachers that belong to the shown curves, by label; of all, if no curve is shown."""
    teachers = set(records.loc[records["curve"].isin(shown), "teacher"])
    found = records[records["method"] == REFERENCE_METHOD]
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


def _deltas(anchor: pd.DataFrame, curve: pd.DataFrame, metric: str) -> tuple[dict[str, object], list[str]]:
    """Both deltas with the ranges that they cover, or why there is none."""
    values = [frame[name].to_numpy() for frame in (anchor, curve) for name in ("bytes_mean", metric)]
    kinds: tuple[tuple[str, str, Callable[..., Any], str], ...] = (
        ("BD rate [%]", f"over {metric} [%]", bd_rate, ".2f"),
        (f"BD {metric} [points]", "over bytes", bd_quality, ".0f"),
    )
    row: dict[str, object] = {}
    reasons: list[str] = []
    for column, where, function, form in kinds:
        try:
            delta, (low, high) = function(*values)
            row |= {column: delta, where: f"{low:{form}} ... {high:{form}}"}
        except NoOverlap as error:
            row |= {column: None, where: ""}
            reasons.append(f"no {column.split(' [')[0]}, because {error}")
    return row, reasons


def _span(values: pd.Series, form: str) -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} ... {high}"
