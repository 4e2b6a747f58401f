"""A page to look around in records: one HTML file that needs no network and no server."""

import html
import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline

from sc2bench.core.text import one_line
from sc2bench.measures import COSTS, METRICS, measure, metric_measure
from sc2bench.report.analysis.points import points_of
from sc2bench.report.figures.style import Look, Wish, first_records, identity, looks
from sc2bench.report.tables.points import curves

# Columns that are not of the record itself.
_ADDED = ("curve", "path", "setting")
_NOT_SETTINGS = ("seed", "output", "checkpoints", "workers")
# Numbers that nobody wants on an axis.
_NOT_AXES = ("schema_version",)
_COMMANDS = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C", Outline.CLOSEPOLY: "Z"}
_TEACHER_LOOK = Look("#444444", "D")


def explorer_page(records: pd.DataFrame, title: str, metric: str, wishes: Mapping[str, Wish] | None = None) -> str:
    """Writes the page: points on axes to choose, with filters, and the whole record of each.

    Args:
        records: as `load_records` gives them; without the column `curve`, records of one method, codec or prior, and
            teacher make a curve.
        title: heads the page.
        metric: the column that is on the y axis first.
        wishes: what a suite asks for the looks of its curves, by label.

    Returns:
        HTML, with everything in it.
    """
    if "curve" in records:
        points = points_of(records)
    else:
        rows = records.to_dict("records")
        named = records.assign(curve=[_label(row) for row in rows], setting=_settings(rows))
        points = points_of(named, ("curve", "setting"))
    return _page(points, title, metric, wishes)


def _page(records: pd.DataFrame, title: str, metric: str, wishes: Mapping[str, Wish] | None) -> str:
    groups = {str(label): curve for label, curve in records.groupby("curve", sort=False)}
    styles = looks(first_records(curves(records)), [groups], wishes)
    points = [_point(row) for row in records.to_dict("records")]
    fields = _fields(points, metric)
    data = {
        "curves": {
            label: _look(styles.get(label, _TEACHER_LOOK)) | {"reference": label not in styles} for label in groups
        },
        "fields": fields,
        "points": points,
        "x": "bytes_mean",
        "y": metric,
        "costs": [name for name in COSTS if name in fields],
    }
    # In a script element only "<" can end it, whatever a record says.
    embedded = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    folder = files("sc2bench.report.page")
    page = folder.joinpath("explorer.html").read_text(encoding="utf-8")
    parts = {
        "/* style */": folder.joinpath("explorer.css").read_text(encoding="utf-8"),
        "/* script */": folder.joinpath("explorer.js").read_text(encoding="utf-8"),
        "<!-- title -->": html.escape(one_line(title)),
        "/* data */": embedded,
    }
    # All at once, so that no title and no record is taken for a place.
    return re.sub("|".join(map(re.escape, parts)), lambda place: parts[place[0]], page)


def _label(record: Mapping[Hashable, Any]) -> str:
    method, variant = identity({str(name): value for name, value in record.items()})
    return ", ".join(word for word in (method, variant, str(record["teacher"])) if word)


def _settings(records: Sequence[Mapping[Hashable, Any]]) -> list[str]:
    """What makes records points of their own; of one seed each record is one, for it is no other seed of another."""
    counts: Counter[tuple[str, Any]] = Counter()
    found = []
    for record in records:
        setting = _setting(record)
        turn = setting, record["seed"]
        found.append(f"{setting} {counts[turn]}")
        counts[turn] += 1
    return found


def _setting(record: Mapping[Hashable, Any]) -> str:
    """All of the configuration but the seeds and the places, and the data, weights and code that it was used on."""

    def without(config: Any) -> Any:
        if isinstance(config, dict):
            return {name: without(value) for name, value in config.items() if name not in _NOT_SETTINGS}
        return [without(value) for value in config] if isinstance(config, list) else config

    data, surroundings = (record.get(name) or None for name in ("data_fingerprint", "surroundings"))
    return json.dumps([without(record["config"]), data, surroundings], sort_keys=True)


def _point(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """A record as it stands in its file, its label, and its numbers by name; of several seeds their means."""
    seeds, environments = row["seeds"], row["environments"]
    plain = {str(name): _plain(value) for name, value in row.items() if name not in ("seeds", "environments")}
    quality = plain.get("quality") or {}
    spread = {name: plain.pop(name, None) for name in [f"{name}_std" for name in ("bytes_mean", *quality)]}
    ends = [f"{name}_{end}" for name in quality for end in ("low", "high")]
    record = {name: value for name, value in plain.items() if name not in (*_ADDED, *quality, *ends)}
    if len(seeds) > 1:
        record |= {"seed": list(seeds), "environment": environments, **spread}
        record |= {"config": plain["config"] | {"seed": list(seeds)}, "config_hash": None}
        plain |= {"seed": None, "seeds": len(seeds), **spread}
    numbers = {
        name: value
        for name, value in (plain | quality).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in (*_NOT_AXES, *ends)
    }
    return {"curve": plain["curve"], "numbers": numbers, "record": record}


def _fields(points: list[dict[str, Any]], metric: str) -> dict[str, dict[str, str]]:
    """The axes to choose from: first metrics and costs, then whatever else is a number, with their names."""
    found = dict.fromkeys(name for point in points for name in point["numbers"])
    first = [name for name in (metric, *METRICS, "bytes_mean", *COSTS) if name in found]
    result = {}
    for name in dict.fromkeys([*first, *found]):
        known = metric_measure(name) if name == metric else measure(name)
        result[name] = {"label": known.axis, "short": known.column, "better": known.better}
    return result


def _look(look: Look) -> dict[str, Any]:
    """A look for SVG: colour, dashes in line widths, and the marker's outline around the origin, one unit large."""
    style = MarkerStyle(look.marker)
    outline = style.get_path().transformed(style.get_transform())
    steps = []
    for flat, code in outline.iter_segments(simplify=False):
        # Matplotlib's y axis points up, that of SVG down.
        numbers = np.asarray(flat).reshape(-1, 2) * [1, -1]
        steps.append(
            _COMMANDS[code] + ("" if code == Outline.CLOSEPOLY else " ".join(f"{v:.4g}" for v in numbers.flat))
        )
    dashes = [] if isinstance(look.line, str) else list(look.line[1])
    return {"colour": look.colour, "dashes": dashes, "outline": "".join(steps), "size": look.marker_factor}


def _plain(value: Any) -> Any:
    """A value as JSON has it: what pandas fills gaps with is null again, and whole numbers are whole."""
    if isinstance(value, (dict, list)):
        return value
    if pd.isna(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value
