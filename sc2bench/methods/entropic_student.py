"""Entropic Student: a bottleneck with a learned prior in place of the teacher's first layers.

Matsubara, Yang, Levorato and Mandt, "Supervised Compression for Resource-Constrained Edge Computing Systems", WACV
2022. The device runs the encoder and codes its rounded latents; the server decodes them to an imitation of the
teacher's layer and runs the teacher's remaining layers.
"""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_doc import Doc
from torch import nn

from sc2bench.bottlenecks import Bottleneck
from sc2bench.config import ExperimentConfig, MethodConfig
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import BOTTLENECKS, METHODS, PRIORS
from sc2bench.entropy import LatentCodec
from sc2bench.methods.latent import LatentModel, bottleneck_halves
from sc2bench.teachers import Teacher
from sc2bench.wire.inputs import InputSpec


@dataclass
class EntropicStudentConfig(MethodConfig):
    """The bottleneck and its prior."""

    prior: Annotated[str, Doc("What codes the latents."), PRIORS] = "factorized"
    bottleneck: Annotated[str, Doc("Encoder and decoder."), BOTTLENECKS] = "fp_resnet"
    after: Annotated[str, Doc("Layer of the teacher whose output the decoder imitates.")] = "layer1"
    latent_channels: Annotated[int, Doc("Channels of the latents.")] = 24
    widths: Annotated[list[int], Doc("Channels of the bottleneck's hidden layers; []: its own.")] = field(
        default_factory=list
    )
    hyper_channels: Annotated[int, Doc("Channels of the side latents, for priors that have some.")] = 16


@METHODS.register("entropic_student")
class EntropicStudent(LatentModel):
    """A student whose encoder and prior are distilled first, its decoder and tail fine-tuned after."""

    config_class = EntropicStudentConfig
    rate_knob = "beta"

    @classmethod
    def from_config(cls, config: ExperimentConfig, teacher: Teacher, spec: InputSpec) -> "EntropicStudent":
        """Builds the student around a copy of the teacher's tail.

        Raises:
            ConfigError: no such layer, a bottleneck whose output does not have the shape of the layer's, or images
                that are too small for it.
        """
        options: EntropicStudentConfig = config.method

        def no_transforms(channels: int, outputs: int) -> tuple[nn.Module, nn.Module]:
            raise ConfigError(
                f"method.bottleneck: '{options.bottleneck}' has no hyper-transforms; choose method.prior=factorized"
            )

        def make_prior(bottleneck: Bottleneck) -> LatentCodec:
            # Whether a prior has side latents is known when it asks for their transforms.
            transforms = bottleneck.hyper or no_transforms
            prior: LatentCodec = PRIORS[options.prior](bottleneck.latent_channels, options.hyper_channels, transforms)
            return prior

        device, server = bottleneck_halves(
            teacher,
            spec,
            name=options.bottleneck,
            latent_channels=options.latent_channels,
            widths=options.widths,
            after=options.after,
            make_prior=make_prior,
        )
        return cls(device, server, spec, options.prior)
