"""Measuring rate, quality and cost on the one interface that all methods share."""

from sc2bench.evaluation.cost import measure_cost
from sc2bench.evaluation.evaluate import Measurement, evaluate, evaluate_all
from sc2bench.evaluation.latency import LATENCY_IMAGES, measure_latency

__all__ = ["LATENCY_IMAGES", "Measurement", "evaluate", "evaluate_all", "measure_cost", "measure_latency"]
