"""Coding latents, ours against CompressAI's coders: the same tables, the same latents, batches and one by one.

    python benchmarks/speed/coder.py

Compared are the whole paths from latents to bytes and back: `FactorizedPrior` with our coder against CompressAI's
`EntropyBottleneck`, and our coder alone against CompressAI's `RansEncoder` alone, whose symbols are given as the lists
that it wants.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer
from compressai.ans import RansDecoder, RansEncoder
from compressai.entropy_models import EntropyBottleneck
from measure import environment, interleave, table

from sc2bench.entropy import Coded, FactorizedPrior

# Latents of 32x32 images, of something between, and of 224x224 images, and how many are coded together.
SIZES = {"16x4x4": ((16, 4, 4), 250), "16x32x32": ((16, 32, 32), 32), "24x55x55": ((24, 55, 55), 8)}
SCALES = {"1.6 bits a symbol": 0.5, "3.8 bits a symbol": 3.0}


class Latents:
    """Latents that are distributed as their prior says.

    Args:
        shape: of one sample, (C, h, w).
        samples: N.
        scale: of the prior's initial densities.
    """

    def __init__(self, shape: tuple[int, int, int], samples: int, scale: float):
        torch.manual_seed(0)
        self.prior = FactorizedPrior(shape[0], EntropyBottleneck(shape[0], init_scale=scale)).eval()
        self.prior.update_tables()
        self.shape = shape
        generator, tables = np.random.default_rng(0), self.prior.tables
        self.symbols = np.empty((samples, *shape), np.int32)
        for channel, offset in enumerate(tables.offsets):
            p = tables.probabilities(channel)[:-1]
            self.symbols[:, channel] = offset + generator.choice(len(p), (samples, *shape[1:]), p=p / p.sum())
        self.latents = self.prior.dequantize(self.symbols)


class Ours:
    """Our prior and coder."""

    def __init__(self, latents: Latents):
        self._latents = latents
        self._packed = latents.prior.compress(latents.latents)

    @property
    def sizes(self) -> list[int]:
        """Bytes of each sample."""
        return [len(coded.payload) for coded in self._packed]

    def encode(self) -> list[Coded]:
        """Latents to bytes."""
        return self._latents.prior.compress(self._latents.latents)

    def decode(self) -> torch.Tensor:
        """Bytes to latents."""
        return self._latents.prior.decompress(self._packed, (self._latents.shape,))

    def encode_symbols(self) -> list[bytes]:
        """Symbols to bytes."""
        return self._latents.prior.coder.encode(self._latents.symbols)

    def decode_symbols(self) -> np.ndarray:
        """Bytes to symbols."""
        return self._latents.prior.coder.decode([coded.payload for coded in self._packed], self._latents.shape)


class CompressAI:
    """CompressAI's entropy model and coder."""

    def __init__(self, latents: Latents):
        self._latents = latents
        self._model = latents.prior.model
        indexes = np.arange(latents.shape[0]).repeat(np.prod(latents.shape[1:]))
        self._tables = (
            indexes.tolist(),
            self._model.quantized_cdf.tolist(),
            self._model.cdf_length.flatten().tolist(),
            self._model.offset.flatten().tolist(),
        )
        self._symbols = [sample.ravel().tolist() for sample in latents.symbols]
        self._encoder, self._decoder = RansEncoder(), RansDecoder()
        self._packed = self.encode()

    @property
    def sizes(self) -> list[int]:
        """Bytes of each sample."""
        return [len(data) for data in self._packed]

    def encode(self) -> list[bytes]:
        """Latents to bytes."""
        return self._model.compress(self._latents.latents)

    def decode(self) -> torch.Tensor:
        """Bytes to latents."""
        return self._model.decompress(self._packed, self._latents.shape[1:])

    def encode_symbols(self) -> list[bytes]:
        """Lists of symbols to bytes."""
        return [self._encoder.encode_with_indexes(sample, *self._tables) for sample in self._symbols]

    def decode_symbols(self) -> list[list[int]]:
        """Bytes to lists of symbols."""
        return [self._decoder.decode_with_indexes(data, *self._tables) for data in self._packed]


CODERS: dict[str, Any] = {"CompressAI": CompressAI, "ours": Ours}


def prepare(coder: str, operation: str, shape: tuple[int, int, int], samples: int, scale: float) -> Callable[[], None]:
    """One operation of one coder, checked once to give back what was coded."""
    latents = Latents(shape, samples, scale)
    built = CODERS[coder](latents)
    if not torch.equal(built.decode(), latents.latents):
        raise RuntimeError(f"{coder} does not decode what it encoded")
    work = getattr(built, operation)

    def run() -> None:
        with torch.inference_mode():
            work()

    return run


def main(repeats: Annotated[int, typer.Option(help="rounds that count")] = 15) -> None:
    """Prints times, ratios and sizes."""
    print(environment(threads=1))
    for size, (shape, samples) in SIZES.items():
        for rate, scale in SCALES.items():
            latents = Latents(shape, samples, scale)
            means = {name: np.mean(coder(latents).sizes) for name, coder in CODERS.items()}
            print(f"\n{size}, {samples} samples, {rate}: " + ", ".join(f"{n} {b:.1f} bytes" for n, b in means.items()))
            for operation in ("encode", "decode", "encode_symbols", "decode_symbols"):
                variants = {
                    f"{name}, {operation}": partial(prepare, name, operation, shape, samples, scale) for name in CODERS
                }
                measured = interleave(variants, repeats)
                print(table(measured, dict.fromkeys(variants, samples), "sample"))


if __name__ == "__main__":
    typer.run(main)
