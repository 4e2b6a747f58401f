"""Figures from records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sc2bench.measures import measure, metric_measure
from sc2bench.report.analysis.pareto import pareto_front
from sc2bench.report.analysis.spread import Spread, sentences, with_bars
from sc2bench.report.figures.axes import (
    all_together,
    is_inside,
    outside_sentences,
    quality_limits,
    set_rate_axis,
    shown_rates,
)
from sc2bench.report.figures.layout import (
    HOLLOW,
    HOLLOW_SENTENCE,
    LABELS_POINTS,
    TYPE_SIZE,
    add_caption,
    open_figure,
    reference_handles,
    reference_style,
)
from sc2bench.report.figures.style import Look, first_records, identity, lighter, looks, paper_style
from sc2bench.report.published import citations
from sc2bench.report.tables.points import curves, references

# Parts of the range below the best quality that the panels show, in points.
OVERVIEW, _CLOSE_UP = 12.0, 3.0
# How published curves of measured methods look in the legend.
_TWINS = Look("#000000", "o")
# Bytes that an axis spans on which there is nothing.
ANY_RATES = (1.0, 1000.0)


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

    @property
    def name(self) -> str:
        """The label, and where the points are from if they are not measured."""
        return f"{self.label} (published)" if self.published else self.label

    def line(self) -> tuple[np.ndarray, np.ndarray]:
        """The points that the line goes through: of measured curves the Pareto front."""
        kept = np.argsort(self.rate) if self.published else pareto_front(self.rate, self.quality)
        # A logarithmic axis has no place for nothing.
        kept = kept[self.rate[kept] > 0]
        return self.rate[kept], self.quality[kept]

    def beaten(self) -> np.ndarray:
        """Indices of the points that another point of the curve beats; published ones are hollow anyway."""
        if self.published:
            return np.array([], dtype=int)
        return np.setdiff1d(np.arange(len(self.rate)), pareto_front(self.rate, self.quality))


def rate_quality_figure(
    records: pd.DataFrame,
    metric: str,
    shown: Sequence[str] = (),
    published: pd.DataFrame | None = None,
    styles: Mapping[str, Look] | None = None,
) -> Figure:
    """Draws quality against bytes on the wire, a curve a method, the teacher's quality as a line.

    Points off their curve's Pareto front are drawn hollow, without a line through them. Published curves are dashed,
    lighter and hollow; those of a measured method have its hue, and one entry of the legend in common. The caption says
    how many points lie outside of what the axes span.

    Args:
        records: points of the whole suite, with the column `curve`; those of the method "teacher" give lines. With the
            columns that `points_of` adds, the spread over seeds is drawn.
        metric: the column of the quality, in percent.
        shown: labels of the curves of this figure; empty: all.
        published: points as `published_points` gives them.
        styles: of the curves, by label; `None`: told apart in this figure.
    """
    groups = curves(records)
    measured = {label: curve for label, curve in groups.items() if not shown or label in shown}
    styles = styles or looks(first_records(groups), [measured])
    drawn = known_curves(measured, metric, styles)
    behind = [] if published is None else _published_curves(published, metric, measured, styles)
    lines = references(records, metric, list(measured))
    with paper_style():
        handles = curve_handles(drawn, behind, lines)
        figure, wide = open_figure(handles, len(drawn) + len(behind))
        remarks = _draw_panels(figure, [*behind, *drawn], lines, wide=wide)
        figure.axes[0].set_ylabel(metric_measure(metric).axis)
        remarks += sentences(spreads(drawn))
        if published is not None and behind:
            teachers = ", ".join(dict.fromkeys(published["teacher"]))
            remarks.append(f"Dashed: published ({teachers}): {'; '.join(citations(published))}.")
        add_caption(figure, [*remarks, *unknown_sentences(measured, ["bytes_mean", metric])])
        return figure


def known_curves(groups: Mapping[str, pd.DataFrame], metric: str, styles: Mapping[str, Look]) -> list[Curve]:
    """What can be drawn of curves; those that lack the metric at every point are left out."""
    known = {label: curve.dropna(subset=["bytes_mean", metric]) for label, curve in groups.items()}
    return [
        Curve(label, *_values(curve, metric), styles[label], spread=Spread.of(curve, metric))
        for label, curve in known.items()
        if len(curve)
    ]


def spreads(drawn: Sequence[Curve]) -> list[Spread]:
    """Those of the measured curves."""
    return [curve.spread for curve in drawn if curve.spread is not None]


def unknown_sentences(groups: Mapping[str, pd.DataFrame], names: Sequence[str]) -> list[str]:
    """Says which points can't be drawn, for one of these numbers of theirs is not known."""
    said = []
    for name in names:
        counts = {label: int(curve[name].isna().sum()) for label, curve in groups.items()}
        named = ", ".join(f"{label} {count}" for label, count in counts.items() if count)
        if named:
            said.append(f"Points without a known {measure(name).short}: {named}.")
    return said


def _values(points: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    return points["bytes_mean"].to_numpy(float), points[metric].to_numpy(float)


def _published_curves(
    published: pd.DataFrame, metric: str, measured: Mapping[str, pd.DataFrame], styles: Mapping[str, Look]
) -> list[Curve]:
    """One curve for each label of the published points; a measured one of the same identity lends its look."""
    lent = {identity(first): styles[label] for label, first in reversed(first_records(measured).items())}
    groups = curves(published)
    alone = {label: first for label, first in first_records(groups).items() if identity(first) not in lent}
    # What stands for all twins in the legend is nobody's own.
    own = looks(alone, [alone], behind=[*(styles[label] for label in measured), _TWINS])
    result = []
    for label, first in first_records(groups).items():
        look = lighter(own[label] if label in own else lent[identity(first)])
        result.append(Curve(label, *_values(groups[label], metric), look, published=True, twin=identity(first) in lent))
    return result


def _draw_panels(figure: Figure, drawn: Sequence[Curve], lines: dict[str, float], *, wide: bool) -> list[str]:
    """One panel, or in a wide figure a second one with what is close to the best; returns what is to be said."""
    panels = figure.subplots(1, 2 if wide else 1, squeeze=False)[0]
    qualities = [curve.quality for curve in drawn]
    bars = [(curve.quality, curve.spread) for curve in drawn]
    low, high = with_bars(quality_limits(qualities, lines.values(), OVERVIEW, every_curve=True), bars)
    width = figure.get_figwidth() * 72 / len(panels) - LABELS_POINTS
    draw_panel(panels[0], drawn, lines, (low, high), width)
    places = {curve.name: (curve.rate, curve.quality) for curve in drawn}
    remarks = [HOLLOW_SENTENCE] if any(len(curve.beaten()) for curve in drawn) else []
    remarks += outside_sentences(panels[0], places, "(a)" if wide else "")
    if wide:
        below = min(_CLOSE_UP, (high - low) / 2)
        close = with_bars(quality_limits(qualities, lines.values(), below, every_curve=False), bars)
        draw_panel(panels[1], drawn, lines, close, width)
        remarks += outside_sentences(panels[1], all_together(places), "(b)")
        for axes, title in zip(panels, ("(a) overview", "(b) close-up"), strict=True):
            axes.set_title(title, loc="left", fontsize=TYPE_SIZE, pad=3)
    return remarks


def draw_panel(
    axes: Axes, drawn: Sequence[Curve], lines: dict[str, float], limits: tuple[float, float], width: float
) -> None:
    """Draws curves on axes, and sets these.

    Args:
        axes: a panel without a label of its quality.
        drawn: the curves.
        lines: qualities of the teachers, by label.
        limits: that the quality axis spans.
        width: of the panel, in points.
    """
    for number, quality in enumerate(lines.values()):
        axes.axhline(quality, **reference_style(number))
    axes.set_ylim(*limits)
    rates = np.concatenate(
        [
            np.array([]),
            *(shown_rates(*curve.line(), limits[0]) for curve in drawn),
            *(curve.rate[(curve.quality >= limits[0]) & (curve.rate > 0)] for curve in drawn),
        ]
    )
    low, high = (rates.min(), rates.max()) if len(rates) else ANY_RATES
    set_rate_axis(axes, low, high, width, TYPE_SIZE)
    for curve in drawn:
        _draw_curve(axes, curve)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    """A line that ends at the border, and whole markers of the points inside it."""
    style = curve.look.plot_arguments()
    zorder = 2 if curve.published else 4
    axes.plot(*curve.line(), label=curve.label, zorder=zorder, **(style | {"marker": ""}))
    if curve.spread is not None:
        curve.spread.draw(axes, curve.rate, curve.quality, curve.look.colour)
    inside = is_inside(axes, curve.rate, curve.quality)
    beaten = np.isin(np.arange(len(inside)), curve.beaten())
    for kept, hollow in ((inside & ~beaten, curve.published), (inside & beaten, True)):
        # Without a clip, markers of no point would be laid out at the figure's corner.
        if kept.any():
            edge = HOLLOW if hollow else {"markeredgewidth": 0}
            marks = style | {"linestyle": "", "clip_on": False, "zorder": zorder}
            axes.plot(curve.rate[kept], curve.quality[kept], **edge, **marks)


def curve_handles(drawn: Sequence[Curve], behind: Sequence[Curve], lines: dict[str, float]) -> list[Line2D]:
    """Entries of the legend; published curves of measured methods share one."""
    handles = [Line2D([], [], label=c.label, markeredgewidth=0, **c.look.plot_arguments()) for c in drawn]
    handles += reference_handles(lines)
    shared = [Curve("Published, in the same hue", np.array([]), np.array([]), lighter(_TWINS))]
    for curve in [*(shared if any(c.twin for c in behind) else []), *(c for c in behind if not c.twin)]:
        handles.append(Line2D([], [], label=curve.label, **HOLLOW, **curve.look.plot_arguments()))
    return handles
