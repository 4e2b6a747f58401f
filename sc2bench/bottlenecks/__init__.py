"""Encoders and decoders that replace the first stages of a teacher."""

from sc2bench.bottlenecks.base import Bottleneck, take_widths

__all__ = ["Bottleneck", "take_widths"]
