"""Fresh heads on pretrained bodies, for data of other classes than the weights are for."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sc2bench.core.errors import ConfigError
from sc2bench.heads.base import LastLayer
from sc2bench.teachers.base import Teacher

# How a teacher for other classes is made; the end of errors.
FINE_TUNE = (
    "or fine-tune it (method=teacher recipe=finetune_teacher, or finetune_head) and give what that leaves as "
    "teacher.weights=checkpoints/FOLDER/model.safetensors"
)


class OtherClasses(ConfigError):
    """A teacher's weights are for another number of classes than the data set has.

    Args:
        message: the sentence.
        classes: how many the weights are for.
    """

    def __init__(self, message: str, classes: int):
        super().__init__(message)
        self.classes = classes


def of_classes(module: nn.Module, other: nn.Module) -> set[str]:
    """The names of the tensors that belong to the head: those whose shapes depend on the number of classes.

    Args:
        module: a model.
        other: the same for another number of classes.
    """
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    return {name for name, tensor in module.state_dict().items() if tensor.shape != shapes[name]}


def with_fresh(state: Mapping[str, Tensor], module: nn.Module, head: set[str]) -> dict[str, Tensor]:
    """Weights of a file or library with a model's own ones in place of the head's."""
    own = module.state_dict()
    return {name: tensor for name, tensor in state.items() if name not in head} | {name: own[name] for name in head}


def last_layer(teacher: Teacher) -> set[str]:
    """The names of the tensors of a registered teacher's last layer."""
    start = f"chain.{teacher.chain.names()[-1]}."
    return {name for name in teacher.state_dict() if name.startswith(start)}


def put_new_head(teacher: Teacher, name: str, classes: int) -> None:
    """Puts a random last layer for so many classes in place of a registered teacher's.

    It depends on nothing but the seed that was set last.

    Args:
        teacher: a classifier, changed in place.
        name: of it, for errors.
        classes: number of logits.

    Raises:
        ConfigError: the last layer is not linear.
    """
    last = teacher.chain[-1]
    if not isinstance(teacher.head, LastLayer) or not isinstance(last, nn.Linear):
        raise ConfigError(
            f"teacher.new_head: the last layer of '{name}' is not linear, so none for {classes} classes can be put in "
            "its place; choose another teacher"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch.initial_seed())
        teacher.chain[-1] = nn.Linear(last.in_features, classes, bias=last.bias is not None)
