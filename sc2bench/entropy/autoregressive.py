"""A hyperprior with a context model: each latent's distribution also depends on the latents before it.

Minnen, Ballé and Toderici, "Joint autoregressive and hierarchical priors for learned image compression", NeurIPS 2018.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from compressai.layers import MaskedConv2d
from torch import Tensor, nn
from torch.nn import functional

from sc2bench.core.registry import PRIORS
from sc2bench.entropy.base import LARGEST_SYMBOL, HyperTransforms, bits_of, require_codable
from sc2bench.entropy.factorized import FactorizedPrior
from sc2bench.entropy.hyperprior import Hyperprior, HyperpriorDecoder, compare, fit, in_double
from sc2bench.wire.coding import SymbolDecoder, SymbolEncoder


class AutoregressiveDecoder(HyperpriorDecoder):
    """Predicts scales and means from the side information and from the neighbours that are decoded already.

    Positions are coded in raster order, all samples of a batch side by side.

    Args:
        side: prior of the side latents.
        hyper_decoder: quantized side latents to (N, P, h, w).
        context: a masked convolution of the latents (N, C, h, w) to (N, Q, h, w).
        predictor: 1x1 convolutions of (N, P + Q, h, w) to scales and means (N, 2C, h, w).
    """

    def __init__(self, side: FactorizedPrior, hyper_decoder: nn.Module, context: MaskedConv2d, predictor: nn.Module):
        super().__init__(side, hyper_decoder, has_means=True)
        self.context = context
        self.predictor = predictor

    def forward(self, latents: Tensor, side_latents: Tensor) -> tuple[Tensor, Tensor]:
        """Noise in training mode, rounding in evaluation mode; see `HyperpriorDecoder.forward`."""
        hyper = fit(self.hyper_decoder(side_latents), latents.shape[2:])
        quantized = self.gaussian.quantize(latents, "noise" if self.training else "dequantize")
        scales, means = self.predictor(torch.cat((hyper, self.context(quantized)), dim=1)).chunk(2, dim=1)
        with torch.autocast(latents.device.type, enabled=False):
            _, likelihoods = self.gaussian(latents.float(), scales.float(), means.float())
        return quantized, bits_of(likelihoods)

    def encode(self, latents: Tensor, side_latents: Tensor) -> tuple[list[bytes], np.ndarray]:
        """Codes position by position; see `HyperpriorDecoder.encode`."""
        encoder = SymbolEncoder(self.coder, len(latents))

        def code(at: tuple[int, int], indexes: np.ndarray, means: Tensor) -> Tensor:
            values = torch.round(latents[:, :, at[0], at[1]].double() - means)
            require_codable(values, LARGEST_SYMBOL)
            encoder.put(values.cpu().numpy().astype(np.int32), indexes)
            return values

        _, indexes = self._walk(side_latents, latents.shape[2:], code)
        return encoder.finish(), indexes

    def decode(
        self, payloads: Sequence[bytes], side_latents: Tensor, checks: Sequence[bytes], size: Sequence[int]
    ) -> Tensor:
        """Inverts `encode`; the check, where there is one, is compared when all is decoded."""
        decoder = SymbolDecoder(self.coder, payloads)

        def code(at: tuple[int, int], indexes: np.ndarray, means: Tensor) -> Tensor:
            return torch.from_numpy(decoder.take(indexes)).to(means)

        latents, indexes = self._walk(side_latents, size, code)
        compare(indexes, checks)
        return latents.float()

    @torch.no_grad()
    def parameters_of(self, side_latents: Tensor) -> Tensor:
        """Scales and means for latents that are zero up to their means, position by position; for the probe."""
        found: list[Tensor] = []

        def code(at: tuple[int, int], scales: Tensor, means: Tensor) -> Tensor:
            found.append(torch.cat((scales, means), 1))
            return torch.zeros_like(means)

        hyper = in_double(self.hyper_decoder)(side_latents)
        self._visit(hyper, code)
        return torch.stack(found)

    @torch.no_grad()
    def _walk(
        self,
        side_latents: Tensor,
        size: Sequence[int],
        code: Callable[[tuple[int, int], np.ndarray, Tensor], Tensor],
    ) -> tuple[Tensor, np.ndarray]:
        """Visits all positions in raster order.

        Args:
            side_latents: quantized.
            size: (h, w) of the latents.
            code: codes or decodes one position; takes the position, the tables' indexes (N, C) and the means, float64
                (N, C); returns the symbols as float64 (N, C).

        Returns:
            The quantized latents, float64 (N, C, h, w), and the indexes of the tables, int64 in the same shape.
        """
        hyper = fit(in_double(self.hyper_decoder)(side_latents), size)
        indexes = np.empty((len(hyper), self.context.in_channels, *size), np.int64)

        def with_tables(at: tuple[int, int], scales: Tensor, means: Tensor) -> Tensor:
            indexes[:, :, at[0], at[1]] = self.indexes(scales)
            return code(at, indexes[:, :, at[0], at[1]], means)

        return self._visit(hyper, with_tables), indexes

    def _visit(self, hyper: Tensor, code: Callable[[tuple[int, int], Tensor, Tensor], Tensor]) -> Tensor:
        """Computes scales and means, float64 (N, C), of each position, and gives them to `code` for its symbols.

        Args:
            hyper: the hyper-decoder's output, float64 (N, P, h, w).
            code: as in `_walk`, with scales in place of indexes.

        Returns:
            The quantized latents, float64 (N, C, h, w).
        """
        predict = in_double(self.predictor)
        weight = (self.context.weight * self.context.mask).double()
        bias = None if self.context.bias is None else self.context.bias.double()
        kernel, channels = self.context.kernel_size[0], self.context.in_channels
        margin = kernel // 2
        count, _, height, width = hyper.shape
        padded = hyper.new_zeros(count, channels, height + 2 * margin, width + 2 * margin)
        for row, column in np.ndindex(height, width):
            window = padded[:, :, row : row + kernel, column : column + kernel]
            near = functional.conv2d(window, weight, bias)
            known = torch.cat((hyper[:, :, row : row + 1, column : column + 1], near), dim=1)
            scales, means = predict(known).flatten(1).chunk(2, dim=1)
            padded[:, :, row + margin, column + margin] = code((row, column), scales, means) + means
        return padded[:, :, margin : margin + height, margin : margin + width]


@PRIORS.register("joint_autoregressive")
def joint_autoregressive(channels: int, hyper_channels: int, transforms: HyperTransforms) -> Hyperprior:
    """Gaussians that depend on the side information and on the latents before (Minnen et al. 2018)."""
    hyper_encoder, hyper_decoder = transforms(hyper_channels, 2)
    context = MaskedConv2d(channels, 2 * channels, kernel_size=5, padding=2, stride=1)
    inner = (10 * channels // 3, 8 * channels // 3)
    predictor = nn.Sequential(
        nn.Conv2d(4 * channels, inner[0], 1),
        nn.LeakyReLU(inplace=True),
        nn.Conv2d(inner[0], inner[1], 1),
        nn.LeakyReLU(inplace=True),
        nn.Conv2d(inner[1], 2 * channels, 1),
    )
    shared = AutoregressiveDecoder(FactorizedPrior(hyper_channels), hyper_decoder, context, predictor)
    return Hyperprior(hyper_encoder, shared, absolute=False)
