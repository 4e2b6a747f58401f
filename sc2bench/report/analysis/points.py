"""From records to the points of curves: the seeds of one point are one point, with mean and spread."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sc2bench.core.intervals import binomial_interval
from sc2bench.measures import KINDS, SHARES

# What tells the points of a suite apart.
POINT = ("curve", "rate")
_ENDINGS = ("_std", "_low", "_high")
_IDENTITY = ("schema_version", "seed", "config_hash")


def points_of(records: pd.DataFrame, by: Sequence[str] = POINT) -> pd.DataFrame:
    """Joins records that differ in nothing but their seed.

    Args:
        records: as `load_records` gives them, with the columns `by`.
        by: the columns that tell points apart.

    Returns:
        A row a point, in the order of their first records, with the columns of the records: numbers are means over the
        seeds, everything else is that of the first record, `quality` the means of its metrics. Besides: `seeds` (a
        tuple; empty where records don't say), `environments` (a list, one a seed), `bytes_mean_std` and `<metric>_std`
        (the sample standard deviation over seeds; missing for a single one), `<metric>_low` and `<metric>_high` (the
        confidence interval of 95 %, means over the seeds; missing where it is not known).
    """
    if records.empty:
        return records.assign(seeds=None)
    metrics = metrics_of(records)
    records = _with_intervals(records, metrics)
    groups = [group for _, group in records.groupby(list(by), sort=False, dropna=False)]
    return pd.DataFrame([_point(group, metrics) for group in groups])


def metrics_of(records: pd.DataFrame) -> list[str]:
    """The columns that are metrics: those that `quality` names, else the numbers beside a record's fields."""
    if "quality" in records:
        named = dict.fromkeys(name for quality in records["quality"] for name in quality)
        return [name for name in named if name in records]
    others = [str(name) for name in records if name not in KINDS and not str(name).endswith(_ENDINGS)]
    return [name for name in others if pd.api.types.is_numeric_dtype(records[name])]


def _point(group: pd.DataFrame, metrics: Sequence[str]) -> dict[str, Any]:
    """One point as a row."""
    point: dict[str, Any] = {str(name): value for name, value in group.iloc[0].items()}
    several = len(group) > 1
    if several:
        for name in group:
            values = pd.to_numeric(group[name], errors="coerce") if _is_numeric(group[name]) else None
            if values is not None and name not in _IDENTITY:
                point[str(name)] = values.mean() if values.notna().any() else None
        if "quality" in point:
            point["quality"] = {name: point[name] for name in metrics if pd.notna(point[name])}
    for name in ("bytes_mean", *metrics):
        point[f"{name}_std"] = float(group[name].std(ddof=1)) if several else float("nan")
    point["seeds"] = tuple(sorted(int(seed) for seed in group["seed"])) if "seed" in group else ()
    point["environments"] = list(group["environment"]) if "environment" in group else []
    return point


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dropna().infer_objects()) and not pd.api.types.is_bool_dtype(column)


def _with_intervals(records: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Adds the ends of each metric's confidence interval: those of the record, or what follows from the samples."""
    ends: dict[str, list[float | None]] = {}
    known = records["quality_interval"].tolist() if "quality_interval" in records else [None] * len(records)
    samples = records["samples"].tolist() if "samples" in records else [None] * len(records)
    for name in metrics:
        rows = zip(known, samples, records[name].tolist(), strict=True)
        pairs = [_interval(name, *row) for row in rows]
        ends[f"{name}_low"], ends[f"{name}_high"] = ([pair[end] for pair in pairs] for end in (0, 1))
    return records.assign(**{name: pd.to_numeric(pd.Series(v, index=records.index)) for name, v in ends.items()})


def _interval(
    name: str, known: dict[str, tuple[float, float]] | None, samples: float | None, value: float
) -> tuple[float | None, float | None]:
    if isinstance(known, dict) and name in known:
        low, high = known[name]
        return low, high
    if name in SHARES and samples is not None and pd.notna(value):
        return binomial_interval(value, int(samples))
    return None, None


def missing_seeds(curve: pd.DataFrame) -> str:
    """Which points of a curve lack seeds that others of it have, in words; empty where all have the same.

    >>> missing_seeds(pd.DataFrame({"rate": [1.0, 2.0], "seeds": [(0, 1), (1,)]}))
    'at 2: seed 1 only'
    """
    if "seeds" not in curve:
        return ""
    every = {seed for seeds in curve["seeds"] for seed in seeds}
    fewer = [
        (f"at {rate:g}: " if pd.notna(rate) else "") + f"seed{'s'[: len(seeds) - 1]} {', '.join(map(str, seeds))} only"
        for rate, seeds in zip(curve["rate"], curve["seeds"], strict=True)
        if len(seeds) < len(every)
    ]
    return "; ".join(fewer)
