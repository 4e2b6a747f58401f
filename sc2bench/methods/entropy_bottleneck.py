"""An entropy bottleneck behind a stage of the teacher itself, fine-tuned with it.

No encoder is designed: the device runs the teacher's stages up to the cut and codes their rounded outputs under a
factorized prior (Ballé et al. 2018; the baseline of Matsubara et al., TMLR 2023).
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from sc2bench.chain import cut
from sc2bench.config import MethodConfig, RunConfig
from sc2bench.entropy import FactorizedPrior
from sc2bench.methods.base import output_shape
from sc2bench.methods.latent import LatentDevice, LatentModel, LatentServer
from sc2bench.registry import METHODS
from sc2bench.teachers import Teacher


@dataclass
class EntropyBottleneckConfig(MethodConfig):
    """The bottleneck codes the output of the teacher's stage `after`."""

    after: str = "layer1"


@METHODS.register("entropy_bottleneck")
class EntropyBottleneck(LatentModel):
    """The teacher, cut in two, with a prior of what crosses the cut."""

    config_class = EntropyBottleneckConfig
    rate_knob = "beta"

    @classmethod
    def from_config(cls, config: RunConfig, teacher: Teacher, image_shape: tuple[int, int, int]) -> "EntropyBottleneck":
        """Cuts a copy of the teacher; raises `ConfigError` if it has no such stage."""
        head, tail = (deepcopy(part) for part in cut(teacher.chain, config.method.after))
        images = torch.zeros(1, *image_shape, dtype=torch.uint8, device=teacher.preprocess.mean.device)
        shape = output_shape(head, teacher.preprocess(images), f"the teacher's stages up to '{config.method.after}'")
        prior = FactorizedPrior(shape[0])
        device = LatentDevice(teacher.preprocess, head, prior)
        return cls(device, LatentServer(prior, nn.Identity(), tail, (shape,)), config.method.after, "factorized")
