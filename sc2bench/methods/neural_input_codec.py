"""Neural input compression: a learned image codec in place of JPEG; the server decodes the image and runs the teacher.

The codec is one of CompressAI's, pretrained, or a small one trained here for rate and distortion alone (Ballé et al.
2018; Minnen et al. 2018).
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sc2bench.chain import Chain
from sc2bench.codecs.neural import NeuralCodec, is_downloaded, small_codec, zoo_codec, zoo_url
from sc2bench.config import MethodConfig, RunConfig
from sc2bench.errors import ConfigError, nearest
from sc2bench.methods.base import Outputs, output_shape
from sc2bench.methods.latent import LatentDevice, LatentModel, LatentServer
from sc2bench.registry import METHODS
from sc2bench.teachers import Teacher

_LAYOUTS = ("compressai", "small")
_TOP = 255
# Where the decoded image stands among the features.
IMAGE = "image"


@dataclass
class NeuralInputCodecConfig(MethodConfig):
    """`layout`: "compressai", whose rate is a quality 1..8, or "small", to be trained here, whose rate is beta.

    `weights`: "pretrained" (CompressAI's), "random", or the path of a state dict; for the small layout always random.
    `channels`: of the small layout's hidden layers, latents and side latents.
    """

    prior: str = "factorized"
    layout: str = "compressai"
    weights: str = "pretrained"
    channels: list[int] = field(default_factory=list)


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

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 (N, C, H, W); returns float (N, channels, H', W')."""
        height, width = images.shape[-2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        unit = images.expand(-1, self.channels, -1, -1) / _TOP
        return nn.functional.pad(unit, padding, mode="replicate").contiguous(memory_format=torch.channels_last)


class ToPixels(nn.Module):
    """Inverts `ToUnit`: crops, gives grey back where it was, and scales to 0..255; rounds outside of training.

    Args:
        image_shape: (C, H, W) of the images.
    """

    def __init__(self, image_shape: tuple[int, int, int]):
        super().__init__()
        self.image_shape = image_shape

    def forward(self, unit: Tensor) -> Tensor:
        """Takes float (N, channels, H', W'); returns float (N, C, H, W)."""
        channels, height, width = self.image_shape
        cropped = unit[..., :height, :width]
        if channels != cropped.shape[1]:
            cropped = cropped.mean(1, keepdim=True)
        # What is out of range would have no gradient if it were clamped in training.
        return cropped * _TOP if self.training else (cropped.clamp(0, 1) * _TOP).round()


@METHODS.register("neural_input_codec")
class NeuralInputCodec(LatentModel):
    """A neural image codec before the teacher, which learns nothing."""

    config_class = NeuralInputCodecConfig
    rate_knob = "quality"

    @classmethod
    def from_config(cls, config: RunConfig, teacher: Teacher, image_shape: tuple[int, int, int]) -> "NeuralInputCodec":
        """Puts the codec before the whole teacher.

        Raises:
            ConfigError: an unknown layout, prior or quality, or stages of training without a rate-distortion trade-off.
            CheckpointError: pretrained weights that can't be had.
        """
        codec = _make_codec(config, image_shape[0])
        if image_shape[0] not in (1, codec.image_channels):
            raise ConfigError(f"this codec takes images of 1 or {codec.image_channels} channels, not {image_shape[0]}")
        to_unit = ToUnit(codec.image_channels, codec.stride)
        images = torch.zeros(1, *image_shape, dtype=torch.uint8)
        latents = output_shape(codec.encoder, to_unit(images), "the codec's encoder")
        device = LatentDevice(to_unit, codec.encoder, codec.prior)
        decoder = nn.Sequential(codec.decoder, ToPixels(image_shape))
        tail = Chain(OrderedDict([("preprocess", teacher.preprocess), *teacher.chain.named_children()]))
        server = LatentServer(codec.prior.server_part, decoder, tail, codec.prior.shapes(latents))
        model = cls(device, server, IMAGE, config.method.prior)
        if config.method.layout == "small":
            model.rate_knob = "beta"
        else:
            model.update_tables()
        return model

    @classmethod
    def downloads(cls, config: RunConfig) -> list[str]:
        """The address of CompressAI's weights, unless they are here already."""
        if config.method.layout != "compressai" or config.method.weights != "pretrained":
            return []
        address = zoo_url(config.method.prior, int(config.rate or 0))
        return [] if is_downloaded(address) else [address]

    def forward(self, images: Tensor, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """Adds "distortion": the mean squared error of each image's pixels, (N,), in levels of 8 bits."""
        outputs = super().forward(images, targets, features)
        decoded = outputs["features"].pop(IMAGE)
        return outputs | {"distortion": (decoded - images).square().flatten(1).mean(1)}


def _make_codec(config: RunConfig, image_channels: int) -> NeuralCodec:
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
