"""Affine quantization to integers of fixed width: what stands in place of a prior where there is none.

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sc2bench.coding import CodingError
from sc2bench.entropy.base import Coded, LatentCodec, Shape
from sc2bench.errors import ConfigError

_DTYPES: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 16: np.dtype(">u2")}


class AffineQuantizer(LatentCodec):
    """Quantizes each sample by a scale and a zero point of its own.

    The range always holds zero, so that the zero point is one of the integers. Scale (float32) and zero point are the
    side information, the integers the payload.

    Args:
        bits: of an integer, 8 or 16.

    Raises:
        ConfigError: another number of bits.
    """

    has_side_info = True
    _place: Tensor

    def __init__(self, bits: int = 8):
        super().__init__()
        if bits not in _DTYPES:
            raise ConfigError(f"method.bits: {bits} is not known; choose 8 or 16")
        self.bits = bits
        # Not a weight: it tells where results belong.
        self.register_buffer("_place", torch.empty(0), persistent=False)

    def forward(self, latents: Tensor) -> tuple[Tensor, None]:
        """The latents as they are in training mode, quantized in evaluation mode."""
        if self.training:
            return latents, None
        scale, zero_point = self._ranges(latents)
        return (self._integers(latents, scale, zero_point) - zero_point) * scale, None

    def compress(self, latents: Tensor) -> list[Coded]:
        """Quantizes each sample."""
        scale, zero_point = self._ranges(latents.float())
        integers = self._integers(latents.float(), scale, zero_point).cpu().numpy().astype(_DTYPES[self.bits])
        scales, zero_points = (values.flatten().tolist() for values in (scale, zero_point))
        sides = [struct.pack(self._side_format, *pair) for pair in zip(scales, map(int, zero_points), strict=True)]
        return [Coded(sample.tobytes(), side) for sample, side in zip(integers, sides, strict=True)]

    def decompress(self, coded: Sequence[Coded], shapes: tuple[Shape, ...]) -> Tensor:
        """Gives the latents back, float32; raises `CodingError` for lengths that don't fit the shape."""
        dtype = _DTYPES[self.bits]
        expected = int(np.prod(shapes[0])) * dtype.itemsize
        samples = []
        for item in coded:
            if len(item.payload) != expected or len(item.side_info) != struct.calcsize(self._side_format):
                raise CodingError(
                    f"{len(item.payload)} bytes with {len(item.side_info)} of side information are no quantized "
                    f"latents of shape {shapes[0]}"
                )
            scale, zero_point = struct.unpack(self._side_format, item.side_info)
            if not np.isfinite(scale):
                raise CodingError("the scale of the quantized latents is not finite; the side information is damaged")
            integers = np.frombuffer(item.payload, dtype).reshape(shapes[0]).astype(np.float32)
            samples.append((integers - np.float32(zero_point)) * np.float32(scale))
        stacked = np.stack(samples) if samples else np.empty((0, *shapes[0]), np.float32)
        return torch.from_numpy(stacked).to(self._place.device)

    @property
    def _side_format(self) -> str:
        return ">fB" if self.bits == 8 else ">fH"

    def _ranges(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero point of each sample, (N, 1, ...)."""
        axes = tuple(range(1, latents.ndim))
        low, high = latents.amin(axes, keepdim=True).clamp(max=0), latents.amax(axes, keepdim=True).clamp(min=0)
        scale = (high - low) / self._top
        # A sample of zeros alone has no range; any scale gives its zeros back.
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        return scale, (-low / scale).round()

    def _integers(self, latents: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        return (latents / scale + zero_point).round().clamp(0, self._top)

    @property
    def _top(self) -> int:
        return (1 << self.bits) - 1
