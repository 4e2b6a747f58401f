"""Encoders and decoders that replace the first stages of a teacher."""

from collections.abc import Sequence
from typing import NamedTuple

from compressai.layers import GDN1
from torch import nn

from sc2bench.errors import ConfigError
from sc2bench.registry import BOTTLENECKS


class Bottleneck(NamedTuple):
    """A pair of transforms, as analysis and synthesis in learned compression.

    Attributes:
        encoder: image tensor (N, C, H, W) to latents (N, latent_channels, h, w).
        decoder: quantized latents to the output of the teacher's stage that the bottleneck ends behind.
        latent_channels: of the latents.
    """

    encoder: nn.Module
    decoder: nn.Module
    latent_channels: int


@BOTTLENECKS.register("fp_resnet")
def fp_resnet(image_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """The bottleneck of Entropic Student for ResNets at 224x224 (Matsubara et al., WACV 2022).

    Args:
        image_channels: of the input.
        target_channels: of the teacher's stage that is imitated, at a quarter of the input's height and width.
        latent_channels: B; 24 as published. 224x224 gives latents of B x 55 x 55.
        widths: of the encoder's hidden layers; 4B and 2B where empty, as published.
    """
    target = target_channels
    first, second = _take(widths or (4 * latent_channels, 2 * latent_channels), 2)
    encoder = nn.Sequential(
        nn.Conv2d(image_channels, first, 5, 2, 2, bias=False),
        GDN1(first),
        nn.Conv2d(first, second, 5, 2, 2, bias=False),
        GDN1(second),
        nn.Conv2d(second, latent_channels, 2, 1, 0, bias=False),
    )
    decoder = nn.Sequential(
        nn.Conv2d(latent_channels, 2 * target, 2, 1, 1, bias=False),
        GDN1(2 * target, inverse=True),
        nn.Conv2d(2 * target, target, 2, 1, 0, bias=False),
        GDN1(target, inverse=True),
        nn.Conv2d(target, target, 2, 1, 1, bias=False),
    )
    return Bottleneck(encoder, decoder, latent_channels)


@BOTTLENECKS.register("fp_small")
def fp_small(image_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """A bottleneck for 32x32 images: three halvings down, two doublings up.

    Args:
        image_channels: of the input.
        target_channels: of the teacher's stage that is imitated, at half of the input's height and width.
        latent_channels: B; 32x32 gives latents of B x 4 x 4.
        widths: of the encoder's two hidden layers and of the decoder's one.
    """
    first, second, third = _take(widths or (16, 32, 48), 3)
    encoder = nn.Sequential(
        nn.Conv2d(image_channels, first, 5, 2, 2),
        GDN1(first),
        nn.Conv2d(first, second, 5, 2, 2),
        GDN1(second),
        nn.Conv2d(second, latent_channels, 5, 2, 2),
    )
    decoder = nn.Sequential(
        nn.Conv2d(latent_channels, 4 * third, 3, 1, 1),
        nn.PixelShuffle(2),
        GDN1(third, inverse=True),
        nn.Conv2d(third, 4 * target_channels, 3, 1, 1),
        nn.PixelShuffle(2),
    )
    return Bottleneck(encoder, decoder, latent_channels)


def _take(widths: Sequence[int], count: int) -> Sequence[int]:
    if len(widths) != count:
        raise ConfigError(f"method.widths: {list(widths)} has {len(widths)} entries, but this bottleneck has {count}")
    return widths
