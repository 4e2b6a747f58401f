"""Affine quantization to integers of fixed width: what stands in place of a prior where there is none.

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sc2bench.core.errors import ConfigError
from sc2bench.entropy.base import Coded, LatentCodec, Shape, require_codable
from sc2bench.wire.coding import IntegerCoder


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
        if bits not in IntegerCoder.DTYPES:
            raise ConfigError(f"method.bits: {bits} is not known; choose 8 or 16")
        self.bits = bits
        self._coder = IntegerCoder(bits)
        # Not a weight: it tells where results belong.
        self.register_buffer("_place", torch.empty(0), persistent=False)

    def forward(self, latents: Tensor) -> tuple[Tensor, None]:
        """The latents as they are in training mode, quantized in evaluation mode."""
        if self.training:
            return latents, None
        scale, zero_point = self._ranges(latents)
        return (self._integers(latents, scale, zero_point) - zero_point) * scale, None

    def compress(self, latents: Tensor) -> list[Coded]:
        """Quantizes each sample; raises `InputError` for latents that are not finite."""
        require_codable(latents)
        integers, scales, zero_points = (values.cpu().numpy() for values in self.symbols(latents))
        return [Coded(*coded) for coded in self._coder.encode(integers, scales, zero_points)]

    def symbols(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantizes latents, float (N, channels, ...).

        Returns:
            Whole numbers in the latents' shape, and for each sample its scale and its zero point, (N,); float32.
        """
        scale, zero_point = self._ranges(latents.float())
        return self._integers(latents.float(), scale, zero_point), scale.flatten(), zero_point.flatten()

    def decompress(self, coded: Sequence[Coded], shapes: tuple[Shape, ...]) -> Tensor:
        """Gives the latents back, float32; raises `CodingError` for lengths that don't fit the shape."""
        samples = [self._coder.decode(item.payload, item.side_info, shapes[0]) for item in coded]
        stacked = np.stack(samples) if samples else np.empty((0, *shapes[0]), np.float32)
        return torch.from_numpy(stacked).to(self._place.device)

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
