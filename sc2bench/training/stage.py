"""One stage of training, built and checked before anything runs."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from compressai.entropy_models import EntropyModel
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from sc2bench.config import FeatureLossConfig, LossConfig, StageConfig
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.progress import EVALUATION_WORK
from sc2bench.core.registry import LOSSES, OPTIMIZERS, SCHEDULES
from sc2bench.data import Batch, EpochSampler, ImageSet
from sc2bench.entropy import LatentCodec
from sc2bench.methods import Outputs, SplitModel
from sc2bench.teachers import Teacher
from sc2bench.training.loss import Loss, LossContext, Need, WeightedSum

_Groups = list[dict[str, Any]]


@dataclass
class Stage:
    """What a stage's configuration names, looked up and built.

    Attributes:
        name: "stage1", ...
        config: its configuration.
        loader: shuffled batches of the training set.
        sampler: orders them anew each epoch.
        losses: the weighted sum of its losses, whose parameters, where there are some, learn too.
        layers: those whose outputs are wanted of student and teacher.
        trainable: parameters that learn.
        optimizer: over them.
        build_optimizer: makes one like it of other groups of parameters.
    """

    name: str
    config: StageConfig
    loader: "DataLoader[Batch]"
    sampler: EpochSampler
    losses: WeightedSum
    layers: list[str]
    trainable: list[nn.Parameter]
    optimizer: Optimizer
    build_optimizer: Callable[[_Groups], Optimizer]

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss compares with the teacher."""
        return self.losses.needs(Need.TEACHER)

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
        self.losses.train()

    def evaluation_mode(self, model: SplitModel) -> None:
        """Puts all modules in evaluation mode."""
        model.eval()
        self.losses.eval()

    def learning_rate_factor(self, progress: float) -> float:
        """The schedule: what the learning rates are multiplied by at a share 0 ... 1 of the stage's steps."""
        options = self.config.schedule
        return SCHEDULES[options.name](progress, self.config.epochs, options)


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
        ConfigError: an unknown module or layer, a loss that the method can't have, or options that the loss, the
            optimizer or the schedule refuses.
    """
    images = training_set.sample(2)
    if config.augment and not isinstance(images, Tensor):
        raise ConfigError(
            f"{name}.augment: images of this data set vary in size, and it augments them itself; leave it out"
        )
    compared = {key: _compared(config, loss) for key, loss in config.losses.items()}
    layers = list(dict.fromkeys([*config.features, *(layer for each in compared.values() for layer in each)]))
    with torch.no_grad():
        outputs = model.eval()(images, features=layers)
    _check_layers(f"{name}.features", config.features, teacher, outputs)
    for key, loss in config.losses.items():
        _check_layers(f"{name}.losses.{key}.layers", compared[key], teacher, outputs)
        _check_needs(name, key, LOSSES[loss.name].needs, compared[key], outputs)

    def teacher_shapes() -> dict[str, tuple[int, ...]]:
        with torch.no_grad():
            return _shapes(teacher.eval().outputs(images, layers)[1])

    context = LossContext([], len(training_set.classes), _shapes(outputs.features), teacher_shapes)
    losses = _build_losses(name, config, compared, context, seed)
    part = training_set.part(config.samples)
    sampler = EpochSampler(len(part), seed)
    loader = part.loader(config.batch_size, sampler=sampler, workers=workers)
    if not len(loader):
        raise ConfigError(f"{name}.batch_size: {config.batch_size} exceeds the {len(part)} training samples")
    groups = _parameter_groups(name, config, model, losses)
    trainable = [parameter for group in groups for parameter in group["params"]]

    def build_optimizer(groups: _Groups) -> Optimizer:
        return OPTIMIZERS[config.optimizer.name](groups, config.optimizer)

    with _blaming(f"{name}.optimizer"):
        optimizer = build_optimizer(groups)
    stage = Stage(name, config, loader, sampler, losses, layers, trainable, optimizer, build_optimizer)
    _check_schedule(stage)
    return stage


def _compared(config: StageConfig, loss: LossConfig) -> list[str]:
    """The layers that a loss compares: its own, or those of the stage."""
    own = loss.layers if isinstance(loss, FeatureLossConfig) else []
    return (own or config.features) if Need.FEATURES in LOSSES[loss.name].needs else []


def _check_layers(key: str, layers: list[str], teacher: Teacher, outputs: Outputs) -> None:
    known = teacher.chain.names()
    for layer in layers:
        if layer not in known:
            raise ConfigError(f"{key}: no layer '{layer}'; {nearest(layer, known)}")
        if layer not in outputs.features:
            raise ConfigError(f"{key}: '{layer}' is not computed by this method; it gives {list(outputs.features)}")


def _check_needs(name: str, loss: str, needs: frozenset[Need], layers: list[str], outputs: Outputs) -> None:
    key = f"{name}.losses.{loss}"
    if Need.FEATURES in needs and not layers:
        raise ConfigError(f"{name}.features: empty, but loss '{loss}' compares features; list at least one layer")
    if Need.BITS in needs and outputs.bits is None:
        raise ConfigError(f"{key}: '{loss}' needs a prior, and this method has none; leave it out")
    if Need.LOGITS in needs and not isinstance(outputs.prediction, Tensor):
        raise ConfigError(f"{key}: '{loss}' compares a classifier's logits; take 'task' for this task")
    if Need.DISTORTION in needs and outputs.distortion is None:
        raise ConfigError(f"{key}: '{loss}' needs a decoded image, and this method has none; leave it out")


def _build_losses(
    name: str, config: StageConfig, compared: dict[str, list[str]], context: LossContext, seed: int
) -> WeightedSum:
    losses: dict[str, Loss] = {}
    # What a loss draws is its own: the same in every process, and no other module begins otherwise for it.
    with torch.random.fork_rng(devices=[]):
        for number, (key, options) in enumerate(config.losses.items()):
            torch.manual_seed((seed << 20) + number)
            context.layers = compared[key]
            with _blaming(f"{name}.losses.{key}"):
                losses[key] = LOSSES[options.name](options, context)
    return WeightedSum(losses, [options.weight for options in config.losses.values()], list(compared.values()))


def _shapes(features: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {layer: tuple(values.shape[1:]) for layer, values in features.items()}


@contextmanager
def _blaming(key: str) -> Iterator[None]:
    """Names the key where values are refused by what is built of them."""
    try:
        yield
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{key}: {error}") from error


def _check_schedule(stage: Stage) -> None:
    for epoch in range(stage.config.epochs):
        factor = stage.learning_rate_factor(epoch / stage.config.epochs)
        if not math.isfinite(factor) or factor < 0:
            raise ConfigError(
                f"{stage.name}.schedule: '{stage.config.schedule.name}' multiplies the learning rate by {factor} at "
                f"epoch {epoch + 1}; it must give finite numbers from 0"
            )


def _of_densities(modules: Iterable[nn.Module]) -> set[int]:
    """The identities of priors' own parameters: of CompressAI's densities in one, else all that it has.

    The transforms of a hyperprior are networks like others.
    """
    priors = [module for module in modules if isinstance(module, LatentCodec | EntropyModel)]
    return {
        id(parameter)
        for prior in priors
        if isinstance(prior, EntropyModel) or not any(isinstance(part, EntropyModel) for part in prior.modules())
        for parameter in prior.parameters()
    }


def _parameter_groups(name: str, config: StageConfig, model: SplitModel, losses: nn.Module) -> _Groups:
    """Groups by learning rate: transforms, the priors' own parameters, and those of losses."""
    modules = dict(model.named_modules())
    if not config.trainable:
        raise ConfigError(f"{name}.trainable: empty; list at least one module of the split model")
    learning: dict[int, nn.Parameter] = {}
    for path in config.trainable:
        try:
            # A path may also lead over a name that is computed, such as `Teacher.learned_head`.
            module = model.get_submodule(path)
        except AttributeError:
            raise ConfigError(f"{name}.trainable: the model has no module '{path}'; {nearest(path, modules)}") from None
        learning |= {id(parameter): parameter for parameter in module.parameters()}
    of_priors = _of_densities(modules.values())
    groups = [
        {"params": [p for i, p in learning.items() if i not in of_priors], "lr": config.learning_rate},
        {
            "params": [p for i, p in learning.items() if i in of_priors],
            "lr": config.prior_learning_rate or config.learning_rate,
        },
    ]
    of_densities = groups[1]["params"]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ConfigError(f"{name}.trainable: {config.trainable} have no parameters; name modules that learn")
    if config.prior_learning_rate is not None and not of_densities:
        raise ConfigError(
            f"{name}.prior_learning_rate: no prior is among {config.trainable}, so it has no effect; leave it out"
        )
    of_losses = list(losses.parameters())
    return [*groups, {"params": of_losses, "lr": config.learning_rate}] if of_losses else groups
