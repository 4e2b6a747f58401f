"""Figures that show what a method costs the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from sc2bench.report.areas import AreaScale
from sc2bench.report.axes import cost_scale, quality_limits, set_rate_axis, tick_values
from sc2bench.report.figures import OVERVIEW
from sc2bench.report.layout import LABELS_POINTS, REFERENCE, SMALL_TYPE_SIZE, TYPE_SIZE, fill_text, open_figure
from sc2bench.report.pareto import pareto_front
from sc2bench.report.places import CostPlaces, place
from sc2bench.report.quantities import metric_quantity, quantity
from sc2bench.report.spread import Spread, sentences
from sc2bench.report.style import Look, first_records, looks, paper_style
from sc2bench.report.tables import curves, references

# The largest marker of a curve whose points stand in a column.
_COLUMN_MARKER = 7.5
_LEAST_TICKS = 3
# Two strokes across the axis, and the piece of it between them.
_STROKE = [(-0.5, -1), (0.5, 1)]


@dataclass(frozen=True)
class _Curve:
    """What is drawn of a curve, by rising rate: bytes, percent, and the device's cost, all (N,)."""

    label: str
    rate: np.ndarray
    quality: np.ndarray
    cost: np.ndarray
    look: Look
    spread: Spread


def cost_quality_figure(records: pd.DataFrame, metric: str, cost: str, shown: Sequence[str] = ()) -> Figure | None:
    """Draws quality against the device's cost; the area of a marker is the rate.

    Points of one curve that cost the same stand in a column; curves of nearly the same cost stand side by side. A cost
    of zero has a place of its own, left of the logarithmic axis.

    Args:
        records: of the whole suite, with the column `curve`; those of the method "teacher" give lines.
        metric: the column of the quality, in percent.
        cost: the column of the device's cost; points without it are left out.
        shown: labels of the curves of this figure; empty: all.

    Returns:
        The figure; `None` if nothing that is shown costs anything.
    """
    drawn, without = _curves(records, metric, cost, shown)
    if not any(curve.cost.any() for curve in drawn):
        return None
    lines = references(records, metric, [curve.label for curve in drawn])
    areas = AreaScale.of(np.concatenate([curve.rate for curve in drawn]), _COLUMN_MARKER)
    with paper_style():
        figure, _ = open_figure(_handles(drawn, lines), len(drawn))
        axes = figure.subplots()
        width = figure.get_figwidth() * 72 - LABELS_POINTS
        places = place([curve.cost for curve in drawn], width)
        for curve, x in zip(drawn, places.columns, strict=True):
            _draw(axes, curve, x, areas.diameters(curve.rate))
            curve.spread.draw(axes, x, curve.quality, curve.look.colour, rate=False)
        _set_quality_axis(axes, drawn, lines, metric)
        _set_cost_axis(axes, places, width, cost)
        remarks = ["Curves of nearly equal cost stand side by side."] if places.moved else []
        remarks += sentences(curve.spread for curve in drawn)
        what = f"Area: {quantity('bytes_mean').unit}"
        _add_area_legend(figure, areas, what, [*remarks, *_missing(cost, without)], nothing=False)
        return figure


def rate_cost_quality_figure(records: pd.DataFrame, metric: str, cost: str, shown: Sequence[str] = ()) -> Figure | None:
    """Draws quality against bytes on the wire; the area of a marker is the device's cost.

    Takes and returns the same as `cost_quality_figure`.
    """
    drawn, without = _curves(records, metric, cost, shown)
    if not any(curve.cost.any() for curve in drawn):
        return None
    lines = references(records, metric, [curve.label for curve in drawn])
    costs = np.concatenate([curve.cost for curve in drawn])
    areas = AreaScale.of(costs)
    with paper_style():
        figure, _ = open_figure(_handles(drawn, lines), len(drawn))
        axes = figure.subplots()
        for curve in drawn:
            _draw(axes, curve, curve.rate, areas.diameters(curve.cost))
            curve.spread.draw(axes, curve.rate, curve.quality, curve.look.colour)
        low = _set_quality_axis(axes, drawn, lines, metric)
        rates = np.concatenate([curve.rate[curve.quality >= low] for curve in drawn])
        set_rate_axis(axes, rates.min(), rates.max(), figure.get_figwidth() * 72 - LABELS_POINTS, TYPE_SIZE)
        what, nothing = f"Area: {quantity(cost).head}", bool((costs == 0).any())
        remarks = sentences(curve.spread for curve in drawn)
        _add_area_legend(figure, areas, what, [*remarks, *_missing(cost, without)], nothing=nothing)
        return figure


def _curves(records: pd.DataFrame, metric: str, cost: str, shown: Sequence[str]) -> tuple[list[_Curve], list[str]]:
    """The curves with a known cost, and the labels of those that lack it at every point."""
    groups = curves(records)
    chosen = [label for label in groups if not shown or label in shown]
    styles = looks(first_records(groups), chosen)
    found, without = [], []
    for label in chosen:
        points = groups[label].dropna(subset=[cost, metric]).sort_values("bytes_mean")
        if points.empty:
            without.append(label)
            continue
        rate, quality, spent = (points[name].to_numpy(float) for name in ("bytes_mean", metric, cost))
        found.append(_Curve(label, rate, quality, spent, styles[label], Spread.of(points, metric)))
    return found, without


def _draw(axes: Axes, curve: _Curve, x: np.ndarray, diameters: np.ndarray) -> None:
    """A thin line, and markers of their own size; as everywhere, hollow where another point of the curve is better."""
    look = curve.look
    style = look.plot_arguments() | {"marker": "", "linewidth": 0.7}
    front = pareto_front(curve.rate, curve.quality)
    axes.plot(x[front], curve.quality[front], label=curve.label, zorder=3, **style)
    sizes = (diameters * look.marker_factor) ** 2
    off = np.setdiff1d(np.arange(len(x)), front)
    for kept, face, edge in ((front, look.colour, "white"), (off, "none", look.colour)):
        # Small markers lie above large ones, among the points of a curve and among curves.
        kept = kept[np.argsort(-sizes[kept], kind="stable")]
        axes.scatter(
            x[kept], curve.quality[kept], s=sizes[kept], marker=look.marker, facecolors=face, edgecolors=edge,
            linewidths=0.4, alpha=0.9, zorder=5 - sizes.max() / 1000,
        )  # fmt: skip


def _set_quality_axis(axes: Axes, drawn: Sequence[_Curve], lines: dict[str, float], metric: str) -> float:
    for quality in lines.values():
        axes.axhline(quality, **REFERENCE)
    limits = quality_limits([curve.quality for curve in drawn], lines.values(), OVERVIEW, every_curve=True)
    axes.set_ylim(*limits)
    axes.set_ylabel(metric_quantity(metric).axis)
    return limits[0]


def _set_cost_axis(axes: Axes, places: CostPlaces, width: float, cost: str) -> None:
    """Ticks on the logarithmic part, one for nothing, and a break between them."""
    start, end = places.limits
    part = width * np.log(end / places.low) / np.log(end / start)
    scale, name = cost_scale(places.low)
    ticks = tick_values(places.low, end, part, TYPE_SIZE, scale)
    if len(ticks) < _LEAST_TICKS:
        # So narrow that steps of equal width suit it.
        steps = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(places.low, end)
        ticks = [tick for tick in steps if places.low <= tick <= end]
    axes.set_xscale("log")
    axes.set_xlim(start, end)
    axes.xaxis.set_minor_locator(NullLocator() if places.nothing is not None else LogLocator(subs=range(2, 10)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    nothing = [] if places.nothing is None else [places.nothing]
    axes.xaxis.set_major_locator(FixedLocator([*nothing, *ticks]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if value in nothing else f"{value / scale:g}"))
    unit = ", ".join(word for word in (name, quantity(cost).unit, "log scale") if word)
    axes.set_xlabel(f"{quantity(cost).label} ({unit})")
    if places.gap is not None:
        ends = np.array([places.gap * (places.low / places.gap) ** (k / 3) for k in (-1, 1)])
        on_axis: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(ends, [0, 0], color="white", linewidth=1.6, zorder=10, **on_axis)
        axes.plot(
            ends, [0, 0], marker=_STROKE, markersize=5, linestyle="", color="black", markeredgewidth=0.6,
            zorder=11, **on_axis,
        )  # fmt: skip


def _handles(drawn: Sequence[_Curve], lines: dict[str, float]) -> list[Line2D]:
    handles = [Line2D([], [], label=c.label, markeredgewidth=0, **c.look.plot_arguments()) for c in drawn]
    return [*handles, *(Line2D([], [], label=label, **REFERENCE) for label in lines)]


def _add_area_legend(figure: Figure, areas: AreaScale, what: str, remarks: Sequence[str], *, nothing: bool) -> None:
    """Grey circles of round amounts in a row below the axes, and above them what else is to be said."""
    amounts = np.array([*([0.0] if nothing else []), *areas.examples()])
    scale, name = cost_scale(areas.low)
    entries = [Line2D([], [], linestyle="", label=f"{what} ({name}):" if name else f"{what}:")]
    for amount, diameter in zip(amounts, areas.diameters(amounts), strict=True):
        circle = {"marker": "o", "markersize": diameter, "color": "#888888", "markeredgewidth": 0}
        entries.append(Line2D([], [], linestyle="", label=f"{amount / scale:g}", **circle))
    legend = figure.legend(
        handles=entries, loc="outside lower center", ncols=len(entries), handlelength=1.2, columnspacing=0.9,
        title=fill_text(figure, " ".join(remarks)), title_fontsize=SMALL_TYPE_SIZE,
    )  # fmt: skip
    legend.get_title().set_color("#444444")
    figure.set_figheight(figure.get_figheight() + legend.get_window_extent().height / figure.dpi)


def _missing(cost: str, without: Sequence[str]) -> list[str]:
    return [f"No {quantity(cost).short} known: {', '.join(without)}."] if without else []
