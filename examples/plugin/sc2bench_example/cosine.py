"""A loss with an option and with weights of its own: student's features, projected, point where the teacher's do."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_doc import Doc
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from sc2bench import FeatureLossConfig, Loss, LossContext, Need, Step, register_loss


@dataclass
class CosineConfig(FeatureLossConfig):
    """How sharply directions are compared."""

    power: Annotated[float, Doc("What 1 minus the cosine is raised to.")] = 1.0


@register_loss("feature_cosine")
class FeatureCosine(Loss):
    """1 minus the cosine between student's and teacher's channels, a mean over positions; summed over layers."""

    config_class = CosineConfig
    needs = frozenset((Need.TEACHER, Need.FEATURES))

    def __init__(self, config: CosineConfig, context: LossContext):
        super().__init__(config, context)
        own, wanted = context.student_shapes, context.teacher_shapes
        # They learn with the stage, and are in its checkpoints.
        self.projections = nn.ModuleDict({name: _projection(own[name], wanted[name]) for name in context.layers})

    def forward(self, step: Step) -> Tensor:
        """A scalar."""
        terms = []
        for name, own, target in step.pairs():
            cosine = cosine_similarity(self.projections[name](own), target, dim=1)
            terms.append((1 - cosine).clamp_min(0).pow(self.config.power).mean())
        return torch.stack(terms).sum()


def _projection(own: tuple[int, ...], wanted: tuple[int, ...]) -> nn.Module:
    if len(own) == 1:
        return nn.Linear(own[0], wanted[0])
    return nn.Conv2d(own[0], wanted[0], 1)
