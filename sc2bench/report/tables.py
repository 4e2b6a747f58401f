"""Tables of measured points, as Markdown and CSV."""

from collections.abc import Mapping, Sequence

import pandas as pd

from sc2bench.report.bjontegaard import NoOverlap, bd_rate
from sc2bench.report.pareto import bytes_at_quality

REFERENCE_METHOD = "teacher"


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


def summary_table(records: pd.DataFrame, metric: str, anchor: str | None) -> pd.DataFrame:
    """A row a curve: its ranges, and its Bjontegaard delta rate against the anchor.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
        anchor: label of the curve that is compared with; `None` leaves the comparison out.
    """
    rows = []
    for label, curve in curves(records).items():
        row = {
            "Curve": label,
            "Points": len(curve),
            "Bytes": _span(curve["bytes_mean"], ".0f"),
            f"{metric} [%]": _span(curve[metric], ".2f"),
        }
        if anchor is not None:
            row |= _delta(curves(records).get(anchor), curve, metric, anchor)
        rows.append(row)
    return pd.DataFrame(rows)


def equal_quality_table(records: pd.DataFrame, metric: str, anchor: str) -> pd.DataFrame:
    """For each point of the anchor the bytes that every curve needs for its quality; empty where out of range."""
    groups = curves(records)
    rows = []
    for _, point in groups[anchor].iterrows():
        row = {
            f"{anchor} {point['rate_knob']}": point["rate"],
            f"{metric} [%]": point[metric],
            anchor: point["bytes_mean"],
        }
        for label, curve in groups.items():
            if label != anchor:
                row[label] = bytes_at_quality(curve["bytes_mean"].to_numpy(), curve[metric].to_numpy(), point[metric])
        rows.append(row)
    return pd.DataFrame(rows)


def curves(records: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The records of each curve by its label, in order, without the reference that has no rate to choose."""
    rated = records[records["method"] != REFERENCE_METHOD]
    return {str(label): curve for label, curve in rated.groupby("curve", sort=False)}


def to_markdown(table: pd.DataFrame, formats: Mapping[str, str] | None = None) -> str:
    """A table in GitHub's Markdown, numbers to the right.

    Args:
        table: any frame; missing values are left empty.
        formats: for each column how numbers are written, `.1f` if it is not named.
    """
    formats = formats or {}
    cells = [
        [_cell(value, formats.get(name, ".1f")) for name, value in row.items()] for row in table.to_dict("records")
    ]
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table]
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join(_line(row) for row in [list(map(str, table.columns)), rule, *cells]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object, form: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return format(value, form)
    return str(value)


def _span(values: pd.Series, form: str) -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} ... {high}"


def _delta(reference: pd.DataFrame | None, curve: pd.DataFrame, metric: str, anchor: str) -> dict[str, object]:
    """The delta rate with the qualities that it covers, or why there is none."""
    column, where = f"BD rate against {anchor} [%]", f"over {metric} [%]"
    if reference is None:
        return {column: None, where: f"{anchor} is not measured"}
    values = [frame[name].to_numpy() for frame in (reference, curve) for name in ("bytes_mean", metric)]
    try:
        delta, (low, high) = bd_rate(*values)
    except NoOverlap as error:
        return {column: None, where: str(error)}
    return {column: delta, where: f"{low:.2f} ... {high:.2f}"}
