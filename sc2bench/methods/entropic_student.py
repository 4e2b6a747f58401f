"""Entropic Student: a bottleneck with a learned prior in place of the teacher's first stages.

Matsubara, Yang, Levorato and Mandt, "Supervised Compression for Resource-Constrained Edge Computing Systems", WACV
2022. The device runs the encoder and codes its rounded latents; the server decodes them to an imitation of the
teacher's stage and runs the teacher's remaining stages.
"""

from dataclasses import dataclass, field

from sc2bench.bottlenecks import Bottleneck
from sc2bench.config import MethodConfig, RunConfig
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import METHODS, PRIORS
from sc2bench.entropy import LatentCodec
from sc2bench.methods.latent import LatentModel, bottleneck_halves
from sc2bench.teachers import Teacher
from sc2bench.wire.inputs import InputSpec


@dataclass
class EntropicStudentConfig(MethodConfig):
    """The bottleneck ends behind the teacher's stage `after`; `widths` are its hidden layers, [] for its default.

    `hyper_channels` are those of the side latents, for priors that have some.
    """

    prior: str = "factorized"
    bottleneck: str = "fp_resnet"
    after: str = "layer1"
    latent_channels: int = 24
    widths: list[int] = field(default_factory=list)
    hyper_channels: int = 16


@METHODS.register("entropic_student")
class EntropicStudent(LatentModel):
    """A student whose encoder and prior are distilled first, its decoder and tail fine-tuned after."""

    config_class = EntropicStudentConfig
    rate_knob = "beta"

    @classmethod
    def from_config(cls, config: RunConfig, teacher: Teacher, spec: InputSpec) -> "EntropicStudent":
        """Builds the student around a copy of the teacher's tail.

        Raises:
            ConfigError: no such stage, a bottleneck whose output does not have the shape of the stage's, or images
                that are too small for it.
        """
        options: EntropicStudentConfig = config.method

        def make_prior(bottleneck: Bottleneck) -> LatentCodec:
            if options.prior != "factorized" and bottleneck.hyper is None:
                raise ConfigError(
                    f"method.bottleneck: '{options.bottleneck}' has no hyper-transforms; choose method.prior=factorized"
                )
            return PRIORS[options.prior](bottleneck.latent_channels, options.hyper_channels, bottleneck.hyper)

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
