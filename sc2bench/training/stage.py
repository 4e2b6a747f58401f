"""One stage of training, built and checked before anything runs."""

import math
from dataclasses import dataclass

import torch
from compressai.entropy_models import EntropyModel
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.utils.data import DataLoader

from sc2bench.config import StageConfig
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.progress import EVALUATION_WORK
from sc2bench.core.registry import LOSSES
from sc2bench.data import Batch, EpochSampler, ImageSet
from sc2bench.methods import SplitModel
from sc2bench.teachers import Teacher
from sc2bench.training.losses import Loss


@dataclass
class Stage:
    """What a stage's configuration names, looked up and built.

    Attributes:
        name: "stage1", ...
        config: its configuration.
        loader: shuffled batches of the training set.
        sampler: orders them anew each epoch.
        losses: the terms with their weights.
        trainable: parameters that learn.
        optimizer: over them.
    """

    name: str
    config: StageConfig
    loader: "DataLoader[Batch]"
    sampler: EpochSampler
    losses: list[tuple[Loss, float]]
    trainable: list[nn.Parameter]
    optimizer: Optimizer

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss compares with the teacher."""
        return any("teacher" in loss.needs for loss, _ in self.losses)

    def enter(self, model: SplitModel) -> None:
        """Lets the stage's modules learn and freezes all others."""
        model.requires_grad_(False)
        for parameter in self.trainable:
            parameter.requires_grad_(True)

    def train_mode(self, model: SplitModel) -> None:
        """Puts the stage's modules in training mode; the frozen ones keep to evaluation mode."""
        model.eval()
        for path in self.config.trainable:
            model.get_submodule(path).train()

    def learning_rate_factor(self, progress: float) -> float:
        """The schedule: what the learning rates are multiplied by at a share 0 ... 1 of the stage's steps."""
        config = self.config
        if config.schedule == "one_cycle":
            if progress < config.warmup:
                return max(progress / config.warmup, 1e-2)
            return 0.5 * (1 + math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup)))
        if config.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        if config.schedule == "polynomial":
            return (1 - progress) ** 0.9
        if config.schedule == "multi_step":
            return config.gamma ** sum(progress * config.epochs >= milestone for milestone in config.milestones)
        return 1.0


def epoch_work(config: StageConfig, training_samples: int, validation_samples: int) -> float:
    """Units of work of one epoch with its validation, for progress bars."""
    batches = min(config.samples or training_samples, training_samples) // config.batch_size
    return batches * config.batch_size + EVALUATION_WORK * validation_samples


def build_stage(
    name: str,
    config: StageConfig,
    model: SplitModel,
    teacher: Teacher,
    training_set: ImageSet,
    seed: int,
    workers: int | None,
) -> Stage:
    """Builds a stage and checks that everything it names exists.

    Raises:
        ConfigError: an unknown module, feature or loss, or a loss that the method can't have.
    """
    _check_features(name, config, model, teacher, training_set)
    part = training_set.part(config.samples)
    sampler = EpochSampler(len(part), seed)
    loader = part.loader(config.batch_size, sampler=sampler, workers=workers)
    if not len(loader):
        raise ConfigError(f"{name}.batch_size: {config.batch_size} exceeds the {len(part)} training samples")
    groups = _parameter_groups(name, config, model)
    trainable = [parameter for group in groups for parameter in group["params"]]
    losses = [(LOSSES[loss], weight) for loss, weight in config.losses.items()]
    return Stage(name, config, loader, sampler, losses, trainable, _optimizer(config, groups))


def _check_features(name: str, config: StageConfig, model: SplitModel, teacher: Teacher, data: ImageSet) -> None:
    """Runs one forward of two samples and compares what comes out with what the losses want."""
    images = data.sample(2)
    if config.augment and not isinstance(images, torch.Tensor):
        raise ConfigError(
            f"{name}.augment: images of this data set vary in size, and it augments them itself; leave it out"
        )
    with torch.no_grad():
        outputs = model.eval()(images, features=config.features)
    for feature in config.features:
        if feature not in teacher.chain.names():
            raise ConfigError(f"{name}.features: no stage '{feature}'; {nearest(feature, teacher.chain.names())}")
        if feature not in outputs["features"]:
            raise ConfigError(
                f"{name}.features: '{feature}' is not computed by this method; it gives {list(outputs['features'])}"
            )
    for loss in config.losses:
        needs = LOSSES[loss].needs
        if "features" in needs and not config.features:
            raise ConfigError(f"{name}.features: empty, but loss '{loss}' compares features; list at least one stage")
        if "bits" in needs and "bits" not in outputs:
            raise ConfigError(f"{name}.losses: '{loss}' needs a prior, and this method has none; leave it out")
        if "logits" in needs and not isinstance(outputs["prediction"], torch.Tensor):
            raise ConfigError(f"{name}.losses: '{loss}' compares a classifier's logits; take 'task' for this task")
        if "distortion" in needs and "distortion" not in outputs:
            raise ConfigError(f"{name}.losses: '{loss}' needs a decoded image, and this method has none; leave it out")


def _parameter_groups(name: str, config: StageConfig, model: SplitModel) -> list[dict]:
    """Groups by learning rate: transforms, and the priors' own parameters."""
    modules = dict(model.named_modules())
    if not config.trainable:
        raise ConfigError(f"{name}.trainable: empty; list at least one module of the split model")
    learning: dict[int, nn.Parameter] = {}
    for path in config.trainable:
        if path not in modules:
            raise ConfigError(f"{name}.trainable: the model has no module '{path}'; {nearest(path, modules)}")
        learning |= {id(parameter): parameter for parameter in modules[path].parameters()}
    # The transforms of a hyperprior are networks like others; a prior's own parameters are those of its densities.
    of_priors = {id(p) for module in modules.values() if isinstance(module, EntropyModel) for p in module.parameters()}
    groups = [
        {"params": [p for i, p in learning.items() if i not in of_priors], "lr": config.learning_rate},
        {
            "params": [p for i, p in learning.items() if i in of_priors],
            "lr": config.prior_learning_rate or config.learning_rate,
        },
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ConfigError(f"{name}.trainable: {config.trainable} have no parameters; name modules that learn")
    return groups


def _optimizer(config: StageConfig, groups: list[dict]) -> Optimizer:
    if config.optimizer == "sgd":
        return SGD(
            groups, config.learning_rate, config.momentum, weight_decay=config.weight_decay, nesterov=config.nesterov
        )
    kind = AdamW if config.optimizer == "adamw" else Adam
    return kind(groups, config.learning_rate, weight_decay=config.weight_decay)
