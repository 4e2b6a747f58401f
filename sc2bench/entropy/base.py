"""What turns latents into bytes and back, whatever the model of their distribution."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from compressai.entropy_models import EntropyModel, GaussianConditional
from torch import Tensor, nn

from sc2bench.core.errors import InputError
from sc2bench.wire.coding import EntropyTablesDamaged, EntropyTablesMissing, IntegerTables

Shape = tuple[int, ...]
# Gives the hyper-analysis and the hyper-synthesis for (channels of the side latents, outputs a latent channel).
HyperTransforms = Callable[[int, int], tuple[nn.Module, nn.Module]]
# What a symbol may be, with room for the rounding of single precision.
LARGEST_SYMBOL = float((1 << 31) - (1 << 8))
_INTEGER_BUFFERS = ("_quantized_cdf", "_cdf_length", "_offset")
_TABLE_BUFFERS = (*_INTEGER_BUFFERS, "scale_table")


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

    @property
    def check_bytes(self) -> int:
        """Bytes of a sample's side information that are such a check."""
        return 0

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

    def earlier_probe(self) -> bytes:
        """What `probe` gave in versions whose sessions are still to be read."""
        return self.probe()


class LatentCodec(LatentDecoder):
    """Base of the priors, and of what does without one: the quantizer, and image codecs on features."""

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

    def session_bytes(self, shapes: tuple[Shape, ...]) -> bytes:
        """What coded samples of a session leave out because it is the same for all; sent once, in its header.

        Args:
            shapes: of one sample, as `decompress` takes them.
        """
        return b""

    def estimate_bits(self, latents: Tensor) -> Tensor | None:
        """The bits of `forward` in evaluation mode alone, without gradients: float, (N,)."""
        return self(latents)[1]

    def auxiliary_loss(self) -> Tensor | float:
        """A loss of parameters that no other loss moves."""
        return 0.0


def require_codable(latents: Tensor, largest: float = math.inf) -> None:
    """Looks once at latents that are about to be coded: what is no number is cast to some symbol without a word.

    Args:
        latents: (N, ...).
        largest: absolute value that they may have.

    Raises:
        InputError: they are not finite, or larger; it names the first such image of the batch.
    """
    if not latents.numel():
        return
    low, high = latents.detach().aminmax()  # not a number if one of them is
    if bool(low.isfinite() & high.isfinite() & (low >= -largest) & (high <= largest)):
        return
    sound = latents.isfinite() & (latents.abs() <= largest)
    image = int((~sound).flatten(1).any(1).nonzero()[0])
    bound = "" if largest == math.inf else f", or beyond {largest:.0f}"
    raise InputError(
        f"the latents of image {image} of the batch are not finite{bound}, so they can't be coded; the encoder's "
        "weights are damaged or badly trained"
    )


def resize_tables(model: EntropyModel, state_dict: dict[str, Tensor], prefix: str, errors: list[str]) -> None:
    """Gives the buffers of an entropy model of CompressAI the sizes that a state dict brings: they are learned.

    Args:
        model: whose tables are to be loaded.
        state_dict: of the whole.
        prefix: of the model's keys in it.
        errors: a sentence is added if the tables there are none; nothing is resized then.
    """
    stored = {name: state_dict[f"{prefix}{name}"] for name in _TABLE_BUFFERS if f"{prefix}{name}" in state_dict}
    try:
        check_tables(model, stored)
    except EntropyTablesDamaged as error:
        errors.append(f"{prefix.rstrip('.')}: {error}")
        return
    for name, tensor in stored.items():
        own = getattr(model, name, None)
        if own is not None:
            model.register_buffer(name, torch.empty(tensor.shape, dtype=own.dtype, device=own.device))


def check_tables(model: EntropyModel, stored: dict[str, Tensor]) -> None:
    """Raises `EntropyTablesDamaged` unless buffers are tables of a model, or tables that were not built yet.

    Args:
        model: an entropy model of CompressAI.
        stored: its buffers by name; tables are checked where all their parts are there.
    """
    if any(name not in stored for name in _INTEGER_BUFFERS):
        return
    scales = stored.get("scale_table")
    for name in stored.keys() & set(_TABLE_BUFFERS):
        tensor = stored[name]
        if tensor.is_floating_point() != (name == "scale_table") or tensor.is_complex():
            raise EntropyTablesDamaged(f"damaged entropy tables: {name} of type {tensor.dtype}; fetch them again")
    cumulative, lengths, offsets = (stored[name].detach().cpu().numpy() for name in _INTEGER_BUFFERS)
    try:
        tables = IntegerTables.of_compressai(cumulative, lengths, offsets, model.entropy_coder_precision)
    except EntropyTablesMissing:
        return
    if isinstance(model, GaussianConditional):
        rows = len(tables) if scales is None else scales.numel()
    else:
        rows = model.channels
    if rows != len(tables):
        raise EntropyTablesDamaged(f"damaged entropy tables: {len(tables)} instead of {rows}; fetch the weights again")
    rising = scales is None or (scales.ndim == 1 and (scales.diff(prepend=scales.new_zeros(1)) > 0).all())
    if not rising or (scales is not None and not scales.isfinite().all()):
        raise EntropyTablesDamaged("damaged entropy tables: their scales don't rise; fetch the weights again")


def bits_of(likelihoods: Tensor) -> Tensor:
    """The information of likelihoods (N, ...), in bits a sample, (N,)."""
    return -likelihoods.log2().flatten(1).sum(1)
