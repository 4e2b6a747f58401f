"""A bottleneck: an encoder of two convolutions and its decoder, for teachers' layers of half of the image's size."""

from collections.abc import Sequence

from torch import nn

from sc2bench import BOTTLENECKS, Bottleneck, ConfigError


@BOTTLENECKS.register("thin")
def thin(input_channels: int, target_channels: int, latent_channels: int, widths: Sequence[int]) -> Bottleneck:
    """Latents of a quarter of the image's height and width; the decoder doubles them."""
    if len(widths) > 1:
        raise ConfigError(
            f"method.widths: {list(widths)} has {len(widths)} entries, but 'thin' has one; take [] or [32]"
        )
    width = widths[0] if widths else 32
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
