"""Tables and figures from records; nothing here knows a model."""

from sc2bench.report.bjontegaard import Delta, NoOverlap, bd_quality, bd_rate
from sc2bench.report.explorer import explorer_page
from sc2bench.report.pareto import bytes_at_quality, pareto_front
from sc2bench.report.published import published_points
from sc2bench.report.report import write_report

__all__ = [
    "Delta",
    "NoOverlap",
    "bd_quality",
    "bd_rate",
    "bytes_at_quality",
    "explorer_page",
    "pareto_front",
    "published_points",
    "write_report",
]
