"""What a bottleneck is. Each is a function of the same arguments, registered in `BOTTLENECKS`.

Arguments of all of them:

    input_channels   of what the encoder sees: the image, or a layer's output if the bottleneck starts behind one.
    target_channels  of the teacher's layer that is imitated.
    latent_channels  of the latents.
    widths           of hidden layers; empty for the layout's own.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import nn

from sc2bench.core.errors import ConfigError
from sc2bench.entropy.base import HyperTransforms, Shape


class Bottleneck(NamedTuple):
    """A pair of transforms, as analysis and synthesis in learned compression.

    Attributes:
        encoder: image tensor (N, C, H, W) to latents (N, latent_channels, h, w).
        decoder: quantized latents to the output of the teacher's layer that the bottleneck ends behind; or what makes
            it, given the shapes of one image's latents and of that output, for layouts that fit layers of any size.
        latent_channels: of the latents.
        hyper: makes the transforms of a hyperprior's side latents; `None` if the layout has none.
    """

    encoder: nn.Module
    decoder: nn.Module | Callable[[Shape, Shape], nn.Module]
    latent_channels: int
    hyper: HyperTransforms | None = None

    def decoder_for(self, latents: Shape, target: Shape) -> nn.Module:
        """The decoder between one image's latents, (B, h, w), and a layer's output, (C, h', w')."""
        return self.decoder if isinstance(self.decoder, nn.Module) else self.decoder(latents, target)


def take_widths(widths: Sequence[int], default: Sequence[int]) -> Sequence[int]:
    """The widths that are given, or the layout's own; raises `ConfigError` for another number of them."""
    if not widths:
        return default
    if len(widths) != len(default):
        raise ConfigError(
            f"method.widths: {list(widths)} has {len(widths)} entries, but this bottleneck has {len(default)}"
        )
    return widths
