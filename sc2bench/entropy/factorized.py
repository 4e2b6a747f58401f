"""The factorized prior: each channel has a learned density of its own (Ballé et al. 2018)."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from compressai.entropy_models import EntropyBottleneck
from torch import Tensor

from sc2bench.core.registry import PRIORS
from sc2bench.entropy.base import (
    LARGEST_SYMBOL,
    Coded,
    HyperTransforms,
    LatentCodec,
    Shape,
    bits_of,
    require_codable,
    resize_tables,
)
from sc2bench.wire.coding import IntegerTables, SymbolCoder


class FactorizedPrior(LatentCodec):
    """CompressAI's `EntropyBottleneck` with integer tables and our coder.

    Args:
        channels: of the latents.
        model: an entropy bottleneck to take over; a new one if `None`.
    """

    def __init__(self, channels: int, model: EntropyBottleneck | None = None):
        super().__init__()
        self.model = EntropyBottleneck(channels) if model is None else model

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Noise in training mode, rounding in evaluation mode; see `LatentCodec.forward`."""
        # Differences of cumulative probabilities cancel in half precision.
        with torch.autocast(latents.device.type, enabled=False):
            quantized, likelihoods = self.model(latents.float())
        return quantized, bits_of(likelihoods)

    @torch.no_grad()
    def estimate_bits(self, latents: Tensor) -> Tensor:
        """Looks the bits of rounded latents up: a channel's density is asked once for each symbol, not each latent."""
        symbols = self.symbols(latents).flatten(2).long()
        lowest, highest = symbols.aminmax()
        count = int(highest - lowest) + 1
        # Far outliers would make the look-up larger than the work it saves.
        if count * symbols.shape[1] > symbols.numel():
            return self(latents)[1]
        every = (lowest + torch.arange(count, device=symbols.device)).expand(1, symbols.shape[1], -1)
        _, likelihoods = self.model(every + self._medians(3), training=False)
        bits = -likelihoods[0].log2()
        return bits.expand(len(symbols), -1, -1).gather(2, symbols - lowest).sum((1, 2))

    def compress(self, latents: Tensor) -> list[Coded]:
        """Codes the rounded latents; raises `EntropyTablesMissing` before `update_tables()`."""
        return [Coded(data) for data in self.coder.encode(self.quantize(latents))]

    def decompress(self, coded: Sequence[Coded], shapes: tuple[Shape, ...]) -> Tensor:
        """Decodes rounded latents, float32 on the prior's device."""
        return self.dequantize(self.coder.decode([item.payload for item in coded], shapes[0]))

    def auxiliary_loss(self) -> Tensor:
        """The loss of the quantiles, which bound the tables; its gradients touch nothing else."""
        return self.model.loss()

    def update_tables(self) -> None:
        """Builds the integer tables from the learned densities."""
        self.model.update(force=True)
        self.__dict__.pop("coder", None)

    @property
    def tables(self) -> IntegerTables:
        """The integer tables; raises `EntropyTablesMissing` before `update_tables()`."""
        return IntegerTables.of(self.model)

    def require_tables(self) -> None:
        """Makes the coder ready; raises `EntropyTablesMissing` before `update_tables()`."""
        _ = self.coder

    @cached_property
    def coder(self) -> SymbolCoder:
        """The coder under the current tables."""
        return SymbolCoder(self.tables)

    def quantize(self, latents: Tensor) -> np.ndarray:
        """Rounds latents, float (N, channels, ...), to symbols, int32 of the same shape, on the host.

        Raises:
            InputError: latents that are not finite, or beyond 32 bits.
        """
        require_codable(latents, LARGEST_SYMBOL)
        return self.symbols(latents).cpu().numpy().astype(np.int32)

    def symbols(self, latents: Tensor) -> Tensor:
        """Rounds latents, float (N, channels, ...), to their distance from the medians."""
        return self.model.quantize(latents.float(), "symbols", self._medians(latents.ndim))

    def dequantize(self, symbols: np.ndarray) -> Tensor:
        """Inverts `quantize` up to rounding; float32 on the prior's device."""
        values = torch.from_numpy(symbols).to(self.model.quantiles.device)
        return self.model.dequantize(values, self._medians(values.ndim))

    def _medians(self, dimensions: int) -> Tensor:
        return self.model.quantiles[:, 0, 1].detach().view(1, -1, *(1,) * (dimensions - 2))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        resize_tables(self.model, state_dict, f"{prefix}model.", args[-1])
        self.__dict__.pop("coder", None)
        super()._load_from_state_dict(state_dict, prefix, *args)


@PRIORS.register("factorized")
def factorized(channels: int, hyper_channels: int, transforms: HyperTransforms) -> FactorizedPrior:
    """A factorized prior over `channels`; it has no side information."""
    return FactorizedPrior(channels)
