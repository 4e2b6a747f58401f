"""Bottlenecks that reduce channels, for latents that are only quantized.

Matsubara and Levorato, "Neural compression and filtering for edge-assisted real-time object detection in challenged
networks", ICPR 2020 (2021); Matsubara et al., "Head network distillation", IEEE Access 2020. The convolutions have
kernels of 2x2 and grow or shrink a map by one row and column, depending on their padding.
"""

from collections.abc import Sequence

from torch import nn

from sc2bench.bottlenecks.base import Bottleneck, take_widths
from sc2bench.core.registry import BOTTLENECKS


@BOTTLENECKS.register("cr_layer1")
def cr_layer1(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """Replaces a ResNet's layer1, behind the stem; 56x56 gives latents of c x 60 x 60.

    With the stem before it, which `method.starts_after=maxpool` keeps on the device, this is the layout of the
    published ResNet checkpoints. The widths are those of the encoder's first, widest and last hidden layers.
    """
    first, widest, last = take_widths(widths, (64, 256, 64))
    encoder = nn.Sequential(
        *_grow(input_channels, first),
        *_grow(first, widest),
        nn.ReLU(inplace=True),
        *_grow(widest, last),
        _conv(last, latent_channels, padding=1),
    )
    decoder = nn.Sequential(
        nn.BatchNorm2d(latent_channels),
        nn.ReLU(inplace=True),
        *_shrink(latent_channels, 64),
        *_shrink(64, 128),
        nn.ReLU(inplace=True),
        *_shrink(128, target_channels),
        *_shrink(target_channels, target_channels),
        nn.ReLU(inplace=True),
    )
    return Bottleneck(encoder, decoder, latent_channels)


@BOTTLENECKS.register("cr_resnet")
def cr_resnet(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """Replaces a ResNet up to layer2, whose output has an eighth of the image's size, as in version 0.1.1."""
    (width,) = take_widths(widths, (512,))
    encoder = nn.Sequential(*_stem(input_channels, nn.MaxPool2d(3, 2, 1), 3), _halve(64, latent_channels))
    decoder = nn.Sequential(
        nn.BatchNorm2d(latent_channels),
        nn.ReLU(inplace=True),
        *_rectified(latent_channels, width, padding=1),
        *_rectified(width, width, padding=1),
        *_rectified(width, width, padding=0),
        _conv(width, target_channels, padding=0),
        nn.AvgPool2d(2, 1),
    )
    return Bottleneck(encoder, decoder, latent_channels)


@BOTTLENECKS.register("cr_densenet")
def cr_densenet(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """Replaces a DenseNet up to its second transition, whose output has a sixteenth of the image's size."""
    wide, narrow = take_widths(widths, (512, 256))
    encoder = nn.Sequential(
        *_stem(input_channels, nn.MaxPool2d(3, 2, 1), 3), _halve(64, latent_channels), nn.BatchNorm2d(latent_channels)
    )
    decoder = nn.Sequential(
        nn.ReLU(inplace=True),
        *_rectified(latent_channels, wide, padding=1),
        *_rectified(wide, wide, padding=1),
        *_rectified(wide, narrow, padding=0),
        *_rectified(narrow, narrow, padding=0),
        _conv(narrow, target_channels, padding=0),
        nn.AvgPool2d(2, 2),
    )
    return Bottleneck(encoder, decoder, latent_channels)


@BOTTLENECKS.register("cr_inception_v3")
def cr_inception_v3(
    input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]
) -> Bottleneck:
    """Replaces Inception v3 up to its second max-pooling; 299x299 gives a target of 35x35."""
    (width,) = take_widths(widths, (256,))
    encoder = nn.Sequential(*_stem(input_channels, nn.MaxPool2d(3, 2), 0), _halve(64, latent_channels))
    decoder = nn.Sequential(
        nn.BatchNorm2d(latent_channels),
        nn.ReLU(inplace=True),
        *_rectified(latent_channels, width, padding=1),
        *_rectified(width, width, padding=0),
        _conv(width, target_channels, padding=0),
        nn.AvgPool2d(2, 1),
    )
    return Bottleneck(encoder, decoder, latent_channels)


@BOTTLENECKS.register("cr_small")
def cr_small(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """For 32x32 images: the shapes of `fp_small`, with batch norms and rectifiers; latents of c x 4 x 4."""
    return _three_halvings(
        input_channels, latent_channels, take_widths(widths, (16, 32, 48)), 4 * target_channels, nn.PixelShuffle(2)
    )


@BOTTLENECKS.register("cr_scene")
def cr_scene(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """For images of some 128x128: the shapes of `fp_scene`, with batch norms and rectifiers; latents of c x 16 x 16."""
    return _three_halvings(input_channels, latent_channels, take_widths(widths, (24, 48, 64)), target_channels)


def _three_halvings(
    input_channels: int, latent_channels: int, widths: Sequence[int], outputs: int, *ending: nn.Module
) -> Bottleneck:
    """Encoder and decoder of three widths; the decoder has `outputs` channels before its ending."""
    first, second, third = widths
    encoder = nn.Sequential(
        *_normalized(nn.Conv2d(input_channels, first, 5, 2, 2, bias=False)),
        *_normalized(nn.Conv2d(first, second, 5, 2, 2, bias=False)),
        nn.Conv2d(second, latent_channels, 5, 2, 2),
    )
    decoder = nn.Sequential(
        nn.Conv2d(latent_channels, 4 * third, 3, 1, 1),
        nn.PixelShuffle(2),
        nn.BatchNorm2d(third),
        nn.ReLU(inplace=True),
        nn.Conv2d(third, outputs, 3, 1, 1),
        *ending,
    )
    return Bottleneck(encoder, decoder, latent_channels)


def _conv(before: int, after: int, padding: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 2, 1, padding, bias=False)


def _halve(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 2, 2, 1, bias=False)


def _grow(before: int, after: int) -> tuple[nn.Module, ...]:
    return _conv(before, after, padding=1), nn.BatchNorm2d(after)


def _shrink(before: int, after: int) -> tuple[nn.Module, ...]:
    return _conv(before, after, padding=0), nn.BatchNorm2d(after)


def _rectified(before: int, after: int, padding: int) -> tuple[nn.Module, ...]:
    return _normalized(_conv(before, after, padding))


def _normalized(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)


def _stem(input_channels: int, pooling: nn.Module, padding: int) -> tuple[nn.Module, ...]:
    """The first six modules of the layouts that start at the image."""
    first = _normalized(nn.Conv2d(input_channels, 64, 7, 2, padding, bias=False))
    return *first, pooling, nn.BatchNorm2d(64), nn.ReLU(inplace=True)
