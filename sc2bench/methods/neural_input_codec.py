"""Neural input compression: a learned image codec in place of JPEG; the server decodes the image and runs the teacher.

The codec is one of CompressAI's, pretrained, or a small one trained here for rate and distortion alone (Ballé et al.
2018; Minnen et al. 2018).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_doc import Doc
from torch import Tensor, nn

from sc2bench.config import ExperimentConfig, MethodConfig
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.registry import METHODS, PRIORS
from sc2bench.methods.base import Outputs
from sc2bench.methods.finite import require_finite
from sc2bench.methods.latent import LatentDevice, LatentModel, LatentServer, only
from sc2bench.methods.neural_codecs import NeuralCodec, is_downloaded, small_codec, zoo_codec, zoo_url
from sc2bench.methods.shapes import output_shape, probe_of
from sc2bench.teachers import Frame, Images, Teacher, image_sizes
from sc2bench.wire.inputs import InputShape, InputSpec
from sc2bench.wire.packet import Packet

_LAYOUTS = ("compressai", "small")
_TOP = 255
# Where the decoded image stands among the features.
IMAGE = "image"


@dataclass
class NeuralInputCodecConfig(MethodConfig):
    """The neural image codec."""

    prior: Annotated[str, Doc("What codes the latents."), PRIORS] = "factorized"
    layout: Annotated[
        str,
        Doc(
            'Encoder and decoder: "compressai", whose rate is a quality 1 ... 8, or "small", to be trained here, '
            "whose rate is beta."
        ),
        _LAYOUTS,
    ] = "compressai"
    weights: Annotated[
        str,
        Doc(
            '"pretrained" (of CompressAI), "random", or the path of a state dict; of the small layout always "random".'
        ),
    ] = "pretrained"
    channels: Annotated[
        list[int], Doc("Of the small layout's hidden layers, latents and side latents; []: its own.")
    ] = field(default_factory=list)

    def learns(self) -> bool:
        """The small layout has no pretrained weights."""
        return self.layout == "small"

    def unused(self) -> dict[str, str]:
        """What the other layout has."""
        if self.layout == "small":
            return {} if self.weights == "random" else {"weights": "layout 'small' is trained here; leave it out"}
        return {"channels": "layout 'compressai' has channels of its own"} if self.layout == "compressai" else {}


class ToUnit(nn.Module):
    """Images as the codec's encoder takes them: in 0..1, of three channels if it wants so, padded to its stride.

    Args:
        channels: that the encoder takes.
        stride: that heights and widths must be multiples of; what is added repeats the last row and column.
    """

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, images: Images) -> Tensor:
        """Takes uint8 images; returns float (N, channels, H', W'), H' and W' those of the largest image."""
        if isinstance(images, Tensor):
            # One image tells the size of all, so that a traced graph takes batches of any number.
            return self._padded(images, *self._sides(images[:1]))
        height, width = self._sides(images)
        return torch.cat([self._padded(image[None], height, width) for image in images])

    def _sides(self, images: Images) -> tuple[int, int]:
        largest = (max(sides) for sides in zip(*image_sizes(images), strict=True))
        height, width = (-(-side // self.stride) * self.stride for side in largest)
        return height, width

    def _padded(self, images: Tensor, height: int, width: int) -> Tensor:
        unit = images.expand(-1, self.channels, -1, -1) / _TOP
        added = (0, width - images.shape[-1], 0, height - images.shape[-2])
        return nn.functional.pad(unit, added, mode="replicate").contiguous(memory_format=torch.channels_last)


class NeuralServer(LatentServer):
    """Decodes images and runs the whole teacher on them.

    Args:
        device: the device's half.
        decoder: latents to images in 0..1, (N, channels, H', W').
        teacher: the reference model.
        channels: of the data set's images.
    """

    def __init__(self, device: LatentDevice, decoder: nn.Module, teacher: Teacher, channels: int):
        super().__init__(
            device.prior.server_part,
            decoder,
            teacher.chain,
            teacher.head,
            after=IMAGE,
            shapes=device.symbol_shapes(),
            sizing=teacher.preprocess.sizing,
        )
        self.preprocess = teacher.preprocess
        self.channels = channels

    def forward(self, latents: Tensor, frame: Frame, features: Collection[str] = ()) -> tuple[Any, dict[str, Any]]:
        """Takes quantized latents (N, B, ...); returns the head's prediction and the wanted features with the image."""
        images = self.images(latents, frame)
        last, outputs = self.tail.outputs(self.preprocess(images), {*features, *self.head.needs})
        return self.head(last, outputs, frame), {**only(outputs, features), IMAGE: images}

    def received(self, packets: Sequence[Packet], shape: InputShape) -> list[Tensor]:
        """Decodes the images of one shape, uint8 (C, H, W) each; raises `PacketError`."""
        frame = self.sizing.frame_of(shape, len(packets))
        images = self.images(self.read(packets, shape), frame)
        # What is not a number would become some level of 8 bits.
        require_finite(images)
        return [image.to(torch.uint8) for image in images]

    def images(self, latents: Tensor, frame: Frame) -> Images:
        """Decodes images to 0..255: gives grey back where it was, and crops; rounds outside of training."""
        unit = self.decoder(latents)
        if self.channels != unit.shape[1]:
            unit = unit.mean(1, keepdim=True)
        # What is out of range would have no gradient if it were clamped in training.
        pixels = unit * _TOP if self.training else (unit.clamp(0, 1) * _TOP).round()
        height, width = frame.sizes[0]
        if len(set(frame.sizes)) == 1:
            return pixels[..., :height, :width]
        return [image[:, :height, :width] for image, (height, width) in zip(pixels, frame.sizes, strict=True)]


@METHODS.register("neural_input_codec")
class NeuralInputCodec(LatentModel):
    """A neural image codec before the teacher, which learns nothing."""

    server: NeuralServer

    config_class = NeuralInputCodecConfig
    rate_knob = "quality"

    @classmethod
    def from_config(cls, config: ExperimentConfig, teacher: Teacher, spec: InputSpec) -> "NeuralInputCodec":
        """Puts the codec before the whole teacher.

        Raises:
            ConfigError: an unknown layout, prior or quality, or stages of training without a rate-distortion trade-off.
            CheckpointError: pretrained weights that can't be had.
        """
        channels, *_ = spec.probe_shape
        codec = _make_codec(config, channels)
        if channels not in (1, codec.image_channels):
            raise ConfigError(f"this codec takes images of 1 or {codec.image_channels} channels, not {channels}")
        to_unit = ToUnit(codec.image_channels, codec.stride)
        images = probe_of(spec, teacher)
        output_shape(codec.encoder, to_unit(images.to("cpu")), "the codec's encoder")
        device = LatentDevice(to_unit, codec.encoder, codec.prior)
        server = NeuralServer(device, codec.decoder, teacher, channels)
        model = cls(device, server, spec, config.method.prior)
        if config.method.layout == "small":
            model.rate_knob = "beta"
        else:
            model.update_tables()
        return model

    @classmethod
    def downloads(cls, config: ExperimentConfig) -> list[str]:
        """The address of CompressAI's weights, unless they are here already."""
        if config.method.layout != "compressai" or config.method.weights != "pretrained":
            return []
        address = zoo_url(config.method.prior, int(config.rate or 0))
        return [] if is_downloaded(address) else [address]

    @torch.inference_mode()
    def decode_images(self, packets: Sequence[Packet]) -> list[Tensor] | None:
        """The decoded images, uint8 (C, H, W) each."""
        return self._on_server(self.server.received, packets)

    def forward(self, images: Images, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """Adds "distortion": the mean squared error of each image's pixels, (N,), in levels of 8 bits."""
        outputs = super().forward(images, targets, features)
        pairs = zip(outputs.features.pop(IMAGE), images, strict=True)
        outputs.distortion = torch.stack([(decoded - image).square().mean() for decoded, image in pairs])
        return outputs


def _make_codec(config: ExperimentConfig, image_channels: int) -> NeuralCodec:
    options: NeuralInputCodecConfig = config.method
    if options.layout not in _LAYOUTS:
        raise ConfigError(f"method.layout: unknown value '{options.layout}'; {nearest(options.layout, _LAYOUTS)}")
    if options.layout == "small":
        return small_codec(options.prior, image_channels, options.channels)
    if config.stages:
        raise ConfigError("method.layout: 'compressai' is for pretrained codecs; train with method.layout=small")
    quality = config.rate
    if quality is None or quality != int(quality):
        raise ConfigError(f"rate: {quality} is no quality of a pretrained codec; give a whole number from 1 to 8")
    return zoo_codec(options.prior, int(quality), options.weights)
