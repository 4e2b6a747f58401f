"""A prior: latents of each channel are distributed around zero as Laplace's law says, with a scale that is learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sc2bench import PRIORS, Coded, EntropyTablesMissing, IntegerTables, LatentCodec, SymbolCoder

# Symbols beyond are coded by an escape.
_LARGEST = 127
_TOTAL = 1 << 16


@PRIORS.register("laplace")
class LaplacePrior(LatentCodec):
    """Each channel has one parameter, the logarithm of its scale."""

    tables: Tensor

    def __init__(self, channels: int, hyper_channels: int = 0, transforms: Any = None):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        # Integers, for device and server must agree to the last bit; all zero until they are built.
        self.register_buffer("tables", torch.zeros(channels, 2 * _LARGEST + 3, dtype=torch.int32))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Noise in place of rounding in training mode; the latents as they arrive, and their bits, (N,)."""
        noise = torch.rand_like(latents) - 0.5
        seen = latents + noise if self.training else latents.round()
        likelihood = self._cumulative(seen + 0.5) - self._cumulative(seen - 0.5)
        return seen, -likelihood.clamp_min(1e-9).log2().flatten(1).sum(1)

    def compress(self, latents: Tensor) -> list[Coded]:
        """One item a sample."""
        return [Coded(data) for data in self._coder().encode(latents.round().cpu().numpy().astype(np.int32))]

    def decompress(self, coded: Sequence[Coded], shapes: tuple[tuple[int, ...], ...]) -> Tensor:
        """The rounded latents, float32."""
        symbols = self._coder().decode([item.payload for item in coded], shapes[0])
        return torch.from_numpy(symbols).float().to(self.log_scale.device)

    @torch.no_grad()
    def update_tables(self) -> None:
        """Turns the densities into cumulative frequencies of 16 bits, of which each symbol has one at least."""
        places = torch.arange(-_LARGEST, _LARGEST + 1, dtype=torch.float64)[None, :, None]
        probability = (self._cumulative(places + 0.5) - self._cumulative(places - 0.5))[0].T
        frequency = 1 + (probability * (_TOTAL - 2 * _LARGEST - 2)).long()
        # What rounding leaves goes to the most likely symbol; the escape behind them all keeps its one.
        frequency[:, _LARGEST] += _TOTAL - 1 - frequency.sum(1)
        ends = frequency.cumsum(1)
        self.tables.copy_(torch.cat([torch.zeros_like(ends[:, :1]), ends, torch.full_like(ends[:, :1], _TOTAL)], 1))

    def require_tables(self) -> None:
        """Raises `EntropyTablesMissing` before `update_tables()`."""
        self._coder()

    def _coder(self) -> SymbolCoder:
        cumulative = self.tables.cpu().numpy()
        if not cumulative.any():
            raise EntropyTablesMissing("the prior has no tables yet; call update_tables() after training")
        rows = len(cumulative)
        lengths, offsets = np.full(rows, 2 * _LARGEST + 1), np.full(rows, -_LARGEST)
        return SymbolCoder(IntegerTables(cumulative, lengths, offsets))

    def _cumulative(self, values: Tensor) -> Tensor:
        """The share of each channel, axis 1 or the last of three, that lies below some values."""
        shape = (1, -1, *(1,) * (values.ndim - 2)) if values.ndim > 3 else (1, 1, -1)
        scaled = values / self.log_scale.exp().to(values.dtype).reshape(shape)
        return 0.5 + 0.5 * scaled.sign() * -torch.expm1(-scaled.abs())
