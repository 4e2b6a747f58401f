"""Figures from records."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sc2bench.report.pareto import pareto_front
from sc2bench.report.style import COLUMN_INCHES, identity, look, paper_style
from sc2bench.report.tables import REFERENCE_METHOD, curves

METRIC_LABELS = {"top1": "Top-1 accuracy (%)", "top5": "Top-5 accuracy (%)", "map": "mAP (%)", "miou": "mIoU (%)"}
# Part of the range between the worst and the best quality that decides what is worth showing.
_SHOWN_BELOW_BEST = 12.0


def rate_quality_figure(records: pd.DataFrame, metric: str) -> Figure:
    """Draws quality against bytes on the wire, a curve a method, the teacher's quality as a line.

    Points off their curve's Pareto front are drawn without a line through them.

    Args:
        records: with the column `curve`; points of the method "teacher" give the line.
        metric: the column of the quality, in percent.
    """
    with paper_style():
        figure = Figure(figsize=(COLUMN_INCHES, 0.8 * COLUMN_INCHES))
        axes = figure.subplots()
        taken: dict[str, int] = {}
        for label, curve in curves(records).items():
            _draw_curve(axes, label, curve, metric, look(identity(curve.iloc[0]), taken))
        references = records.loc[records["method"] == REFERENCE_METHOD, metric]
        for quality in references.unique():
            axes.axhline(quality, color="#444444", linestyle=(0, (4, 2)), linewidth=0.8, label="Teacher", zorder=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("Data size (bytes per image, log scale)")
        axes.set_ylabel(METRIC_LABELS.get(metric, f"{metric} (%)"))
        _limit_quality(axes, records[metric])
        # Above the axes: curves of several methods leave no corner free.
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.2)
        return figure


def _draw_curve(axes: Axes, label: str, curve: pd.DataFrame, metric: str, looks: dict[str, Any]) -> None:
    rate, quality = curve["bytes_mean"].to_numpy(), curve[metric].to_numpy()
    front = pareto_front(rate, quality)
    axes.plot(rate[front], quality[front], label=label, markeredgewidth=0, zorder=3, **looks)
    off: Sequence[int] = [i for i in range(len(rate)) if i not in front]
    axes.plot(rate[off], quality[off], linestyle="", fillstyle="none", markeredgewidth=0.7, zorder=2, **looks)


def _limit_quality(axes: Axes, quality: pd.Series) -> None:
    """Leaves out what is far below all that anybody would use, so that the rest can be told apart."""
    best = quality.max()
    low = max(quality.min(), best - _SHOWN_BELOW_BEST)
    margin = 0.05 * max(best - low, 0.5)
    axes.set_ylim(low - margin, min(best + 2 * margin, 100))
