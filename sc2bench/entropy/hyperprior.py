"""Hyperpriors: side information says how the latents of each sample are distributed.

Ballé, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale hyperprior", ICLR 2018; Minnen,
Ballé and Toderici, "Joint autoregressive and hierarchical priors for learned image compression", NeurIPS 2018.

Which table a latent is coded under follows from the output of a network, so device and server must compute the same
output to the last decision. They do so in double precision, where machines differ by some 1e-15 of a value, while the
tables are 13 % apart: of 1e13 latents one gets another table. What is left are sides that do not compute in double
precision, for all that they should: the session's fingerprint covers the outcome for a fixed input, on a grid fine
enough that differences of 1e-7, as single precision has, are found (see `HyperpriorDecoder.probe`).

Samples carry a check of their own if checksums are on. It is no default: with the packet's checksum it takes 8 bytes,
4 to 78 % of the packets of 28x28 images in `results/embedded`, and a probe, which is made once a session, takes none.
"""

import zlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from compressai.entropy_models import GaussianConditional
from torch import Tensor, nn

from sc2bench.core.registry import PRIORS
from sc2bench.entropy.base import (
    LARGEST_SYMBOL,
    Coded,
    HyperTransforms,
    LatentCodec,
    LatentDecoder,
    Shape,
    bits_of,
    require_codable,
    resize_tables,
)
from sc2bench.entropy.factorized import FactorizedPrior
from sc2bench.wire.coding import CodingError, IntegerTables, SymbolCoder

# Standard deviations of the tables, evenly spaced in their logarithm, as in CompressAI's checkpoints.
SCALES = np.geomspace(0.11, 256, 64).tolist()
CHECK_BYTES = 4
_PROBE_SIDE = 2
_EARLIER_TOP = 3
# Of the side latents that are probed; each sample has those up to another number.
_PROBE_TOPS = (1, 3, 9)
# Of the values that are probed so many are taken, on a grid of so many steps up to the largest. That a difference of
# 1e-14 of the largest, which is more than machines have in double precision, moves any over a border of the grid has a
# probability of 2048 * 1e-14 * 2**20 = 2e-5; that one of 1e-8 moves none, a probability of exp(-21).
_PROBE_VALUES = 2048
_PROBE_GRID = 2.0**20
# No hyper-encoder here wants latents of longer sides.
_MOST_LEAST_SIDE = 64


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
        scales, means = self._split(fit(self.hyper_decoder(side_latents), latents.shape[2:]))
        with torch.autocast(latents.device.type, enabled=False):
            quantized, likelihoods = self.gaussian(
                latents.float(), scales.float(), None if means is None else means.float()
            )
        return quantized, bits_of(likelihoods)

    def encode(self, latents: Tensor, side_latents: Tensor) -> tuple[list[bytes], np.ndarray]:
        """Codes latents; returns the payloads and the indexes of the tables, int64 in the latents' shape."""
        indexes, means = self.conditions(side_latents, latents.shape[2:])
        require_codable(latents if means is None else latents - means, LARGEST_SYMBOL)
        symbols = self.gaussian.quantize(latents.float(), "symbols", means).cpu().numpy().astype(np.int32)
        return self.coder.encode(symbols, indexes), indexes

    def decode(
        self, payloads: Sequence[bytes], side_latents: Tensor, checks: Sequence[bytes], size: Sequence[int]
    ) -> Tensor:
        """Inverts `encode` for latents of a size (h, w).

        Raises:
            CodingError: no code, or a check, where there is one, is not that of the indexes.
        """
        indexes, means = self.conditions(side_latents, size)
        compare(indexes, checks)
        symbols = torch.from_numpy(self.coder.decode(payloads, indexes=indexes)).to(side_latents.device)
        return self.gaussian.dequantize(symbols, means)

    @property
    def check_bytes(self) -> int:
        """That of the tables' indexes."""
        return CHECK_BYTES if self.checked else 0

    def decompress(self, coded: Sequence[Coded], shapes: tuple[Shape, ...]) -> Tensor:
        """Decodes side latents, then latents, float32 on the prior's device."""
        check_bytes = self.check_bytes
        checks = [item.side_info[:check_bytes] for item in coded]
        side = [Coded(item.side_info[check_bytes:]) for item in coded]
        side_latents = self.side.decompress(side, shapes[1:])
        payloads = [item.payload for item in coded]
        return self.decode(payloads, side_latents, checks if self.checked else (), shapes[0][1:])

    @torch.no_grad()
    def conditions(self, side_latents: Tensor, size: Sequence[int]) -> tuple[np.ndarray, Tensor | None]:
        """For latents of a size the tables' indexes, int64 on the host, and the means, float32.

        They are computed in double precision.
        """
        scales, means = self._split(fit(in_double(self.hyper_decoder)(side_latents), size))
        return self.indexes(scales), None if means is None else means.float()

    def indexes(self, scales: Tensor) -> np.ndarray:
        """For each scale the table with the smallest scale that is not below it, or the last one."""
        table = self.gaussian.scale_table[:-1].to(scales)
        return torch.searchsorted(table, scales.contiguous()).cpu().numpy()

    def probe(self) -> bytes:
        """What the tables follow from, on a fine grid, for side latents of small and of larger numbers.

        Two sides that differ by 1e-7 in what they compute give something else, and two in double precision the same.
        """
        side_latents = torch.cat([self._probe_latents(top) for top in _PROBE_TOPS])
        values = self.parameters_of(side_latents).flatten().cpu().numpy()
        some = values[:: -(-len(values) // _PROBE_VALUES)]
        largest = np.abs(some).max(initial=0)
        # Rounding has its borders between the whole numbers, so that values that should be zero are far from one.
        return np.nan_to_num(np.rint(some / (largest or 1) * _PROBE_GRID)).astype("<i4").tobytes()

    def earlier_probe(self) -> bytes:
        """The indexes for side latents of small numbers, as sessions had them before the probe was finer."""
        with torch.no_grad():
            scales, _ = self._split(in_double(self.hyper_decoder)(self._probe_latents(_EARLIER_TOP)))
        return self.indexes(scales).astype("<i8").tobytes()

    @torch.no_grad()
    def parameters_of(self, side_latents: Tensor) -> Tensor:
        """All that decoding computes from side latents, float64; for the probe."""
        return in_double(self.hyper_decoder)(side_latents)

    def _probe_latents(self, top: int) -> Tensor:
        """Side latents of one sample, whole numbers from -top to top away from the medians."""
        shape = (1, self.side.model.channels, _PROBE_SIDE, _PROBE_SIDE)
        return self.side.dequantize((np.arange(np.prod(shape), dtype=np.int32) % (2 * top + 1) - top).reshape(shape))

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
        self._least: int | None = None

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
        """Codes the side latents, and under them the latents; raises `InputError` for some that are not finite."""
        require_codable(latents, LARGEST_SYMBOL)
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

    def earlier_probe(self) -> bytes:
        """That of the shared part."""
        return self.shared.earlier_probe()

    def _side_latents(self, latents: Tensor) -> Tensor:
        least = self._least_side(latents.shape[1])
        lacking = [max(least - side, 0) for side in latents.shape[2:]]
        if any(lacking):
            latents = fit(latents, [side + more for side, more in zip(latents.shape[2:], lacking, strict=True)])
        return self.hyper_encoder(latents.abs() if self.absolute else latents)

    def _least_side(self, channels: int) -> int:
        """The shortest side of latents that the hyper-encoder takes; found once, without computing anything."""
        if self._least is None:
            hollow = deepcopy(self.hyper_encoder).eval().to("meta")
            self._least = next(side for side in range(1, _MOST_LEAST_SIDE) if _takes(hollow, channels, side))
        return self._least


def in_double(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A network that computes in float64 and returns it, whatever the precision of its weights and inputs."""
    named = chain(network.named_parameters(), network.named_buffers())
    doubled = {name: tensor.detach().double() for name, tensor in named}

    def run(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            return torch.func.functional_call(network, doubled, (inputs.double(),))

    return run


def fit(values: Tensor, size: Sequence[int]) -> Tensor:
    """Values (N, C, ...) in another size: cropped where it is smaller, their last ones repeated where it is larger.

    Strides leave a hyper-decoder's output larger or smaller than the latents, unless their sides are multiples.
    """
    for axis, side in enumerate(size, 2):
        values = values.narrow(axis, 0, min(side, values.shape[axis]))
    lacking = [side - found for side, found in zip(size, values.shape[2:], strict=True)]
    if not any(lacking):
        return values
    return nn.functional.pad(values, [more for side in reversed(lacking) for more in (0, side)], mode="replicate")


@torch.no_grad()
def _takes(network: nn.Module, channels: int, side: int) -> bool:
    """Whether a network on the meta device takes inputs of this side; convolutions refuse what their kernels exceed."""
    try:
        network(torch.empty(1, channels, side, side, device="meta"))
    except RuntimeError:
        return False
    return True


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
