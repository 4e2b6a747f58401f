"""The terms of a stage's loss. Each is a mean over the samples of a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sc2bench.config import StageConfig
from sc2bench.core import processes
from sc2bench.core.registry import LOSSES
from sc2bench.methods import Outputs
from sc2bench.tasks.base import Task


@dataclass(frozen=True)
class Step:
    """What a loss can see of one training step.

    Attributes:
        outputs: of the student.
        teacher_prediction: `None` if no loss of the stage needs the teacher.
        teacher_features: outputs of the teacher's stages that `stage.features` lists.
        targets: of the task.
        stage: the stage's configuration.
        task: the task.
    """

    outputs: Outputs
    teacher_prediction: Any
    teacher_features: Mapping[str, Tensor]
    targets: Any
    stage: StageConfig
    task: Task


@dataclass(frozen=True)
class Loss:
    """A term of a loss.

    Attributes:
        function: gives the term, a scalar.
        needs: of "teacher" (its outputs), "features" (a list of stages), "bits" (a prior), "distortion" (a decoded
            image) and "logits" (a classifier's), what it can't do without.
    """

    function: Callable[[Step], Tensor]
    needs: frozenset[str]


def register_loss(name: str, *needs: str) -> Callable[[Callable[[Step], Tensor]], Callable[[Step], Tensor]]:
    """Returns a decorator that registers a function as a loss with its needs."""

    def decorate(function: Callable[[Step], Tensor]) -> Callable[[Step], Tensor]:
        LOSSES.register(name)(Loss(function, frozenset(needs)))
        return function

    return decorate


@register_loss("task")
def task_loss(step: Step) -> Tensor:
    """The task's supervised loss."""
    return step.task.loss(step.outputs["prediction"], step.targets, step.stage.label_smoothing)


@register_loss("feature_sse", "teacher", "features")
def feature_sse(step: Step) -> Tensor:
    """Sum of squared errors over all wanted features (Matsubara and Levorato 2020), as published."""
    return _feature_errors(step, relative=False)


@register_loss("feature_relative", "teacher", "features")
def feature_relative(step: Step) -> Tensor:
    """Squared errors in percent of the teacher's squared features, summed over stages.

    Stages of different size and scale weigh alike, so the late ones, nearest to the prediction, are not drowned.
    """
    return _feature_errors(step, relative=True)


@register_loss("rate", "bits")
def rate(step: Step) -> Tensor:
    """Estimated bits a sample; its weight is the method's beta."""
    return step.outputs["bits"].mean()


@register_loss("distortion", "distortion")
def distortion(step: Step) -> Tensor:
    """Mean squared error of the pixels, in squared levels of 8 bits."""
    return step.outputs["distortion"].mean()


@register_loss("kd", "teacher", "logits")
def kd(step: Step) -> Tensor:
    """Knowledge distillation (Hinton et al. 2015): alpha CE + (1 - alpha) T^2 KL."""
    student = step.outputs["prediction"].float()
    temperature, alpha = step.stage.kd_temperature, step.stage.kd_alpha
    divergence = functional.kl_div(
        functional.log_softmax(student / temperature, dim=1),
        functional.log_softmax(step.teacher_prediction.float() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    hard = step.task.loss(step.outputs["prediction"], step.targets, step.stage.label_smoothing)
    return alpha * hard + (1 - alpha) * temperature**2 * divergence


def _feature_errors(step: Step, relative: bool) -> Tensor:
    terms = []
    for name in step.stage.features:
        target = step.teacher_features[name].float()
        error = (step.outputs["features"][name].float() - target).square().sum()
        terms.append(100 * error / _share_of_energy(target) if relative else error / len(target))
    return torch.stack(terms).sum()


def _share_of_energy(target: Tensor) -> Tensor:
    """The squares of features, summed over this process's samples; of several processes, what that is on average.

    So a batch that processes share has the same loss, the mean of theirs, as in a single process.
    """
    energy = target.square().sum()
    if processes.count() == 1:
        return energy
    whole, samples = processes.summed(torch.stack([energy, energy.new_tensor(len(target))]))
    return whole * len(target) / samples
