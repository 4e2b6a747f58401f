"""What a record must keep to, beyond the kinds of its fields."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sc2bench.measures import (
    COUNT,
    ENDS,
    FLAG,
    GROUP,
    KINDS,
    LARGEST,
    METRICS,
    NUMBER,
    PARTS,
    SOME,
    TEXT,
    Kind,
    is_number,
)

# What readers add to a record's fields; no metric may take these names, nor those of fields.
ADDED = ("curve", "path")
# Likewise of what joins the seeds of a point: whole names, and the ends of names of spreads and intervals.
JOINED = ("seeds", "environments")
_SPREAD = re.compile(r"(.+)_(std|low|high)")
_DEEPEST = 40
_CUT = 60
# What the environment and the configuration in a record are, as far as they have it; anything else may stand there.
_ENVIRONMENT = {
    "processor": TEXT.or_null,
    "accelerator": TEXT.or_null,
    "cores": SOME.or_null,
    "threads": SOME,
    "system": TEXT,
    "python": TEXT,
    "packages": GROUP,
    "git_commit": TEXT.or_null,
    "git_dirty": FLAG.or_null,
    "mixed_precision": TEXT,
    "processes": SOME,
}
_CONFIG = {
    "rate": NUMBER.or_null,
    "seed": COUNT,
    "mixed_precision": TEXT,
    "workers": COUNT.or_null,
    "task": GROUP,
    "teacher": GROUP,
    "method": GROUP,
    "evaluation": GROUP,
    "stage1": GROUP.or_null,
    "stage2": GROUP.or_null,
    "stage3": GROUP.or_null,
    "source": GROUP.or_null,
    "members": Kind("a list of objects", lambda v: isinstance(v, list) and all(isinstance(part, dict) for part in v)),
}
# What stands in a record and in its configuration, too.
_TWICE = {
    "task": ("task", "name"),
    "dataset": ("task", "dataset"),
    "split": ("evaluation", "split"),
    "method": ("method", "name"),
    "teacher": ("teacher", "name"),
    "rate": ("rate",),
    "seed": ("seed",),
}


def problem(record: Mapping[str, Any]) -> str | None:
    """The first thing that is wrong with a record that has all its fields, as a clause; `None`: nothing."""
    return next(_problems(record), None)


def _problems(record: Mapping[str, Any]) -> Iterator[str]:
    yield from _unfit("", record, KINDS)
    for name, value in record.items():
        found = _unspeakable(name, value)
        if found is not None:
            yield found
    for name in ADDED:
        if name in record:
            yield f"it has a field '{name}', which readers of records add"
    yield from _quality(record)
    yield from (f"environment lacks {name}" for name in ("processor", "packages") if name not in record["environment"])
    yield from _unfit("environment.", record["environment"], _ENVIRONMENT)
    packages = record["environment"].get("packages", {})
    yield from _unfit("environment.packages.", packages, dict.fromkeys(packages, TEXT.or_null))
    yield from _config("config.", record["config"])
    yield from _contradictions(record)


def _quality(record: Mapping[str, Any]) -> Iterator[str]:
    quality = record["quality"]
    if not quality:
        yield "quality has no metric"
    for name in quality:
        spread = _SPREAD.fullmatch(name)
        taken = spread is not None and (spread[1] in quality or spread[1] in KINDS)
        if taken or name in record or name in KINDS or name in (*ADDED, *JOINED) or not TEXT.fits(name):
            yield f"quality has a metric '{_shown(name)}', which is no name for one"
    intervals = record["quality_interval"] or {}
    yield from (f"quality_interval has no known metric '{_shown(name)}'" for name in intervals if name not in quality)
    yield from _unfit("quality_interval.", intervals, dict.fromkeys(intervals, ENDS))
    yield from _unfit(
        "quality.", quality, {name: METRICS[name].kind if name in METRICS else NUMBER for name in quality}
    )


def _config(where: str, config: Mapping[str, Any]) -> Iterator[str]:
    yield from _unfit(where, config, _CONFIG)
    if config.get("source") is not None:
        yield from _config(f"{where}source.", config["source"])
    for i, member in enumerate(config.get("members", [])):
        yield from _config(f"{where}members[{i}].", member)


def _contradictions(record: Mapping[str, Any]) -> Iterator[str]:
    """What a record says twice must be the same."""
    for name, keys in _TWICE.items():
        said: Any = record["config"]
        for key in keys:
            if key not in said:
                yield f"config lacks {'.'.join(keys)}"
            said = said[key]
        if said != record[name]:
            yield f"{name} is {_shown(record[name])}, but config.{'.'.join(keys)} is {_shown(said)}"
    parts = sum(record[name] for name in PARTS)
    if not math.isclose(parts, record["bytes_mean"], rel_tol=1e-6):
        yield f"bytes_mean is {record['bytes_mean']:g}, but {', '.join(PARTS)} make {parts:g}"
    if record["bytes_p50"] > record["bytes_p95"]:
        yield f"bytes_p50 is {record['bytes_p50']:g}, which is above bytes_p95"
    yield from _disordered_times(record)


def _disordered_times(record: Mapping[str, Any]) -> Iterator[str]:
    """A median lies within its interval, and not above the 95th percentile."""
    for low in [name for name in KINDS if name.endswith(("_ms_p50", "_ms_p50_low"))]:
        span = low.partition("_ms_")[0]
        above = ("p50",) if low.endswith("_low") else ("p50_high", "p95")
        for high in [f"{span}_ms_{statistic}" for statistic in above]:
            less, more = record[low], record[high]
            # Percentiles of equal times are interpolated, and may differ in their last digit.
            if less is not None and more is not None and less > more and not math.isclose(less, more):
                yield f"{low} is {less:g}, which is above {high}"


def _unfit(where: str, values: Mapping[str, Any], kinds: Mapping[str, Kind]) -> Iterator[str]:
    for name, kind in kinds.items():
        if name in values and not kind.fits(values[name]):
            yield f"{where}{name} is {_shown(values[name])} instead of {kind.what}"


def _unspeakable(where: str, value: Any) -> str | None:
    """A number that no JSON has or no page can show, at any depth, or that something is nested too deeply."""
    open_values = [(where, value, 0)]
    while open_values:
        place, value, depth = open_values.pop()
        if depth > _DEEPEST:
            return f"{where} is nested more than {_DEEPEST} deep"
        if isinstance(value, dict):
            open_values += [(f"{place}.{name}", part, depth + 1) for name, part in value.items()]
        elif isinstance(value, list):
            open_values += [(f"{place}[{i}]", part, depth + 1) for i, part in enumerate(value)]
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and not is_number(value):
            return f"{place} is {_shown(value)} instead of a finite number"
    return None


def _shown(value: Any) -> str:
    """A value in an error's sentence: on one line, and cut if it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST:
        return "a number of too many digits"
    text = "null" if value is None else ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= _CUT else f"{text[:_CUT]} ..."
