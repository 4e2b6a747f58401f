"""Encoders and decoders that replace the first layers of a teacher."""

from sc2bench.bottlenecks.base import Bottleneck, take_widths

__all__ = ["Bottleneck", "take_widths"]
