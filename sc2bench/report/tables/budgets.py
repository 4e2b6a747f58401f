"""The best measured points that keep within a budget of bytes, of device cost, or of both."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from sc2bench.measures import measure, metric_measure
from sc2bench.report.tables.points import REFERENCE_METHOD, curves
from sc2bench.report.tables.table import Table

_MOST_BUDGETS = 8
_DIGITS = ((1, 2, 5), (1, 3), (1,))
_ANY = float("inf")
# How budgets are written: with all digits that anybody gives.
_BUDGET = ",.12g"


def round_numbers(low: float, high: float, most: int = _MOST_BUDGETS) -> list[float]:
    """Round numbers inside a range, evenly spread over its orders of magnitude.

    Args:
        low: positive.
        high: not less than `low`.
        most: how many numbers there may be.

    Returns:
        Rising numbers; if there is none inside, the smallest power of ten above.

    >>> round_numbers(7.6, 480)
    [10.0, 20.0, 50.0, 100.0, 200.0]
    >>> round_numbers(120, 150)
    [1000.0]
    """
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    values: list[float] = []
    for digits in _DIGITS:
        values = [value for k in decades for digit in digits if low <= (value := digit * 10.0**k) <= high]
        if len(values) <= most:
            break
    return values[:: -(-len(values) // most)] if values else [10.0 ** np.ceil(np.log10(high))]


def byte_budgets(records: pd.DataFrame) -> list[float]:
    """Budgets that tell the points of the records apart."""
    rate = _rated(records)["bytes_mean"]
    return round_numbers(rate.min(), rate.max())


def cost_budgets(records: pd.DataFrame, cost: str) -> list[float]:
    """Budgets that tell the device costs of the records apart: none at all, if that occurs, and round numbers."""
    known = _rated(records)[cost].dropna().astype(float)
    positive = known[known > 0]
    found = round_numbers(positive.min(), positive.max(), most=5) if len(positive) else []
    return [0.0, *found] if (known == 0).any() else found


def budget_table(records: pd.DataFrame, metric: str, budgets: Sequence[float]) -> Table:
    """A row a curve, a column a budget of bytes: the best quality among the measured points that keep to it.

    Args:
        records: with the column `curve`.
        metric: the column of the quality.
        budgets: bytes a sample.
    """
    columns = {budget: f"{budget:{_BUDGET}} bytes" for budget in budgets}
    rows = []
    for label, curve in curves(records).items():
        row: dict[str, object] = {"Curve": label}
        for budget, name in columns.items():
            best = _best(curve[curve["bytes_mean"] <= budget], metric)
            row |= {name: None if best is None else best[metric], f"{name}, std": _deviation(best, metric)}
        rows.append(row)
    frame, deviations = _with_known_deviations(pd.DataFrame(rows), columns.values())
    return Table(
        "budget_bytes",
        "Best quality under a budget of bytes",
        f"{metric_measure(metric).column} of the best measured point of a curve whose mean bytes keep to the budget; "
        "empty where none does.",
        frame,
        dict.fromkeys(columns.values(), ".2f"),
        list(columns.values()),
        deviations,
    )


def joint_budget_table(
    records: pd.DataFrame, metric: str, cost: str, bytes_budgets: Sequence[float], costs_budgets: Sequence[float]
) -> Table:
    """The best point of all curves for each pair of budgets, of device cost and of bytes.

    Args:
        records: with the column `curve`; a missing cost keeps to no budget.
        metric: the column of the quality.
        cost: the column of the device cost.
        bytes_budgets: bytes a sample.
        costs_budgets: in the unit of `cost`.

    Returns:
        A row a pair, without those that choose the point of a smaller budget.
    """
    what, price = metric_measure(metric), measure(cost)
    rated = _rated(records)
    rows: list[dict[str, object]] = []
    chosen: dict[float, object] = {}
    for most_cost in [*sorted(costs_budgets), _ANY]:
        affordable = rated if most_cost == _ANY else rated[rated[cost].astype(float) <= most_cost]
        before = None
        for most_bytes in sorted(bytes_budgets):
            best = _best(affordable[affordable["bytes_mean"] <= most_bytes], metric)
            if best is None:
                continue
            if best.name not in (before, chosen.get(most_bytes)):
                rows.append(
                    {
                        f"{price.short} at most": "any" if most_cost == _ANY else f"{most_cost:{_BUDGET}}",
                        "Bytes at most": most_bytes,
                        "Curve": best["curve"],
                        what.column: best[metric],
                        f"{what.column}, std": _deviation(best, metric),
                        "Bytes": best["bytes_mean"],
                        "Bytes, std": _deviation(best, "bytes_mean"),
                        price.short: best[cost],
                    }
                )
            before = chosen[most_bytes] = best.name
    frame, deviations = _with_known_deviations(pd.DataFrame(rows), (what.column, "Bytes"))
    return Table(
        "budget_joint",
        f"Best point under a budget of bytes and {price.short}",
        f"The measured point of the highest {what.short} that keeps to both budgets; a pair of budgets that is not "
        "listed chooses the better one of the points of the next smaller pairs.",
        frame,
        {what.column: ".2f", "Bytes at most": _BUDGET, price.short: ".3f" if price.unit == "ms" else ",.0f"},
        deviations=deviations,
    )


def _deviation(point: pd.Series | None, name: str) -> float | None:
    """The standard deviation over seeds, if there is one."""
    return None if point is None else point.get(f"{name}_std")


def _with_known_deviations(frame: pd.DataFrame, names: Iterable[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Drops columns of deviations that say nothing; returns the others by the column that they belong to."""
    found = {name: f"{name}, std" for name in names if f"{name}, std" in frame}
    known = {name: other for name, other in found.items() if frame[other].notna().any()}
    return frame.drop(columns=[other for other in found.values() if other not in known.values()]), known


def _rated(records: pd.DataFrame) -> pd.DataFrame:
    return records[records["method"] != REFERENCE_METHOD]


def _best(points: pd.DataFrame, metric: str) -> pd.Series | None:
    """The point of the highest quality, among equals that of the fewest bytes."""
    if points.empty:
        return None
    return points.sort_values([metric, "bytes_mean"], ascending=[False, True], kind="stable").iloc[0]
