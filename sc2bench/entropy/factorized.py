"""The factorized prior: each channel has a learned density of its own (Ballé et al. 2018)."""

from functools import cached_property

import numpy as np
import torch
from compressai.entropy_models import EntropyBottleneck
from torch import Tensor, nn

from sc2bench.entropy.coder import SymbolCoder
from sc2bench.entropy.tables import IntegerTables
from sc2bench.registry import PRIORS


@PRIORS.register("factorized")
class FactorizedPrior(nn.Module):
    """CompressAI's `EntropyBottleneck` with integer tables and our coder.

    Args:
        channels: of the latents.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.model = EntropyBottleneck(channels)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The differentiable path: noise in training mode, rounding in evaluation mode.

        Args:
            latents: float, (N, channels, ...).

        Returns:
            The quantized latents in the shape of the input, and the estimated bits of each sample, (N,).
        """
        # Differences of cumulative probabilities cancel in half precision.
        with torch.autocast(latents.device.type, enabled=False):
            quantized, likelihoods = self.model(latents.float())
        return quantized, -likelihoods.log2().flatten(1).sum(1)

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

    @cached_property
    def coder(self) -> SymbolCoder:
        """The coder under the current tables."""
        return SymbolCoder(self.tables)

    def quantize(self, latents: Tensor) -> np.ndarray:
        """Rounds latents, float (N, channels, ...), to symbols, int32 of the same shape, on the host."""
        symbols = self.model.quantize(latents.float(), "symbols", self._medians(latents.ndim))
        return symbols.cpu().numpy().astype(np.int32)

    def dequantize(self, symbols: np.ndarray) -> Tensor:
        """Inverts `quantize` up to rounding; float32 on the prior's device."""
        values = torch.from_numpy(symbols).to(self.model.quantiles.device)
        return self.model.dequantize(values, self._medians(values.ndim))

    def _medians(self, dimensions: int) -> Tensor:
        return self.model.quantiles[:, 0, 1].detach().view(1, -1, *(1,) * (dimensions - 2))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        # The tables' sizes are learned, so the buffers take the sizes that the checkpoint brings.
        for name in ("_offset", "_quantized_cdf", "_cdf_length"):
            stored = state_dict.get(f"{prefix}model.{name}")
            if stored is not None:
                self.model.register_buffer(name, torch.empty_like(stored, device=self.model.quantiles.device))
        self.__dict__.pop("coder", None)
        super()._load_from_state_dict(state_dict, prefix, *args)
