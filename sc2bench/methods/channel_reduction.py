"""CR+BQ: a bottleneck with few channels, distilled, whose latents are quantized to integers of fixed width.

Matsubara and Levorato, "Neural compression and filtering for edge-assisted real-time object detection in challenged
networks", ICPR 2020 (generalized head network distillation); Jacob et al., CVPR 2018 (quantization).
"""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_doc import Doc

from sc2bench.config import ExperimentConfig, MethodConfig
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import BOTTLENECKS, METHODS
from sc2bench.entropy import AffineQuantizer
from sc2bench.methods.latent import LatentModel, bottleneck_halves
from sc2bench.teachers import Teacher
from sc2bench.wire.inputs import InputSpec


@dataclass
class ChannelReductionConfig(MethodConfig):
    """The bottleneck, and the integers that its channels are sent as."""

    bottleneck: Annotated[str, Doc("Encoder and decoder."), BOTTLENECKS] = "cr_layer1"
    starts_after: Annotated[str, Doc('Layer of the teacher that the encoder stands behind; "": the image.')] = ""
    after: Annotated[str, Doc("Layer of the teacher whose output the decoder imitates.")] = "layer1"
    widths: Annotated[list[int], Doc("Channels of the bottleneck's hidden layers; []: its own.")] = field(
        default_factory=list
    )
    bits: Annotated[int, Doc("Of an integer, 8 or 16.")] = 8


@METHODS.register("channel_reduction")
class ChannelReduction(LatentModel):
    """A student whose latents have as many channels as its rate says; in training they are not quantized."""

    config_class = ChannelReductionConfig
    rate_knob = "bottleneck_channels"

    @classmethod
    def from_config(cls, config: ExperimentConfig, teacher: Teacher, spec: InputSpec) -> "ChannelReduction":
        """Builds the student around a copy of the teacher's tail; raises `ConfigError` as `bottleneck_halves` does."""
        options: ChannelReductionConfig = config.method
        channels = config.rate
        if channels is None or channels != int(channels) or channels < 1:
            raise ConfigError(f"rate: {channels} is no number of channels; give a whole number from 1")
        quantizer = AffineQuantizer(options.bits)
        device, server = bottleneck_halves(
            teacher,
            spec,
            name=options.bottleneck,
            latent_channels=int(channels),
            widths=options.widths,
            after=options.after,
            make_prior=lambda bottleneck: quantizer,
            starts_after=options.starts_after,
        )
        return cls(device, server, spec, None)
