"""The figure of end-to-end latency against bandwidth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from sc2bench.report.layout import REFERENCE, SMALL_TYPE_SIZE, add_caption, open_figure
from sc2bench.report.link import IDEAL, Choice, Link, choices, profiles
from sc2bench.report.style import Look, first_records, looks, paper_style
from sc2bench.report.tables import curves

_TEACHER_LOOK = Look("#444444", "D")
# Beyond the slowest and the fastest profile, as a factor.
_MARGIN = 3.0
_UNITS = ((1e6, "Gbit/s"), (1e3, "Mbit/s"), (1.0, "kbit/s"))


def link_figure(records: pd.DataFrame, metric: str, shown: Sequence[str] = ()) -> Figure:
    """Draws end-to-end latency against bandwidth, with a marker at the nominal bandwidth of each profile.

    Args:
        records: of the whole suite, with the column `curve`, some with times.
        metric: the column of the quality that points are chosen by.
        shown: labels of the curves of this figure; empty: all. Those of the teacher are always there.
    """
    groups = curves(records)
    found = [c for c in choices(records, metric) if not shown or c.label in shown or c.label not in groups]
    styles = looks(first_records(groups), list(groups))
    links = profiles()
    span = links[0].kbit_per_s / _MARGIN, links[-1].kbit_per_s * _MARGIN
    with paper_style():
        figure, _ = open_figure([_handle(choice, styles) for choice in found], len(found))
        axes = figure.subplots()
        for choice in found:
            _draw(axes, choice, styles, links, span)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(*span)
        _name_profiles(axes, links)
        axes.set_xlabel("Bandwidth (log scale)")
        axes.set_ylabel("End-to-end latency (ms, log scale)")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _bandwidth(value)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        add_caption(figure, "Without round trip, loss and overhead; nominal bandwidths are marked.")
        return figure


def _draw(
    axes: Axes, choice: Choice, styles: dict[str, Look], links: Sequence[Link], span: tuple[float, float]
) -> None:
    if choice.sent_bytes is None:
        axes.axhline(choice.end_to_end_ms(IDEAL), **REFERENCE)
        return
    style = styles.get(choice.label, _TEACHER_LOOK).plot_arguments()
    bandwidths = np.geomspace(*span, 200)
    line = [choice.end_to_end_ms(IDEAL, bandwidth) for bandwidth in bandwidths]
    axes.plot(bandwidths, line, label=choice.label, zorder=3, **(style | {"marker": ""}))
    marks = [link.kbit_per_s for link in links]
    heights = [choice.end_to_end_ms(IDEAL, bandwidth) for bandwidth in marks]
    axes.plot(marks, heights, markeredgewidth=0, zorder=4, **(style | {"linestyle": ""}))


def _handle(choice: Choice, styles: dict[str, Look]) -> Line2D:
    if choice.sent_bytes is None:
        return Line2D([], [], label=choice.label, **REFERENCE)
    look = styles.get(choice.label, _TEACHER_LOOK)
    return Line2D([], [], label=choice.label, markeredgewidth=0, **look.plot_arguments())


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
