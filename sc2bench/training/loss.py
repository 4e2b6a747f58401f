"""What a loss is: a term of a stage's loss, with options of its own, and what it needs of a step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sc2bench.config import FeatureLossConfig, LossConfig
from sc2bench.core.errors import ConfigError, TrainingError, nearest
from sc2bench.core.registry import LOSSES
from sc2bench.core.state import load_state, unique_state
from sc2bench.methods import Outputs
from sc2bench.tasks.base import Task


class Need(str, Enum):
    """What a loss can't do without; checked before training begins."""

    TEACHER = "teacher"
    """The teacher's prediction, or outputs of its layers."""
    FEATURES = "features"
    """Layers whose outputs are compared."""
    BITS = "bits"
    """A prior, which estimates them."""
    DISTORTION = "distortion"
    """A decoded image."""
    LOGITS = "logits"
    """Predictions that are a classifier's logits."""


@dataclass(frozen=True)
class Step:
    """What a loss can see of one step.

    Attributes:
        outputs: of the student.
        teacher_prediction: `None` if no loss of the stage needs the teacher.
        teacher_features: outputs of the teacher's layers that the stage's losses compare.
        targets: of the task.
        task: the task.
        layers: those that this loss compares.
    """

    outputs: Outputs
    teacher_prediction: Any
    teacher_features: Mapping[str, Tensor]
    targets: Any
    task: Task
    layers: Sequence[str] = ()

    @property
    def bits(self) -> Tensor:
        """Estimated bits of each sample, (N,); for losses that need them."""
        assert self.outputs.bits is not None
        return self.outputs.bits

    @property
    def distortion(self) -> Tensor:
        """Mean squared error of each decoded image, (N,); for losses that need it."""
        assert self.outputs.distortion is not None
        return self.outputs.distortion

    def pairs(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """The layers that the loss compares: name, the student's output and the teacher's, in single precision."""
        for name in self.layers:
            yield name, self.outputs.features[name].float(), self.teacher_features[name].float()


@dataclass
class LossContext:
    """What a loss may want to know when it is built.

    Attributes:
        layers: those that it compares.
        classes: how many the data set has.
        student_shapes: of the student's output for one sample by layer; for images (channels, height, width).
    """

    layers: Sequence[str]
    classes: int
    student_shapes: Mapping[str, tuple[int, ...]]
    _teacher_shapes: Callable[[], Mapping[str, tuple[int, ...]]]

    @cached_property
    def teacher_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The same of the teacher, which runs for it."""
        return self._teacher_shapes()


class Loss(nn.Module):
    """Base of all losses: a module, whose parameters, where it has some, learn with the stage.

    They are in the optimizer, at the stage's learning rate, and in its checkpoints. Subclasses set `needs` and, for
    options of their own, `config_class`, and implement `forward`.

    Args:
        config: an instance of `config_class`.
        context: what else it may want to know.
    """

    config_class: ClassVar[type[LossConfig]] = LossConfig
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self, config: Any, context: LossContext):
        super().__init__()
        self.config = config

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.needs = frozenset(_need(cls.__name__, need) for need in cls.needs)
        if not (is_dataclass(cls.config_class) and issubclass(cls.config_class, LossConfig)):
            raise ConfigError(
                f"loss {cls.__name__}: its config_class is no dataclass derived from LossConfig; make it one"
            )

    def forward(self, step: Step) -> Tensor:
        """The term, a scalar: a mean over the samples of the batch."""
        raise NotImplementedError


def _need(loss: str, need: Any) -> Need:
    try:
        return Need(need)
    except ValueError:
        known = nearest(str(need), [each.value for each in Need])
        raise ConfigError(f"loss {loss} has the unknown need {need!r}; {known}") from None


def register_loss(name: str, *needs: Need | str) -> Callable[[Any], Any]:
    """Returns a decorator that registers a loss: a subclass of `Loss`, or a function of a step that has no options.

    In one line for a function::

        register_loss("logit_size", "logits")(lambda step: step.outputs.prediction.square().mean())

    Args:
        name: as it stands in configurations.
        needs: of a function; a class has them itself.

    Raises:
        ConfigError: an unknown need, or the name is taken.
    """

    def decorate(entry: Any) -> Any:
        if isinstance(entry, type) and issubclass(entry, Loss):
            return LOSSES.register(name)(entry)
        own = {_need(name, need) for need in needs}
        config_class = FeatureLossConfig if Need.FEATURES in own else LossConfig
        members = {"needs": own, "config_class": config_class, "forward": lambda self, step: entry(step)}
        LOSSES.register(name)(type(name, (Loss,), members | {"__doc__": entry.__doc__}))
        return entry

    return decorate


class WeightedSum(nn.Module):
    """The loss of a stage: the sum of its terms.

    Args:
        losses: by their names in the stage.
        weights: of each.
        layers: that each compares.
    """

    def __init__(self, losses: Mapping[str, Loss], weights: Sequence[float], layers: Sequence[Sequence[str]]):
        super().__init__()
        self.names = list(losses)
        self.losses = nn.ModuleList(losses.values())
        self.weights = list(weights)
        self.layers = list(layers)

    def forward(self, step: Step) -> Tensor:
        """The sum, a scalar; raises `TrainingError` if a term is none."""
        terms = []
        for name, loss, weight, layers in zip(self.names, self.losses, self.weights, self.layers, strict=True):
            term = loss(replace(step, layers=layers))
            if term.ndim:
                raise TrainingError(f"loss '{name}' gives a tensor of shape {tuple(term.shape)}; it must be a scalar")
            terms.append(weight * term)
        return torch.stack(terms).sum()

    def needs(self, need: Need) -> bool:
        """Whether any of the losses needs something."""
        return any(need in loss.needs for loss in self.losses)  # type: ignore[operator]

    def state(self) -> dict[str, Tensor]:
        """What the losses have learned and remember, by names that don't depend on their order."""
        pairs = zip(self.names, self.losses, strict=True)
        return {f"{name}.{key}": tensor for name, loss in pairs for key, tensor in unique_state(loss).items()}

    def load(self, state: Mapping[str, Tensor], source: object) -> None:
        """Takes what `state` gave; raises `CheckpointError` for that of other losses."""
        for name, loss in zip(self.names, self.losses, strict=True):
            start = f"{name}."
            own = {key.removeprefix(start): tensor for key, tensor in state.items() if key.startswith(start)}
            load_state(loss, own, source)
