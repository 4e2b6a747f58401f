"""Hyperpriors: side information says how the latents of each sample are distributed.

Ballé, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale hyperprior", ICLR 2018; Minnen,
Ballé and Toderici, "Joint autoregressive and hierarchical priors for learned image compression", NeurIPS 2018.

Which table a latent is coded under follows from the output of a network, so device and server must compute the same
output to the last decision. They do so in double precision, where machines differ by far less than the tables are
apart; the session's fingerprint covers the outcome for a fixed input, and samples carry a check if checksums are on.
"""

import zlib
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from compressai.entropy_models import GaussianConditional
from torch import Tensor, nn

from sc2bench.coding import CodingError, IntegerTables, SymbolCoder
from sc2bench.entropy.base import Coded, HyperTransforms, LatentCodec, LatentDecoder, Shape, bits_of, resize_tables
from sc2bench.entropy.factorized import FactorizedPrior
from sc2bench.registry import PRIORS

# Standard deviations of the tables, evenly spaced in their logarithm, as in CompressAI's checkpoints.
SCALES = np.geomspace(0.11, 256, 64).tolist()
CHECK_BYTES = 4
_PROBE_SIDE = 2


class HyperpriorDecoder(LatentDecoder):
    """What both sides have of a hyperprior.

    Args:
        side: prior of the side latents.
        hyper_decoder: quantized side latents (N, K, ...) to scales (N, C, ...), or to scales and means (N, 2C, ...).
        has_means: whether it gives means; else they are zero.
    """

    has_side_info = True

    def __init__(self, side: FactorizedPrior, hyper_decoder: nn.Module, has_means: bool):
        super().__init__()
        self.side = side
        self.hyper_decoder = hyper_decoder
        self.has_means = has_means
        self.gaussian = GaussianConditional(None)

    def forward(self, latents: Tensor, side_latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (N, C, ...) as quantized under the side latents' conditions, and the bits of each sample, (N,)."""
        scales, means = self._split(self.hyper_decoder(side_latents))
        with torch.autocast(latents.device.type, enabled=False):
            quantized, likelihoods = self.gaussian(
                latents.float(), scales.float(), None if means is None else means.float()
            )
        return quantized, bits_of(likelihoods)

    def encode(self, latents: Tensor, side_latents: Tensor) -> tuple[list[bytes], np.ndarray]:
        """Codes latents; returns the payloads and the indexes of the tables, int64 in the latents' shape."""
        indexes, means = self.conditions(side_latents)
        symbols = self.gaussian.quantize(latents.float(), "symbols", means).cpu().numpy().astype(np.int32)
        return self.coder.encode(symbols, indexes), indexes

    def decode(self, payloads: Sequence[bytes], side_latents: Tensor, checks: Sequence[bytes]) -> Tensor:
        """Inverts `encode`; raises `CodingError` if a check, where there is one, is not that of the indexes."""
        indexes, means = self.conditions(side_latents)
        compare(indexes, checks)
        symbols = torch.from_numpy(self.coder.decode(payloads, indexes=indexes)).to(side_latents.device)
        return self.gaussian.dequantize(symbols, means)

    def decompress(self, coded: Sequence[Coded], shapes: tuple[Shape, ...]) -> Tensor:
        """Decodes side latents, then latents, float32 on the prior's device."""
        check_bytes = CHECK_BYTES if self.checked else 0
        checks = [item.side_info[:check_bytes] for item in coded]
        side = [Coded(item.side_info[check_bytes:]) for item in coded]
        side_latents = self.side.decompress(side, shapes[1:])
        return self.decode([item.payload for item in coded], side_latents, checks if self.checked else ())

    @torch.no_grad()
    def conditions(self, side_latents: Tensor) -> tuple[np.ndarray, Tensor | None]:
        """The tables' indexes, int64 on the host, and the means, float32; computed in double precision."""
        scales, means = self._split(in_double(self.hyper_decoder)(side_latents))
        return self.indexes(scales), None if means is None else means.float()

    def indexes(self, scales: Tensor) -> np.ndarray:
        """For each scale the table with the smallest scale that is not below it, or the last one."""
        table = self.gaussian.scale_table[:-1].to(scales)
        return torch.searchsorted(table, scales.contiguous()).cpu().numpy()

    def probe(self) -> bytes:
        """The indexes for side latents of small numbers."""
        shape = (1, self.side.model.channels, _PROBE_SIDE, _PROBE_SIDE)
        symbols = (np.arange(np.prod(shape), dtype=np.int32) % 7 - 3).reshape(shape)
        return self.conditions(self.side.dequantize(symbols))[0].astype("<i8").tobytes()

    def update_tables(self) -> None:
        """Builds the integer tables of the side prior and of the Gaussians."""
        self.side.update_tables()
        self.gaussian.update_scale_table(SCALES, force=True)
        self.__dict__.pop("coder", None)

    def require_tables(self) -> None:
        """Makes the coders ready; raises `EntropyTablesMissing` before `update_tables()`."""
        self.side.require_tables()
        _ = self.coder

    @cached_property
    def coder(self) -> SymbolCoder:
        """The coder under the Gaussians' tables."""
        return SymbolCoder(IntegerTables.of(self.gaussian))

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.has_means:
            return parameters, None
        scales, means = parameters.chunk(2, dim=1)
        return scales, means

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        resize_tables(self.gaussian, state_dict, f"{prefix}gaussian.", args[-1])
        self.__dict__.pop("coder", None)
        super()._load_from_state_dict(state_dict, prefix, *args)


class Hyperprior(LatentCodec):
    """The device's part of a hyperprior: it makes the side information.

    Args:
        hyper_encoder: latents to side latents.
        shared: what the server has too.
        absolute: whether the hyper-encoder sees the latents' absolute values, as where there are no means.
    """

    has_side_info = True

    def __init__(self, hyper_encoder: nn.Module, shared: HyperpriorDecoder, absolute: bool):
        super().__init__()
        self.hyper_encoder = hyper_encoder
        self.shared = shared
        self.absolute = absolute

    @property
    def server_part(self) -> HyperpriorDecoder:
        """All but the hyper-encoder."""
        return self.shared

    def shapes(self, latent_shape: Shape) -> tuple[Shape, ...]:
        """The shapes of the latents and of the side latents."""
        with torch.no_grad():
            side = self._side_latents(torch.zeros(1, *latent_shape, device=self.shared.side.model.quantiles.device))
        return latent_shape, tuple(side.shape[1:])

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Noise in training mode, rounding in evaluation mode; the bits are those of both streams."""
        side_latents, side_bits = self.shared.side(self._side_latents(latents))
        quantized, bits = self.shared(latents, side_latents)
        return quantized, bits + side_bits

    def compress(self, latents: Tensor) -> list[Coded]:
        """Codes the side latents, and under them the latents."""
        symbols = self.shared.side.quantize(self._side_latents(latents))
        side = self.shared.side.coder.encode(symbols)
        payloads, indexes = self.shared.encode(latents, self.shared.side.dequantize(symbols))
        checks = digests(indexes) if self.shared.checked else [b""] * len(side)
        return [Coded(payload, check + data) for payload, check, data in zip(payloads, checks, side, strict=True)]

    def decompress(self, coded: Sequence[Coded], shapes: tuple[Shape, ...]) -> Tensor:
        """As the server does."""
        return self.shared.decompress(coded, shapes)

    def auxiliary_loss(self) -> Tensor:
        """That of the side prior's quantiles."""
        return self.shared.side.auxiliary_loss()

    def update_tables(self) -> None:
        """Builds all integer tables."""
        self.shared.update_tables()

    def require_tables(self) -> None:
        """Makes the coders ready; raises `EntropyTablesMissing` before `update_tables()`."""
        self.shared.require_tables()

    def probe(self) -> bytes:
        """That of the shared part."""
        return self.shared.probe()

    def _side_latents(self, latents: Tensor) -> Tensor:
        return self.hyper_encoder(latents.abs() if self.absolute else latents)


def in_double(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A network that computes in float64 and returns it, whatever the precision of its weights and inputs."""
    named = chain(network.named_parameters(), network.named_buffers())
    doubled = {name: tensor.detach().double() for name, tensor in named}

    def run(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            return torch.func.functional_call(network, doubled, (inputs.double(),))

    return run


def digests(indexes: np.ndarray) -> list[bytes]:
    """A check of each sample's indexes (N, ...), four bytes."""
    return [
        zlib.crc32(np.ascontiguousarray(sample, "<i8").tobytes()).to_bytes(CHECK_BYTES, "big") for sample in indexes
    ]


def compare(indexes: np.ndarray, checks: Sequence[bytes]) -> None:
    """Raises `CodingError` unless the checks, where there are any, are those of the indexes."""
    if checks and digests(indexes) != list(checks):
        raise CodingError(
            "device and server computed different conditions from the side information: their hyperpriors' arithmetic "
            "differs, or the side information is damaged; run both on the same kind of processor"
        )


@PRIORS.register("scale_hyperprior")
def scale_hyperprior(channels: int, hyper_channels: int, transforms: HyperTransforms) -> Hyperprior:
    """Gaussians whose scales the side information gives (Ballé et al. 2018)."""
    hyper_encoder, hyper_decoder = transforms(hyper_channels, 1)
    shared = HyperpriorDecoder(FactorizedPrior(hyper_channels), hyper_decoder, has_means=False)
    return Hyperprior(hyper_encoder, shared, absolute=True)


@PRIORS.register("mean_scale_hyperprior")
def mean_scale_hyperprior(channels: int, hyper_channels: int, transforms: HyperTransforms) -> Hyperprior:
    """Gaussians whose scales and means the side information gives (Minnen et al. 2018)."""
    hyper_encoder, hyper_decoder = transforms(hyper_channels, 2)
    shared = HyperpriorDecoder(FactorizedPrior(hyper_channels), hyper_decoder, has_means=True)
    return Hyperprior(hyper_encoder, shared, absolute=False)
