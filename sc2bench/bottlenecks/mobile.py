"""Bottlenecks for mobile backbones, whose encoder must cost far less than the backbone that it saves.

The encoder halves the map early and spends its multiply-accumulates on depthwise and pointwise convolutions (Sandler et
al., MobileNetV2, CVPR 2018; Liu et al., ConvNeXt, CVPR 2022). Device halves are classed by the share of the MACs of
EfficientNet-Lite0 that they may have at 224x224, with the transforms of a hyperprior of 16 side channels:

| bottleneck | class | widths | device half: factorized, hyperprior |
|---|---|---|---|
| `mobile_10` | 10 % | 16, 40, 80 | 29 M, 38 M |
| `mobile_25` | 25 % | 32, 80, 104 | 85 M, 94 M |
| `mobile_100` | 100 % | 48, 128, 128, 256, 256 | 357 M, 366 M |
"""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional

from sc2bench.bottlenecks.base import Bottleneck
from sc2bench.bottlenecks.entropic import small_hyper
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import BOTTLENECKS
from sc2bench.entropy import Shape

# The encoder's first convolution has this stride, and its two others halve the map.
_STEM, _STEPS = 4, 3
_KERNEL, _EXPANSION = 5, 2
_DECODER_WIDTH, _DECODER_BLOCKS = 192, 3
# Of fresh weights: blocks begin near the identity; latents begin wide enough that rounding leaves something of them.
_BLOCK_GAIN, _LATENT_GAIN = 0.3, 8.0


@BOTTLENECKS.register("mobile_10")
def mobile_10(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """For devices that can do a tenth of EfficientNet-Lite0; see `mobile`."""
    return mobile(input_channels, target_channels, latent_channels, widths or (16, 40, 80))


@BOTTLENECKS.register("mobile_25")
def mobile_25(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """For devices that can do a quarter of EfficientNet-Lite0; see `mobile`."""
    return mobile(input_channels, target_channels, latent_channels, widths or (32, 80, 104))


@BOTTLENECKS.register("mobile_100")
def mobile_100(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """For devices that can do as much as EfficientNet-Lite0; see `mobile`."""
    return mobile(input_channels, target_channels, latent_channels, widths or (48, 128, 128, 256, 256))


def mobile(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """Latents of a sixteenth of the image's height and width; 224x224 gives B x 14 x 14.

    The decoder, which the server runs, brings them to the size of the layer that is imitated: half, once, twice or
    four times theirs.

    Args:
        input_channels: of the image.
        target_channels: of the layer.
        latent_channels: B.
        widths: one a residual block. Three different ones follow each other, at a quarter, an eighth and a sixteenth
            of the image's size; a width that stands several times gives its size as many blocks.

    Raises:
        ConfigError: other widths.
    """
    depths = [(width, len(list(blocks))) for width, blocks in groupby(widths)]
    if len(depths) != _STEPS or min(widths) < 1:
        raise ConfigError(
            f"method.widths: {list(widths)} must name {_STEPS} widths, each once or several times in a row, one entry "
            "a block; for example [32, 80, 80, 104]"
        )
    modules: list[nn.Module] = []
    before = input_channels
    for step, (width, blocks) in enumerate(depths):
        modules += [nn.Conv2d(before, width, 3, 2, 1), nn.GELU()] if step else [nn.Conv2d(before, width, _STEM, _STEM)]
        modules += [MobileBlock(width) for _ in range(blocks)]
        before = width
    encoder = nn.Sequential(*modules, nn.Conv2d(before, latent_channels, 1))
    _initialize(encoder)
    decoder = partial(mobile_decoder, latent_channels, target_channels)
    return Bottleneck(encoder, decoder, latent_channels, small_hyper(latent_channels))


def mobile_decoder(latent_channels: int, target_channels: int, latents: Shape, target: Shape) -> nn.Sequential:
    """Residual blocks in the latents' size, and steps of two to the target's.

    Args:
        latent_channels: of the latents.
        target_channels: of the layer.
        latents: their shape for some image, (B, h, w).
        target: that of the layer for the same image.
    """
    width = _DECODER_WIDTH
    modules: list[nn.Module] = [nn.Conv2d(latent_channels, width, 3, 1, 1)]
    modules += [DecoderBlock(width) for _ in range(_DECODER_BLOCKS)]
    size = latents[1]
    # Each side of a layer's output is that of the one before it halved and rounded up.
    while size >= 2 * target[1] - 1 and size > 1:
        modules += [nn.Conv2d(width, width, 3, 2, 1), DecoderBlock(width)]
        size = (size + 1) // 2
    while 2 * size <= target[1]:
        modules += [nn.Conv2d(width, 2 * width, 1), nn.PixelShuffle(2), DecoderBlock(width // 2)]
        width, size = width // 2, 2 * size
    return nn.Sequential(*modules, nn.GELU(), nn.Conv2d(width, target_channels, 1))


class MobileBlock(nn.Module):
    """A depthwise convolution and two pointwise ones, added to what they see.

    Args:
        width: channels of input and output.
    """

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, _KERNEL, 1, _KERNEL // 2, groups=width)
        self.expand = nn.Conv2d(width, _EXPANSION * width, 1)
        self.project = nn.Conv2d(_EXPANSION * width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Takes and returns (N, width, h, w)."""
        return features + self.project(functional.gelu(self.expand(self.depthwise(features))))


class DecoderBlock(nn.Module):
    """Two convolutions through half of the channels, each behind an activation, added to what they see.

    Args:
        width: channels of input and output, even.
    """

    def __init__(self, width: int):
        super().__init__()
        self.reduce = nn.Conv2d(width, width // 2, 3, 1, 1)
        self.restore = nn.Conv2d(width // 2, width, 3, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Takes and returns (N, width, h, w)."""
        return features + self.restore(functional.gelu(self.reduce(functional.gelu(features))))


@torch.no_grad()
def _initialize(encoder: nn.Sequential) -> None:
    """Keeps what passes a fresh encoder in scale; PyTorch's own weights would let nearly nothing of it through."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in encoder:
        if isinstance(block, MobileBlock):
            block.project.weight.mul_(_BLOCK_GAIN)
    latents = encoder[-1]
    assert isinstance(latents, nn.Conv2d)
    latents.weight.mul_(_LATENT_GAIN)
