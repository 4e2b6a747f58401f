"""Figures from records."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sc2bench.report.axes import quality_limits, set_rate_axis, shown_rates
from sc2bench.report.layout import HOLLOW, LABELS_POINTS, REFERENCE, TYPE_SIZE, add_caption, open_figure
from sc2bench.report.pareto import pareto_front
from sc2bench.report.published import citations
from sc2bench.report.quantities import metric_quantity
from sc2bench.report.spread import Spread, sentences
from sc2bench.report.style import Look, first_records, identity, lighter, looks, paper_style
from sc2bench.report.tables import curves, references

# Parts of the range below the best quality that the panels show, in points.
OVERVIEW, _CLOSE_UP = 12.0, 3.0


@dataclass(frozen=True)
class Curve:
    """What is drawn of a curve: bytes and percent, both (N,)."""

    label: str
    rate: np.ndarray
    quality: np.ndarray
    look: Look
    published: bool = False
    # A published curve of a method that is measured, too.
    twin: bool = False
    spread: Spread | None = None

    def line(self) -> tuple[np.ndarray, np.ndarray]:
        """The points that the line goes through: of measured curves the Pareto front."""
        kept = np.argsort(self.rate) if self.published else pareto_front(self.rate, self.quality)
        return self.rate[kept], self.quality[kept]


def rate_quality_figure(
    records: pd.DataFrame, metric: str, shown: Sequence[str] = (), published: pd.DataFrame | None = None
) -> Figure:
    """Draws quality against bytes on the wire, a curve a method, the teacher's quality as a line.

    Points off their curve's Pareto front are drawn hollow, without a line through them. Published curves are dashed,
    lighter and hollow; those of a measured method have its hue, and one entry of the legend in common.

    Args:
        records: points of the whole suite, with the column `curve`; those of the method "teacher" give lines. With the
            columns that `points_of` adds, the spread over seeds is drawn.
        metric: the column of the quality, in percent.
        shown: labels of the curves of this figure; empty: all.
        published: points as `published_points` gives them.
    """
    groups = curves(records)
    measured = {label: curve for label, curve in groups.items() if not shown or label in shown}
    styles = looks(first_records(groups), list(measured))
    drawn = [measured_curve(label, curve, metric, styles[label]) for label, curve in measured.items()]
    behind = [] if published is None else _published_curves(published, metric, measured, styles)
    lines = references(records, metric, list(measured))
    with paper_style():
        handles = curve_handles(drawn, behind, lines)
        figure, wide = open_figure(handles, len(drawn) + len(behind))
        _draw_panels(figure, [*behind, *drawn], lines, wide=wide)
        figure.axes[0].set_ylabel(metric_quantity(metric).axis)
        remarks = sentences(curve.spread for curve in drawn if curve.spread is not None)
        if published is not None and behind:
            teachers = ", ".join(dict.fromkeys(published["teacher"]))
            remarks.append(f"Dashed: published ({teachers}): {'; '.join(citations(published))}")
        if remarks:
            add_caption(figure, " ".join(remarks))
        return figure


def measured_curve(label: str, points: pd.DataFrame, metric: str, look: Look) -> Curve:
    """What is drawn of measured points."""
    return Curve(label, *_values(points, metric), look, spread=Spread.of(points, metric))


def _values(points: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    return points["bytes_mean"].to_numpy(float), points[metric].to_numpy(float)


def _published_curves(
    published: pd.DataFrame, metric: str, measured: dict[str, pd.DataFrame], styles: dict[str, Look]
) -> list[Curve]:
    """One curve for each label of the published points; a measured one of the same identity lends its look."""
    lent = {identity(first): styles[label] for label, first in reversed(first_records(measured).items())}
    groups = curves(published)
    own = looks(first_records(groups), list(groups))
    result = []
    for label, first in first_records(groups).items():
        look = lighter(lent.get(identity(first), own[label]))
        result.append(Curve(label, *_values(groups[label], metric), look, published=True, twin=identity(first) in lent))
    return result


def _draw_panels(figure: Figure, drawn: Sequence[Curve], lines: dict[str, float], *, wide: bool) -> None:
    """One panel, or in a wide figure a second one with what is close to the best."""
    panels = figure.subplots(1, 2 if wide else 1, squeeze=False)[0]
    qualities = [curve.quality for curve in drawn]
    low, high = quality_limits(qualities, lines.values(), OVERVIEW, every_curve=True)
    width = figure.get_figwidth() * 72 / len(panels) - LABELS_POINTS
    draw_panel(panels[0], drawn, lines, (low, high), width)
    if wide:
        close = quality_limits(qualities, lines.values(), min(_CLOSE_UP, (high - low) / 2), every_curve=False)
        draw_panel(panels[1], drawn, lines, close, width)
        for axes, title in zip(panels, ("(a) overview", "(b) close-up"), strict=True):
            axes.set_title(title, loc="left", fontsize=TYPE_SIZE, pad=3)


def draw_panel(
    axes: Axes, drawn: Sequence[Curve], lines: dict[str, float], limits: tuple[float, float], width: float
) -> None:
    """Draws curves on axes, and sets these.

    Args:
        axes: a panel without a label of its quality.
        drawn: the curves.
        lines: qualities of the teachers, by label.
        limits: that the quality axis spans, of which each curve has at least one point.
        width: of the panel, in points.
    """
    for curve in drawn:
        _draw_curve(axes, curve)
    for quality in lines.values():
        axes.axhline(quality, **REFERENCE)
    axes.set_ylim(*limits)
    rates = np.concatenate(
        [
            *(shown_rates(*curve.line(), limits[0]) for curve in drawn),
            *(curve.rate[curve.quality >= limits[0]] for curve in drawn),
        ]
    )
    set_rate_axis(axes, rates.min(), rates.max(), width, TYPE_SIZE)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    style = curve.look.plot_arguments()
    if curve.published:
        axes.plot(*curve.line(), label=curve.label, zorder=2, **HOLLOW, **style)
        return
    axes.plot(*curve.line(), label=curve.label, markeredgewidth=0, zorder=4, **style)
    if curve.spread is not None:
        curve.spread.draw(axes, curve.rate, curve.quality, curve.look.colour)
    off = np.setdiff1d(np.arange(len(curve.rate)), pareto_front(curve.rate, curve.quality))
    axes.plot(curve.rate[off], curve.quality[off], zorder=3, **HOLLOW, **(style | {"linestyle": ""}))


def curve_handles(drawn: Sequence[Curve], behind: Sequence[Curve], lines: dict[str, float]) -> list[Line2D]:
    """Entries of the legend; published curves of measured methods share one."""
    handles = [Line2D([], [], label=c.label, markeredgewidth=0, **c.look.plot_arguments()) for c in drawn]
    handles += [Line2D([], [], label=label, **REFERENCE) for label in lines]
    shared = [Curve("Published, in the same hue", np.array([]), np.array([]), lighter(Look("#000000", "o")))]
    for curve in [*(shared if any(c.twin for c in behind) else []), *(c for c in behind if not c.twin)]:
        handles.append(Line2D([], [], label=curve.label, **HOLLOW, **curve.look.plot_arguments()))
    return handles
