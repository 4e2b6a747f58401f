"""A bottleneck: an encoder of two convolutions and its decoder, for teachers' layers of half of the image's size."""

from collections.abc import Sequence

from torch import nn

from sc2bench import BOTTLENECKS, Bottleneck


@BOTTLENECKS.register("thin")
def thin(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """Latents of a quarter of the image's height and width; the decoder doubles them."""
    (width,) = widths or (32,)
    encoder = nn.Sequential(
        nn.Conv2d(input_channels, width, 5, 2, 2), nn.GELU(), nn.Conv2d(width, latent_channels, 3, 2, 1)
    )
    decoder = nn.Sequential(
        nn.Conv2d(latent_channels, 4 * width, 3, 1, 1),
        nn.GELU(),
        nn.PixelShuffle(2),
        nn.Conv2d(width, target_channels, 3, 1, 1),
    )
    return Bottleneck(encoder, decoder, latent_channels)
