"""Bottlenecks whose latents are coded under a learned prior."""

from collections.abc import Sequence

from compressai.layers import GDN1
from torch import nn

from sc2bench.bottlenecks.base import Bottleneck, take_widths
from sc2bench.core.registry import BOTTLENECKS
from sc2bench.entropy.base import HyperTransforms


@BOTTLENECKS.register("fp_resnet")
def fp_resnet(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """The bottleneck of Entropic Student for ResNets at 224x224 (Matsubara et al., WACV 2022).

    The target has a quarter of the input's height and width; 224x224 gives latents of B x 55 x 55. The side latents of
    its hyperpriors have a quarter of the latents' size (Matsubara et al., TMLR 2023).
    """
    target = target_channels
    first, second = take_widths(widths, (4 * latent_channels, 2 * latent_channels))
    encoder = nn.Sequential(
        nn.Conv2d(input_channels, first, 5, 2, 2, bias=False),
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

    def hyper(channels: int, outputs: int) -> tuple[nn.Module, nn.Module]:
        # With means, both transforms are rectified leakily and the hyper-synthesis is half as wide again.
        wider = channels * (outputs + 1) // 2
        analysis = nn.Sequential(
            nn.Conv2d(latent_channels, channels, 5, 2, 1, bias=False),
            nn.ReLU(inplace=True) if outputs == 1 else nn.LeakyReLU(inplace=True),
            nn.Conv2d(channels, channels, 5, 2, 2, bias=False),
        )
        synthesis = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, 5, 2, 1, bias=False),
            nn.LeakyReLU(inplace=True),
            nn.ConvTranspose2d(channels, wider, 5, 2, 1, bias=False),
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(wider, outputs * latent_channels, 5, 1, 0, bias=False),
        )
        return analysis, synthesis

    return Bottleneck(encoder, decoder, latent_channels, hyper)


@BOTTLENECKS.register("fp_small")
def fp_small(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """A bottleneck for 32x32 images: three halvings down, two doublings up; 32x32 gives latents of B x 4 x 4.

    The widths are those of the encoder's two hidden layers and of the decoder's one. The side latents of its
    hyperpriors have half of the latents' height and width.
    """
    return _three_halvings(
        input_channels, latent_channels, take_widths(widths, (16, 32, 48)), 4 * target_channels, nn.PixelShuffle(2)
    )


@BOTTLENECKS.register("fp_scene")
def fp_scene(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """As `fp_small` for images of some 128x128 and a teacher's layer of a quarter of their size: one doubling up."""
    return _three_halvings(input_channels, latent_channels, take_widths(widths, (24, 48, 64)), target_channels)


def _three_halvings(
    input_channels: int, latent_channels: int, widths: Sequence[int], outputs: int, *ending: nn.Module
) -> Bottleneck:
    """Encoder and decoder of three widths; the decoder has `outputs` channels before its ending."""
    first, second, third = widths
    encoder = nn.Sequential(
        nn.Conv2d(input_channels, first, 5, 2, 2),
        GDN1(first),
        nn.Conv2d(first, second, 5, 2, 2),
        GDN1(second),
        nn.Conv2d(second, latent_channels, 5, 2, 2),
    )
    decoder = nn.Sequential(
        nn.Conv2d(latent_channels, 4 * third, 3, 1, 1),
        nn.PixelShuffle(2),
        GDN1(third, inverse=True),
        nn.Conv2d(third, outputs, 3, 1, 1),
        *ending,
    )
    return Bottleneck(encoder, decoder, latent_channels, small_hyper(latent_channels))


def small_hyper(latent_channels: int) -> HyperTransforms:
    """The hyper-transforms for latents of few positions: one halving, one doubling; see `HyperTransforms`."""

    def hyper(channels: int, outputs: int) -> tuple[nn.Module, nn.Module]:
        analysis = nn.Sequential(
            nn.Conv2d(latent_channels, 2 * channels, 3, 1, 1),
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(2 * channels, channels, 3, 2, 1),
        )
        synthesis = nn.Sequential(
            nn.Conv2d(channels, 8 * channels, 3, 1, 1),
            nn.PixelShuffle(2),
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(2 * channels, outputs * latent_channels, 3, 1, 1),
        )
        return analysis, synthesis

    return hyper
