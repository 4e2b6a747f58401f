"""What all methods share whose device sends the latents of an encoder: only the parts that they are made of differ."""

from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sc2bench.bottlenecks import Bottleneck
from sc2bench.chain import Chain, cut
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import BOTTLENECKS
from sc2bench.entropy import Coded, CodingError, LatentCodec, LatentDecoder
from sc2bench.methods.base import Outputs, SplitModel
from sc2bench.methods.finite import finished, require_finite
from sc2bench.methods.halves import DeviceHalf, ServerHalf
from sc2bench.methods.shapes import ShapeOf, SymbolShapes, output_shape, probe_of
from sc2bench.teachers import Frame, Head, Images, Sizing, Teacher, image_sizes
from sc2bench.wire.inputs import InputShape, InputSpec, check_any_images
from sc2bench.wire.packet import Packet, PacketError, SessionHeader


class LatentDevice(DeviceHalf):
    """Encoder and prior.

    Args:
        preprocess: uint8 images to the encoder's input.
        encoder: image tensor to latents.
        prior: of the latents; its server part is shared with the server.
    """

    preprocess: Any

    def __init__(self, preprocess: nn.Module, encoder: nn.Module, prior: LatentCodec):
        super().__init__()
        self.preprocess = preprocess
        self.encoder = encoder
        self.prior = prior

    def forward(self, images: Images) -> Tensor:
        """Takes uint8 images; returns latents, float (N, B, ...); raises `InputError` for images of other types."""
        check_any_images(images)
        return self.encoder(self.preprocess(images))

    def analyze(self, images: Tensor) -> Tensor:
        """The latents of uint8 images (N, C, H, W)."""
        return self(images)

    def code(self, values: Tensor) -> list[Packet]:
        """Quantizes latents and codes them; what a prior computes for that, such as side latents, belongs to it."""
        return [Packet(coded.payload, coded.side_info) for coded in self.prior.compress(values)]

    def estimate_bits(self, values: Tensor) -> Tensor | None:
        """The prior's estimate for latents, before tables and coding: float, (N,)."""
        return self.prior.estimate_bits(values)

    def symbol_shapes(self) -> SymbolShapes:
        """What gives the shapes of an image's symbols, for the server."""
        return SymbolShapes(ShapeOf(self.preprocess, self.encoder), self.prior)


class LatentServer(ServerHalf):
    """Prior, decoder, the teacher's tail and its head.

    Args:
        prior: the server's part of the device's prior.
        decoder: latents to an imitation of the teacher's layer `after`.
        tail: the teacher's layers behind it.
        head: the teacher's.
        after: name of the layer.
        shapes: of one sample's symbols.
        sizing: how the device scales and pads images.
    """

    def __init__(
        self,
        prior: LatentDecoder,
        decoder: nn.Module,
        tail: Chain,
        head: Head,
        *,
        after: str,
        shapes: SymbolShapes,
        sizing: Sizing,
    ):
        super().__init__()
        self.prior = prior
        self.decoder = decoder
        self.tail = tail
        self.head = head
        self.after = after
        self.shapes = shapes
        self.sizing = sizing

    def forward(self, latents: Tensor, frame: Frame, features: Collection[str] = ()) -> tuple[Any, dict[str, Tensor]]:
        """Takes quantized latents (N, B, ...); returns the head's prediction and the wanted features."""
        decoded = self.decoder(latents)
        last, outputs = self.tail.outputs(decoded, {*features, *self.head.needs})
        outputs[self.after] = decoded
        return self.head(last, outputs, frame), only(outputs, features)

    def read(self, packets: Sequence[Packet], shape: InputShape) -> Tensor:
        """Turns packets of images of one shape into quantized latents, all finite; raises `PacketError`."""
        coded = [Coded(packet.payload, packet.side_info) for packet in packets]
        try:
            latents = self.prior.decompress(coded, self.shapes(shape))
        except CodingError as error:
            raise PacketError(str(error)) from error
        require_finite(latents)
        return latents.contiguous(memory_format=torch.channels_last) if latents.ndim == 4 else latents

    def predict(self, values: Tensor, shape: InputShape) -> Any:
        """Turns quantized latents (N, B, ...) of images of one shape into final predictions."""
        frame = self.sizing.frame_of(shape, len(values))
        return finished(self(values, frame)[0])


class LatentModel(SplitModel):
    """A split model whose device sends coded latents.

    Args:
        device: the device's half.
        server: the server's half.
        spec: of the inputs.
        prior_name: of the registered prior; `None` if latents are coded without one.
    """

    device: LatentDevice
    server: LatentServer

    def __init__(self, device: LatentDevice, server: LatentServer, spec: InputSpec, prior_name: str | None):
        symbols = () if spec.varies else server.shapes(spec.probe_shape)[0]
        super().__init__(device, server, spec, symbols)
        self.prior_name = prior_name

    def forward(self, images: Images, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """Latents pass the prior's noise (while it trains) or rounding instead of the coder."""
        latents, bits = self.device.prior(self.device(images))
        frame = self.server.sizing.frame(image_sizes(images))
        prediction, outputs = self.server(latents, frame, features)
        auxiliary_loss = None if bits is None else self.device.prior.auxiliary_loss()
        return Outputs(prediction, outputs, bits, auxiliary_loss)

    def update_tables(self) -> None:
        """Builds the prior's integer tables."""
        self.device.prior.update_tables()

    @property
    def session(self) -> SessionHeader:
        """The header of a session, with what its codec sends once; raises `EntropyTablesMissing` without tables."""
        prior = self.device.prior
        prior.require_tables()
        return replace(super().session, shared=prior.session_bytes(self.server.shapes(self.spec.probe_shape)))

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

    def _earlier_agreements(self) -> tuple[bytes, ...]:
        return (self.device.prior.earlier_probe(),)


def only(features: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """The wanted ones of features by name."""
    return {name: values for name, values in features.items() if name in wanted}


class _Quantized(nn.Module):
    """The latents that a prior lets through."""

    def __init__(self, prior: LatentCodec):
        super().__init__()
        self.prior = prior

    def forward(self, latents: Tensor) -> Tensor:
        return self.prior(latents)[0]


def tail_and_head(teacher: Teacher, after: str) -> tuple[Chain, Head]:
    """Copies of the teacher's layers behind `after` and of its head.

    Raises:
        ConfigError: no such layer, or the head needs the output of one before it, which the server never sees.
    """
    tail = cut(teacher.chain, after)[1]
    for name in teacher.head.needs:
        if name != after and name not in tail.names():
            raise ConfigError(
                f"method.after: the teacher's head takes the output of '{name}', which a cut behind '{after}' leaves "
                f"on the device; cut behind '{name}' or earlier"
            )
    return deepcopy(tail), deepcopy(teacher.head)


def bottleneck_halves(
    teacher: Teacher,
    spec: InputSpec,
    *,
    name: str,
    latent_channels: int,
    widths: Sequence[int],
    after: str,
    make_prior: Callable[[Bottleneck], LatentCodec],
    starts_after: str = "",
) -> tuple[LatentDevice, LatentServer]:
    """Puts a bottleneck in place of the teacher's first layers, and copies those before and behind it.

    Args:
        teacher: what is imitated; left as it is.
        spec: of the inputs.
        name: of a registered bottleneck.
        latent_channels: of its latents.
        widths: of its hidden layers.
        after: the layer that it ends behind.
        make_prior: gives the prior of its latents.
        starts_after: the layer that it starts behind; empty: the image.

    Raises:
        ConfigError: no such layer, a bottleneck whose output does not have the shape of the layer's, or images that
            are too small for it.
    """
    tail, head = tail_and_head(teacher, after)
    front = cut(teacher.chain, after)[0]
    inputs = teacher.preprocess(probe_of(spec, teacher))
    target = output_shape(front, inputs, f"the teacher's layers up to '{after}'")
    before = deepcopy(cut(front, starts_after)[0]) if starts_after else None
    channels = output_shape(before, inputs, "the teacher's first layers")[0] if before else inputs.shape[1]
    bottleneck: Bottleneck = BOTTLENECKS[name](channels, target[0], latent_channels, widths)
    encoder = nn.Sequential(before, bottleneck.encoder) if before else bottleneck.encoder
    prior = make_prior(bottleneck)
    latents = output_shape(encoder, inputs, f"the encoder of bottleneck '{name}'")
    zeros = torch.zeros(1, *latents)
    decoder = bottleneck.decoder_for(latents, target)
    decoded = output_shape(decoder, zeros, f"the decoder of bottleneck '{name}'")
    if decoded != target:
        raise ConfigError(
            f"method.bottleneck: '{name}' gives {decoded} for inputs of shape {spec.probe_shape}, but the teacher's "
            f"layer '{after}' gives {target}; choose another one"
        )
    output_shape(_Quantized(prior), zeros, "the prior of the latents")
    device = LatentDevice(teacher.preprocess, encoder, prior)
    return device, make_server(device, decoder, tail, head, after)


def make_server(device: LatentDevice, decoder: nn.Module, tail: Chain, head: Head, after: str) -> LatentServer:
    """The server's half that belongs to a device's; see `LatentServer`."""
    options = {"after": after, "shapes": device.symbol_shapes(), "sizing": device.preprocess.sizing}
    return LatentServer(device.prior.server_part, decoder, tail, head, **options)
