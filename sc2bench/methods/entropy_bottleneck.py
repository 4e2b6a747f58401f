"""An entropy bottleneck behind a layer of the teacher itself, fine-tuned with it.

No encoder is designed: the device runs the teacher's layers up to the cut and codes their rounded outputs under a
factorized prior (Ballé et al. 2018; the baseline of Matsubara et al., TMLR 2023).
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated

from annotated_doc import Doc
from torch import nn

from sc2bench.chain import cut
from sc2bench.config import ExperimentConfig, MethodConfig
from sc2bench.core.registry import METHODS
from sc2bench.entropy import FactorizedPrior
from sc2bench.methods.latent import LatentDevice, LatentModel, make_server, tail_and_head
from sc2bench.methods.shapes import output_shape, probe_of
from sc2bench.teachers import Teacher
from sc2bench.wire.inputs import InputSpec


@dataclass
class EntropyBottleneckConfig(MethodConfig):
    """What the bottleneck codes."""

    after: Annotated[str, Doc("Layer of the teacher whose output the bottleneck codes.")] = "layer1"


@METHODS.register("entropy_bottleneck")
class EntropyBottleneck(LatentModel):
    """The teacher, cut in two, with a prior of what crosses the cut."""

    config_class = EntropyBottleneckConfig
    rate_knob = "beta"

    @classmethod
    def from_config(cls, config: ExperimentConfig, teacher: Teacher, spec: InputSpec) -> "EntropyBottleneck":
        """Cuts a copy of the teacher; raises `ConfigError` if it has no such layer, or its head needs earlier ones."""
        after = config.method.after
        front = deepcopy(cut(teacher.chain, after)[0])
        inputs = teacher.preprocess(probe_of(spec, teacher))
        prior = FactorizedPrior(output_shape(front, inputs, f"the teacher's layers up to '{after}'")[0])
        device = LatentDevice(teacher.preprocess, front, prior)
        server = make_server(device, nn.Identity(), *tail_and_head(teacher, after), after)
        return cls(device, server, spec, "factorized")
