"""The figure of end-to-end latency against bandwidth."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from sc2bench.measures import metric_measure
from sc2bench.report.figures.layout import SMALL_TYPE_SIZE, add_caption, open_figure, reference_style
from sc2bench.report.figures.style import Look, first_records, looks, paper_style
from sc2bench.report.link.latency import IDEAL, Choice, Comparison, Link, compare_at, profiles
from sc2bench.report.link.tables import missed_sentence
from sc2bench.report.tables.points import curves

_TEACHER_LOOK = Look("#444444", "D")
# Beyond the slowest and the fastest profile, as a factor.
_MARGIN = 3.0
_UNITS = ((1e6, "Gbit/s"), (1e3, "Mbit/s"), (1.0, "kbit/s"))


def link_figure(
    records: pd.DataFrame,
    metric: str,
    shown: Sequence[str] = (),
    styles: Mapping[str, Look] | None = None,
    quality: float | None = None,
) -> Figure:
    """Draws end-to-end latency at equal quality against bandwidth, with a marker at each profile's nominal bandwidth.

    The legend has the quality of each choice; the caption names the curves that are not compared.

    Args:
        records: of the whole suite, with the column `curve`, some with times.
        metric: the column of the quality.
        shown: labels of the curves of this figure; empty: all. Those of the teacher are always there.
        styles: of the curves, by label; `None`: told apart in this figure.
        quality: at which curves are compared, in percent; `None`: see `link.target_quality`.

    Raises:
        DataError: no curve reaches the quality.
    """
    groups = curves(records)
    chosen = [label for label in groups if not shown or label in shown]
    styles = styles or looks(first_records(groups), [chosen])
    compared = compare_at(records, metric, quality)
    found = [choice for choice in compared.choices if choice.label in chosen or choice.label not in groups]
    missed = {label: best for label, best in compared.missed.items() if label in chosen}
    links = profiles()
    span = links[0].kbit_per_s / _MARGIN, links[-1].kbit_per_s * _MARGIN
    with paper_style():
        figure, _ = open_figure([_handle(choice, styles) for choice in found], len(found))
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(*span)
        for choice in found:
            _draw(axes, choice, styles, links, span)
        _name_profiles(axes, links)
        axes.set_xlabel("Bandwidth (log scale)")
        axes.set_ylabel("End-to-end latency (ms, log scale)")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _bandwidth(value)))
        axes.xaxis.set_major_locator(FixedLocator(_powers(*span, step=2)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        sentences = [
            f"At a {metric_measure(metric).short} of {compared.quality:g} %, interpolated between measured points; "
            "the legend says what each has.",
            missed_sentence(Comparison(compared.quality, (), missed)),
            "Without round trip, loss and overhead; nominal bandwidths are marked.",
        ]
        add_caption(figure, [sentence for sentence in sentences if sentence])
        return figure


def _powers(low: float, high: float, step: int) -> list[float]:
    """Powers of ten within a range, each so many powers after the one before."""
    first, last = ceil(log10(low)), floor(log10(high))
    return [10.0**power for power in range(first, last + 1, step)]


def _draw(
    axes: Axes, choice: Choice, styles: Mapping[str, Look], links: Sequence[Link], span: tuple[float, float]
) -> None:
    if choice.sent_bytes is None:
        axes.axhline(choice.end_to_end_ms(IDEAL), **reference_style(0))
        return
    style = styles.get(choice.label, _TEACHER_LOOK).plot_arguments()
    bandwidths = np.geomspace(*span, 200)
    line = [choice.end_to_end_ms(IDEAL, bandwidth) for bandwidth in bandwidths]
    axes.plot(bandwidths, line, label=choice.label, zorder=3, **(style | {"marker": ""}))
    marks = [link.kbit_per_s for link in links]
    heights = [choice.end_to_end_ms(IDEAL, bandwidth) for bandwidth in marks]
    axes.plot(marks, heights, markeredgewidth=0, zorder=4, **(style | {"linestyle": ""}))


def _handle(choice: Choice, styles: Mapping[str, Look]) -> Line2D:
    label = f"{choice.label} ({choice.quality:.1f} %)"
    if choice.sent_bytes is None:
        return Line2D([], [], label=label, **reference_style(0))
    look = styles.get(choice.label, _TEACHER_LOOK)
    return Line2D([], [], label=label, markeredgewidth=0, **look.plot_arguments())


def _name_profiles(axes: Axes, links: Sequence[Link]) -> None:
    top = axes.secondary_xaxis("top")
    top.xaxis.set_major_locator(FixedLocator([link.kbit_per_s for link in links]))
    top.xaxis.set_major_formatter(FuncFormatter(lambda _, place: links[place].name))
    top.xaxis.set_minor_formatter(NullFormatter())
    top.tick_params(which="minor", length=0)
    top.tick_params(which="major", length=2, labelsize=SMALL_TYPE_SIZE, pad=1)
    top.spines["top"].set_visible(False)


def _bandwidth(kbit_per_s: float) -> str:
    scale, unit = next((scale, unit) for scale, unit in _UNITS if kbit_per_s >= scale or scale == 1)
    return f"{kbit_per_s / scale:g} {unit}"
