"""The compared methods: one file each, a pair of halves with bytes between them."""

from sc2bench.methods.base import SplitModel, build_model, downloads
from sc2bench.methods.halves import DeviceHalf, ServerHalf
from sc2bench.methods.outputs import Outputs

__all__ = ["DeviceHalf", "Outputs", "ServerHalf", "SplitModel", "build_model", "downloads"]
