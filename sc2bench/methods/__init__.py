"""The compared methods: one file each, a pair of halves with bytes between them."""

from sc2bench.methods.base import DeviceHalf, Outputs, ServerHalf, SplitModel, build_model, downloads

__all__ = ["DeviceHalf", "Outputs", "ServerHalf", "SplitModel", "build_model", "downloads"]
