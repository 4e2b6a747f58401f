"""Tables and figures from records; nothing here knows a model."""

from sc2bench.report.analysis.bjontegaard import Delta, NoOverlap, bd_quality, bd_rate
from sc2bench.report.analysis.groups import Group, groups_of
from sc2bench.report.analysis.pareto import bytes_at_quality, pareto_front
from sc2bench.report.analysis.points import points_of
from sc2bench.report.figures.style import Wish
from sc2bench.report.joint import write_joint_report
from sc2bench.report.page.explorer import explorer_page
from sc2bench.report.published import published_points
from sc2bench.report.report import write_report

__all__ = [
    "Delta",
    "Group",
    "NoOverlap",
    "Wish",
    "bd_quality",
    "bd_rate",
    "bytes_at_quality",
    "explorer_page",
    "groups_of",
    "pareto_front",
    "points_of",
    "published_points",
    "write_joint_report",
    "write_report",
]
