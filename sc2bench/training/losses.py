"""The losses. Each is a mean over the samples of a batch."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_doc import Doc
from torch import Tensor
from torch.nn import functional

from sc2bench.config import LossConfig, option
from sc2bench.core import processes
from sc2bench.training.loss import Loss, Need, Step, register_loss


@dataclass
class SupervisedConfig(LossConfig):
    """Of losses that have a part against the task's targets."""

    label_smoothing: Annotated[
        float, Doc("Share of certainty that is taken from the right class and given to all.")
    ] = option(0.0, least=0, most=1, formerly="label_smoothing")


@dataclass
class DistillationConfig(SupervisedConfig):
    """How targets and teacher share, and how softly the teacher speaks."""

    alpha: Annotated[float, Doc("Share of the task's own loss, beside the teacher's.")] = option(
        0.5, least=0, most=1, formerly="kd_alpha"
    )
    temperature: Annotated[float, Doc("What logits of teacher and student are divided by.")] = option(
        1.0, above=0, formerly="kd_temperature"
    )


@register_loss("task")
class TaskLoss(Loss):
    """The task's supervised loss."""

    config_class = SupervisedConfig
    config: SupervisedConfig

    def forward(self, step: Step) -> Tensor:
        """The loss of the prediction against the targets."""
        return step.task.loss(step.outputs.prediction, step.targets, self.config.label_smoothing)


@register_loss("kd")
class Distillation(Loss):
    """Knowledge distillation (Hinton et al. 2015): alpha CE + (1 - alpha) T^2 KL."""

    config_class = DistillationConfig
    needs = frozenset((Need.TEACHER, Need.LOGITS))
    config: DistillationConfig

    def forward(self, step: Step) -> Tensor:
        """The loss of the logits against the targets and the teacher's logits."""
        student = step.outputs.prediction.float()
        temperature, alpha = self.config.temperature, self.config.alpha
        divergence = functional.kl_div(
            functional.log_softmax(student / temperature, dim=1),
            functional.log_softmax(step.teacher_prediction.float() / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        hard = step.task.loss(step.outputs.prediction, step.targets, self.config.label_smoothing)
        return alpha * hard + (1 - alpha) * temperature**2 * divergence


@register_loss("feature_sse", Need.TEACHER, Need.FEATURES)
def feature_sse(step: Step) -> Tensor:
    """Sum of squared errors over all compared layers (Matsubara and Levorato 2020), as published."""
    return torch.stack([(own - target).square().sum() / len(target) for _, own, target in step.pairs()]).sum()


@register_loss("feature_relative", Need.TEACHER, Need.FEATURES)
def feature_relative(step: Step) -> Tensor:
    """Squared errors in percent of the teacher's squared features, summed over layers.

    Layers of different size and scale weigh alike, so the late ones, nearest to the prediction, are not drowned.
    """
    errors = [(100 * (own - target).square().sum(), target) for _, own, target in step.pairs()]
    return torch.stack([error / _share_of_energy(target) for error, target in errors]).sum()


@register_loss("rate", Need.BITS)
def rate(step: Step) -> Tensor:
    """Estimated bits a sample; its weight is the method's beta."""
    return step.bits.mean()


@register_loss("distortion", Need.DISTORTION)
def distortion(step: Step) -> Tensor:
    """Mean squared error of the pixels, in squared levels of 8 bits."""
    return step.distortion.mean()


def _share_of_energy(target: Tensor) -> Tensor:
    """The squares of features, summed over this process's samples; of several processes, what that is on average.

    So a batch that processes share has the same loss, the mean of theirs, as in a single process.
    """
    energy = target.square().sum()
    if processes.count() == 1:
        return energy
    whole, samples = processes.summed(torch.stack([energy, energy.new_tensor(len(target))]))
    return whole * len(target) / samples
