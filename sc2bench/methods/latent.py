"""What all methods share whose device sends the latents of an encoder: only the parts that they are made of differ."""

from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from sc2bench.bottlenecks import Bottleneck
from sc2bench.chain import Chain, cut
from sc2bench.entropy import Coded, CodingError, LatentCodec, LatentDecoder, Shape
from sc2bench.errors import ConfigError
from sc2bench.methods.base import DeviceHalf, Outputs, ServerHalf, SplitModel, output_shape
from sc2bench.packet import Packet, PacketError, SessionHeader
from sc2bench.registry import BOTTLENECKS
from sc2bench.teachers import Teacher


class LatentDevice(DeviceHalf):
    """Encoder and prior.

    Args:
        preprocess: uint8 images to the encoder's input.
        encoder: image tensor to latents.
        prior: of the latents; its server part is shared with the server.
    """

    def __init__(self, preprocess: nn.Module, encoder: nn.Module, prior: LatentCodec):
        super().__init__()
        self.preprocess = preprocess
        self.encoder = encoder
        self.prior = prior

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 images (N, C, H, W); returns latents, float (N, B, ...)."""
        return self.encoder(self.preprocess(images))

    def encode(self, images: Tensor) -> list[Packet]:
        """Codes the quantized latents of uint8 images (N, C, H, W)."""
        return [Packet(coded.payload, coded.side_info) for coded in self.prior.compress(self(images))]


class LatentServer(ServerHalf):
    """Prior, decoder and the teacher's tail.

    Args:
        prior: the server's part of the device's prior.
        decoder: latents to an imitation of the teacher's stage.
        tail: the teacher's stages behind it.
        shapes: of one sample's symbols, as the prior wants them.
    """

    def __init__(self, prior: LatentDecoder, decoder: nn.Module, tail: Chain, shapes: tuple[Shape, ...]):
        super().__init__()
        self.prior = prior
        self.decoder = decoder
        self.tail = tail
        self.shapes = shapes

    def forward(self, latents: Tensor, features: Collection[str] = ()) -> tuple[Any, dict[str, Tensor]]:
        """Takes quantized latents (N, B, ...); returns the prediction and the tail's wanted features."""
        decoded = self.decoder(latents)
        prediction, outputs = self.tail.outputs(decoded, features)
        return prediction, {"decoded": decoded, **outputs}

    def decode(self, packets: Sequence[Packet]) -> Any:
        """Turns packets into predictions."""
        coded = [Coded(packet.payload, packet.side_info) for packet in packets]
        try:
            latents = self.prior.decompress(coded, self.shapes)
        except CodingError as error:
            raise PacketError(str(error)) from error
        if latents.ndim == 4:
            latents = latents.contiguous(memory_format=torch.channels_last)
        return self(latents)[0]


class LatentModel(SplitModel):
    """A split model whose device sends coded latents.

    Args:
        device: the device's half.
        server: the server's half.
        after: the teacher's stage whose output the decoder gives.
        prior_name: of the registered prior; `None` if latents are only quantized.
    """

    device: LatentDevice
    server: LatentServer

    def __init__(self, device: LatentDevice, server: LatentServer, after: str, prior_name: str | None):
        super().__init__(device, server, server.shapes[0])
        self.after = after
        self.prior_name = prior_name

    def forward(self, images: Tensor, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """Latents pass the prior's noise (while it trains) or rounding instead of the coder."""
        latents, bits = self.device.prior(self.device(images))
        prediction, outputs = self.server(latents, features)
        outputs[self.after] = outputs.pop("decoded")
        result = {"prediction": prediction, "features": outputs}
        if bits is not None:
            result |= {"bits": bits, "auxiliary_loss": self.device.prior.auxiliary_loss()}
        return result

    @torch.no_grad()  # CompressAI's masked convolution writes to its weights, which inference mode would freeze
    def estimate_bits(self, images: Tensor) -> Tensor | None:
        """The prior's estimate for uint8 images (N, C, H, W), before tables and coding: float, (N,)."""
        return self.device.prior(self.device(images))[1]

    def update_tables(self) -> None:
        """Builds the prior's integer tables."""
        self.device.prior.update_tables()

    @property
    def session(self) -> SessionHeader:
        """The header of a session; raises `EntropyTablesMissing` before `update_tables()`."""
        self.device.prior.require_tables()
        return super().session

    @property
    def has_side_info(self) -> bool:
        """Whether the prior sends side information."""
        return self.device.prior.has_side_info

    @property
    def variant(self) -> dict[str, str]:
        """The prior's name."""
        return {} if self.prior_name is None else {"prior": self.prior_name}

    def _agreements(self) -> tuple[bytes, ...]:
        return (self.device.prior.probe(),)


class _Quantized(nn.Module):
    """The latents that a prior lets through."""

    def __init__(self, prior: LatentCodec):
        super().__init__()
        self.prior = prior

    def forward(self, latents: Tensor) -> Tensor:
        return self.prior(latents)[0]


def bottleneck_halves(
    teacher: Teacher,
    image_shape: tuple[int, int, int],
    *,
    name: str,
    latent_channels: int,
    widths: Sequence[int],
    after: str,
    make_prior: Callable[[Bottleneck], LatentCodec],
    starts_after: str = "",
) -> tuple[LatentDevice, LatentServer]:
    """Puts a bottleneck in place of the teacher's first stages, and copies those before and behind it.

    Args:
        teacher: what is imitated; left as it is.
        image_shape: (C, H, W).
        name: of a registered bottleneck.
        latent_channels: of its latents.
        widths: of its hidden layers.
        after: the stage that it ends behind.
        make_prior: gives the prior of its latents.
        starts_after: the stage that it starts behind; empty: the image.

    Raises:
        ConfigError: no such stage, a bottleneck whose output does not have the shape of the stage's, or images that
            are too small for it.
    """
    head, tail = cut(teacher.chain, after)
    images = torch.zeros(1, *image_shape, dtype=torch.uint8, device=teacher.preprocess.mean.device)
    inputs = teacher.preprocess(images)
    target = output_shape(head, inputs, f"the teacher's stages up to '{after}'")
    before = deepcopy(cut(head, starts_after)[0]) if starts_after else None
    channels = output_shape(before, inputs, "the teacher's first stages")[0] if before else inputs.shape[1]
    bottleneck: Bottleneck = BOTTLENECKS[name](channels, target[0], latent_channels, widths)
    encoder = nn.Sequential(before, bottleneck.encoder) if before else bottleneck.encoder
    prior = make_prior(bottleneck)
    latents = output_shape(encoder, inputs, f"the encoder of bottleneck '{name}'")
    zeros = torch.zeros(1, *latents)
    decoded = output_shape(bottleneck.decoder, zeros, f"the decoder of bottleneck '{name}'")
    if decoded != target:
        raise ConfigError(
            f"method.bottleneck: '{name}' gives {decoded} for images of shape {image_shape}, but the teacher's stage "
            f"'{after}' gives {target}; choose another one"
        )
    output_shape(_Quantized(prior), zeros, "the prior of the latents")
    device = LatentDevice(teacher.preprocess, encoder, prior)
    return device, LatentServer(prior.server_part, bottleneck.decoder, deepcopy(tail), prior.shapes(latents))
