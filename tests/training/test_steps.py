"""Steps of training, bit for bit those that PyTorch's own optimizers and the formulas of losses and schedules make."""

import math

import pytest
import torch
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from sc2bench.config import compose
from sc2bench.core.state import unique_state
from sc2bench.methods import build_model
from sc2bench.tasks.image_classification import ImageClassification
from sc2bench.teachers import load_teacher
from sc2bench.training.loss import Step
from sc2bench.training.stage import build_stage
from sc2bench.wire.inputs import ImageSpec
from tests.conftest import TINY_STUDENT

STEPS, EPOCHS = 4, 3
ALPHA, TEMPERATURE, SMOOTHING = 0.9, 4.0, 0.1
KD = f"{{weight: 0.7, alpha: {ALPHA}, temperature: {TEMPERATURE}, label_smoothing: {SMOOTHING}}}"


def one_cycle(progress):
    return max(progress / 0.3, 1e-2) if progress < 0.3 else 0.5 * (1 + math.cos(math.pi * (progress - 0.3) / (1 - 0.3)))


SPELLED = {
    "{name: sgd, momentum: 0.8, nesterov: true, weight_decay: 0.001}": (
        lambda groups: SGD(groups, momentum=0.8, nesterov=True, weight_decay=0.001),
        "{name: multi_step, milestones: [1, 2], gamma: 0.3}",
        lambda progress: 0.3 ** sum(progress * EPOCHS + 1e-9 >= milestone for milestone in (1, 2)),
    ),
    "{name: adamw, weight_decay: 0.01}": (
        lambda groups: AdamW(groups, weight_decay=0.01),
        "{name: one_cycle, warmup: 0.3}",
        one_cycle,
    ),
    "{name: adam, weight_decay: 0.01}": (
        lambda groups: Adam(groups, weight_decay=0.01),
        "polynomial",
        lambda progress: (1 - progress) ** 0.9,
    ),
    "adam": (Adam, "cosine", lambda progress: 0.5 * (1 + math.cos(math.pi * progress))),
    "sgd": (lambda groups: SGD(groups, momentum=0.9), "constant", lambda progress: 1.0),
}


def written_out(step, layers):
    """The sum of the losses of the test, each as its formula."""
    # In the order of the losses, for gradients are summed in the opposite one, and rounded.
    outputs, target = step.outputs, step.teacher_prediction.float()
    terms = [1e-3 * outputs.bits.mean()]
    pairs = [(outputs.features[layer].float(), step.teacher_features[layer].float()) for layer in layers]
    relative = [100 * (own - other).square().sum() / other.square().sum() for own, other in pairs]
    terms.append(0.5 * torch.stack(relative).sum())
    divergence = functional.kl_div(
        functional.log_softmax(outputs.prediction.float() / TEMPERATURE, dim=1),
        functional.log_softmax(target / TEMPERATURE, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    hard = step.task.loss(outputs.prediction, step.targets, SMOOTHING)
    terms.append(0.7 * (ALPHA * hard + (1 - ALPHA) * TEMPERATURE**2 * divergence))
    return torch.stack(terms).sum()


@pytest.mark.parametrize("optimizer", SPELLED)
def test_steps_are_those_of_the_formulas(tiny, test_images, optimizer):
    make, schedule, factor = SPELLED[optimizer]
    settings = [f"stage1.optimizer={optimizer}", f"stage1.schedule={schedule}", f"stage1.epochs={EPOCHS}"]
    settings += [f"stage1.losses={{rate: 1e-3, feature_relative: 0.5, kd: {KD}}}", "stage1.learning_rate=1e-5"]
    settings += ["stage1.batch_size=8", "stage1.samples=32"]
    config = compose([*tiny, *TINY_STUDENT, *settings])
    teacher = load_teacher(config.teacher).eval()
    task = ImageClassification(test_images)
    found = []
    for by_hand in (False, True):
        torch.manual_seed(0)
        model = build_model(config, teacher, ImageSpec(1, (28, 28)))
        fresh = {name: tensor.clone() for name, tensor in unique_state(model).items()}
        stage = build_stage("stage1", config.stages["stage1"], model, teacher, test_images, 0, 0)
        stage.enter(model)
        stage.train_mode(model)
        groups = [{"params": group["params"], "lr": group["lr"]} for group in stage.optimizer.param_groups]
        rates = [group["lr"] for group in groups]
        own = make(groups) if by_hand else stage.optimizer
        torch.manual_seed(1)
        for number, (images, targets) in enumerate(stage.loader):
            if number == STEPS:
                break
            with torch.no_grad():
                prediction, features = teacher.outputs(images, stage.layers)
            step = Step(model(images, targets, stage.layers), prediction, features, targets, task)
            share = number / STEPS
            for group, rate in zip(own.param_groups, rates, strict=True):
                group["lr"] = rate * (factor(share) if by_hand else stage.learning_rate_factor(share))
            (written_out(step, stage.layers) if by_hand else stage.losses(step)).backward()
            own.step()
            own.zero_grad()
        assert any(not torch.equal(fresh[name], tensor) for name, tensor in unique_state(model).items())
        found.append(unique_state(model))
    assert found[0].keys() == found[1].keys()
    for name, tensor in found[0].items():
        assert tensor.isfinite().all(), name
        assert torch.equal(tensor, found[1][name]), name
