"""What turns latents into bytes and back, whatever the model of their distribution."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
# Gives the hyper-analysis and the hyper-synthesis for (channels of the side latents, outputs a latent channel).
HyperTransforms = Callable[[int, int], tuple[nn.Module, nn.Module]]
_TABLE_BUFFERS = ("_offset", "_quantized_cdf", "_cdf_length", "scale_table")


class Coded(NamedTuple):
    """One sample's latents as bytes.

    Attributes:
        payload: the latents themselves.
        side_info: what decoding them needs and changes from sample to sample.
    """

    payload: bytes
    side_info: bytes = b""


class LatentDecoder(nn.Module):
    """What the server has: it turns bytes into latents."""

    # Whether `Coded.side_info` is used.
    has_side_info: ClassVar[bool] = False
    # Whether samples carry a check that both sides computed the same conditions of decoding.
    checked: bool = False

    @abstractmethod
    def decompress(self, coded: Sequence[Coded], shapes: tuple[Shape, ...]) -> Tensor:
        """Gives latents, float32 (N, channels, ...); raises `CodingError` for bytes that can't be decoded."""

    def update_tables(self) -> None:
        """Builds the integer tables, once training is over; nothing to do without a prior."""

    def require_tables(self) -> None:
        """Makes the coder ready, where there is a prior; raises `EntropyTablesMissing` before `update_tables()`."""

    def probe(self) -> bytes:
        """What decoding computes beyond the tables, for a fixed input: sides must agree on it to share a session."""
        return b""


class LatentCodec(LatentDecoder):
    """Base of the priors and of the quantizer, which does without one."""

    @property
    def server_part(self) -> LatentDecoder:
        """What the server needs of it."""
        return self

    def shapes(self, latent_shape: Shape) -> tuple[Shape, ...]:
        """The shapes that `decompress` wants for latents of one sample in `latent_shape`."""
        return (latent_shape,)

    @abstractmethod
    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor | None]:
        """The differentiable path.

        Args:
            latents: float, (N, channels, ...).

        Returns:
            The latents as the server will know them, and the estimated bits of each sample, (N,), if there is a prior.
        """

    @abstractmethod
    def compress(self, latents: Tensor) -> list[Coded]:
        """Codes latents, float (N, channels, ...), to one item a sample."""

    def estimate_bits(self, latents: Tensor) -> Tensor | None:
        """The bits of `forward` in evaluation mode alone, without gradients: float, (N,)."""
        return self(latents)[1]

    def auxiliary_loss(self) -> Tensor | float:
        """A loss of parameters that no other loss moves."""
        return 0.0


def resize_tables(model: nn.Module, state_dict: dict[str, Tensor], prefix: str) -> None:
    """Gives the buffers of an entropy model of CompressAI the sizes that a state dict brings: they are learned."""
    for name in _TABLE_BUFFERS:
        stored, own = state_dict.get(f"{prefix}{name}"), getattr(model, name, None)
        if stored is not None and own is not None:
            model.register_buffer(name, torch.empty_like(stored, device=own.device))


def bits_of(likelihoods: Tensor) -> Tensor:
    """The information of likelihoods (N, ...), in bits a sample, (N,)."""
    return -likelihoods.log2().flatten(1).sum(1)
