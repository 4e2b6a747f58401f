"""Figures that show what a method costs the device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from sc2bench.measures import measure, metric_measure
from sc2bench.report.analysis.pareto import pareto_front
from sc2bench.report.analysis.spread import Spread, sentences, with_bars
from sc2bench.report.figures.areas import AreaScale
from sc2bench.report.figures.axes import (
    cost_scale,
    is_inside,
    outside_sentences,
    quality_limits,
    set_rate_axis,
    tick_values,
)
from sc2bench.report.figures.curves import ANY_RATES, OVERVIEW, unknown_sentences
from sc2bench.report.figures.layout import (
    HOLLOW_SENTENCE,
    LABELS_POINTS,
    SMALL_TYPE_SIZE,
    TYPE_SIZE,
    fill_text,
    open_figure,
    reference_handles,
    reference_style,
)
from sc2bench.report.figures.style import Look, first_records, looks, paper_style
from sc2bench.report.tables.points import curves, references

# The largest marker of a curve whose points stand in a column.
_COLUMN_MARKER = 7.5
_LEAST_TICKS = 3
# In points: what a column takes of the panel of no cost, and the margin of the logarithmic axis.
_FREE_COLUMN, _MARGIN = 9.0, 7.0
# The range around a single cost, as a factor to both sides.
_ALONE = 3.0
# A stroke across the end of an axis.
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

    def beaten(self) -> np.ndarray:
        """Whether another point of the curve is at least as good with no more bytes, (N,)."""
        return ~np.isin(np.arange(len(self.rate)), pareto_front(self.rate, self.quality))


def cost_quality_figure(
    records: pd.DataFrame,
    metric: str,
    cost: str,
    shown: Sequence[str] = (),
    styles: Mapping[str, Look] | None = None,
) -> Figure | None:
    """Draws quality against the device's cost; the area of a marker is the rate.

    Every point stands exactly at its cost. Points that cost nothing have no place on a logarithmic axis: they stand in
    a panel of their own to the left, in a column a curve.

    Args:
        records: of the whole suite, with the column `curve`; those of the method "teacher" give lines.
        metric: the column of the quality, in percent.
        cost: the column of the device's cost; points without it are left out, and counted in the caption.
        shown: labels of the curves of this figure; empty: all.
        styles: of the curves, by label; `None`: told apart in this figure.

    Returns:
        The figure; `None` if nothing that is shown costs anything.
    """
    drawn, remarks = _curves(records, metric, cost, shown, styles)
    if not any(curve.cost.any() for curve in drawn):
        return None
    lines = references(records, metric, [curve.label for curve in drawn])
    areas = AreaScale.of(np.concatenate([curve.rate for curve in drawn]), _COLUMN_MARKER)
    free = [curve for curve in drawn if (curve.cost == 0).any()]
    with paper_style():
        figure, _ = open_figure(_handles(drawn, lines), len(drawn))
        band, axes, width = _open_panels(figure, len(free))
        for panel in (band, axes):
            if panel is not None:
                _set_quality_axis(panel, drawn, lines)
        (band or axes).set_ylabel(metric_measure(metric).axis)
        _set_cost_axis(axes, np.concatenate([curve.cost for curve in drawn]), width, cost)
        for curve in drawn:
            _draw_at_costs(axes, curve, np.where(curve.cost > 0, curve.cost, np.nan), areas)
        if band is not None:
            for column, curve in enumerate(free):
                _draw_at_costs(band, curve, np.where(curve.cost > 0, np.nan, column), areas)
        # Costs that are nothing are inside as far as the numeric axis goes.
        spent = {curve.label: (np.maximum(curve.cost, axes.get_xlim()[0]), curve.quality) for curve in drawn}
        remarks = [*_hollow(drawn), *outside_sentences(axes, spent), *_bars(drawn), *remarks]
        if free:
            remarks.insert(0, f"At 0: no {measure(cost).short}; a column a curve.")
        _add_area_legend(figure, areas, f"Area: {measure('bytes_mean').unit}", remarks, nothing=False)
        return figure


def rate_cost_quality_figure(
    records: pd.DataFrame,
    metric: str,
    cost: str,
    shown: Sequence[str] = (),
    styles: Mapping[str, Look] | None = None,
) -> Figure | None:
    """Draws quality against bytes on the wire; the area of a marker is the device's cost.

    Takes and returns the same as `cost_quality_figure`.
    """
    drawn, remarks = _curves(records, metric, cost, shown, styles)
    if not any(curve.cost.any() for curve in drawn):
        return None
    lines = references(records, metric, [curve.label for curve in drawn])
    costs = np.concatenate([curve.cost for curve in drawn])
    areas = AreaScale.of(costs)
    with paper_style():
        figure, _ = open_figure(_handles(drawn, lines), len(drawn))
        axes = figure.subplots()
        low = _set_quality_axis(axes, drawn, lines)
        axes.set_ylabel(metric_measure(metric).axis)
        rates = np.concatenate([curve.rate[(curve.quality >= low) & (curve.rate > 0)] for curve in drawn])
        first, last = (rates.min(), rates.max()) if len(rates) else ANY_RATES
        set_rate_axis(axes, first, last, figure.get_figwidth() * 72 - LABELS_POINTS, TYPE_SIZE)
        for curve in drawn:
            _draw(axes, curve, curve.rate, areas.diameters(curve.cost))
            curve.spread.draw(axes, curve.rate, curve.quality, curve.look.colour)
        sent = {curve.label: (curve.rate, curve.quality) for curve in drawn}
        remarks = [*_hollow(drawn), *outside_sentences(axes, sent), *_bars(drawn), *remarks]
        _add_area_legend(figure, areas, f"Area: {measure(cost).column}", remarks, nothing=bool((costs == 0).any()))
        return figure


def _curves(
    records: pd.DataFrame, metric: str, cost: str, shown: Sequence[str], styles: Mapping[str, Look] | None
) -> tuple[list[_Curve], list[str]]:
    """The curves with a known cost, and sentences about the points that lack a number."""
    groups = curves(records)
    chosen = {label: curve for label, curve in groups.items() if not shown or label in shown}
    styles = styles or looks(first_records(groups), [chosen])
    names = ["bytes_mean", metric, cost]
    found = []
    for label, curve in chosen.items():
        points = curve.dropna(subset=names).sort_values("bytes_mean")
        if len(points):
            rate, quality, spent = (points[name].to_numpy(float) for name in names)
            found.append(_Curve(label, rate, quality, spent, styles[label], Spread.of(points, metric)))
    return found, unknown_sentences(chosen, names)


def _open_panels(figure: Figure, free: int) -> tuple[Axes | None, Axes, float]:
    """A panel with a column for each curve that costs nothing, if there are some, and the one with a logarithmic axis.

    Returns:
        The panels, of one height and scale, and the width of the second one in points.
    """
    width = figure.get_figwidth() * 72 - LABELS_POINTS
    if not free:
        return None, figure.subplots(), width
    part = (free + 0.6) * _FREE_COLUMN
    band, axes = figure.subplots(1, 2, sharey=True, width_ratios=[part, width - part])
    figure.set_layout_engine("constrained", wspace=0.0, w_pad=0.012)
    band.set_xlim(-0.8, free - 0.2)
    band.set_xticks([(free - 1) / 2], ["0"])
    band.tick_params(axis="x", length=0)
    band.grid(visible=False, axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    for panel, end in ((band, 1), (axes, 0)):
        panel.plot(
            [end], [0], marker=_STROKE, markersize=5, linestyle="", color="black", markeredgewidth=0.6, zorder=11,
            transform=panel.transAxes, clip_on=False,
        )  # fmt: skip
    return band, axes, width - part


def _draw_at_costs(axes: Axes, curve: _Curve, x: np.ndarray, areas: AreaScale) -> None:
    _draw(axes, curve, x, areas.diameters(curve.rate))
    curve.spread.draw(axes, x, curve.quality, curve.look.colour, rate=False)


def _draw(axes: Axes, curve: _Curve, x: np.ndarray, diameters: np.ndarray) -> None:
    """A thin line, and markers of their own size; as everywhere, hollow where another point of the curve is better.

    Args:
        axes: with their final limits; what lies outside, or nowhere (NaN), has no marker.
        curve: what is drawn.
        x: places of its points, (N,).
        diameters: of its markers, in points, (N,).
    """
    look = curve.look
    style = look.plot_arguments() | {"marker": "", "linewidth": 0.7}
    beaten = curve.beaten()
    line = ~beaten & ~np.isnan(x)
    axes.plot(x[line], curve.quality[line], label=curve.label, zorder=3, **style)
    sizes = (diameters * look.marker_factor) ** 2
    inside = is_inside(axes, x, curve.quality)
    for kept, face, edge in ((~beaten, look.colour, "white"), (beaten, "none", look.colour)):
        # Small markers lie above large ones, among the points of a curve and among curves.
        order = np.flatnonzero(kept & inside)
        order = order[np.argsort(-sizes[order], kind="stable")]
        if len(order):
            axes.scatter(
                x[order], curve.quality[order], s=sizes[order], marker=look.marker, facecolors=face, edgecolors=edge,
                linewidths=0.4, alpha=0.9, zorder=5 - sizes.max() / 1000, clip_on=False,
            )  # fmt: skip


def _bars(drawn: Sequence[_Curve]) -> list[str]:
    return sentences(curve.spread for curve in drawn)


def _hollow(drawn: Sequence[_Curve]) -> list[str]:
    return [HOLLOW_SENTENCE] if any(curve.beaten().any() for curve in drawn) else []


def _set_quality_axis(axes: Axes, drawn: Sequence[_Curve], lines: dict[str, float]) -> float:
    """Sets the limits and draws the teachers' lines; returns where the axis starts."""
    for number, quality in enumerate(lines.values()):
        axes.axhline(quality, **reference_style(number))
    limits = quality_limits([curve.quality for curve in drawn], lines.values(), OVERVIEW, every_curve=True)
    limits = with_bars(limits, [(curve.quality, curve.spread) for curve in drawn])
    axes.set_ylim(*limits)
    return limits[0]


def _set_cost_axis(axes: Axes, costs: np.ndarray, width: float, cost: str) -> None:
    """Makes the x axis logarithmic, over all costs that are positive with room for whole markers."""
    positive = costs[costs > 0]
    low, high = float(positive.min()), float(positive.max())
    if low == high:
        low, high = low / _ALONE, high * _ALONE
    margin = (high / low) ** (_MARGIN / (width - 2 * _MARGIN))
    low, high = low / margin, high * margin
    scale, name = cost_scale(low)
    ticks = tick_values(low, high, width, TYPE_SIZE, scale)
    if len(ticks) < _LEAST_TICKS:
        # So narrow that steps of equal width suit it.
        steps = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
        ticks = [tick for tick in steps if low <= tick <= high]
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    unit = ", ".join(word for word in (name, measure(cost).unit, "log scale") if word)
    axes.set_xlabel(f"{measure(cost).label} ({unit})")


def _handles(drawn: Sequence[_Curve], lines: dict[str, float]) -> list[Line2D]:
    handles = [Line2D([], [], label=c.label, markeredgewidth=0, **c.look.plot_arguments()) for c in drawn]
    return [*handles, *reference_handles(lines)]


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
