"""Teachers from their configuration."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from sc2bench.config import TeacherConfig, completed
from sc2bench.core import digests
from sc2bench.core.errors import CheckpointError
from sc2bench.core.registry import TEACHER_LIBRARIES, TEACHERS
from sc2bench.core.state import load_state
from sc2bench.teachers.base import BackboneConfig, Teacher
from sc2bench.teachers.files import TRAINED_PREFIX, read_weights
from sc2bench.teachers.library import is_file
from sc2bench.teachers.new_head import FINE_TUNE, OtherClasses, last_layer, put_new_head, with_fresh
from sc2bench.teachers.published import PublishedWeights

WEIGHTS = Path(__file__).parent.parent / "weights"
# The digests of the packaged files, by name.
DIGESTS = "digests.json"
# How the names of a teacher's layers begin.
_CHAIN = "chain."


def load_teacher(config: TeacherConfig, classes: int | None = None) -> Teacher:
    """Builds a teacher and loads its weights.

    Random weights of a library's model depend on nothing but the seed that was set last, so that all teachers of one
    run are the same.

    Args:
        config: `weights` may also be the final weights of a run that trained the teacher.
        classes: of the data set; a library's model with random weights, or with those of a file, is built for so many.

    Raises:
        CheckpointError: the weights are missing, unreadable or don't fit, or they can't be downloaded.
        ConfigError: no such model or weights, or weights for another number of classes.
    """
    if config.library:
        teacher = TEACHER_LIBRARIES[config.library].load(config, classes)
    else:
        teacher = _registered(config, classes)
    return teacher.to(memory_format=torch.channels_last)


def bare_teacher(
    config: TeacherConfig, classes: int | None = None, built_as: Mapping[str, Any] = MappingProxyType({})
) -> Teacher:
    """Builds the teacher of `load_teacher` with random weights, for a model whose own weights come next.

    No file of weights is read, and nothing is downloaded.

    Args:
        config: `weights` still decides the architecture, as some of a library's weights have one of their own.
        classes: of the data set; `None`: those that the model is known for.
        built_as: that of the teacher that `load_teacher` gave, see `Teacher`; a model of the hub needs it, and is
            loaded without.

    Raises:
        ConfigError: no such model or weights.
    """
    if config.library:
        teacher: Teacher = TEACHER_LIBRARIES[config.library].bare(config, classes, built_as)
    else:
        teacher = _made(config)
        if classes is not None and _takes_other_classes(config, teacher, classes):
            put_new_head(teacher, config.name, classes)
    return teacher.to(memory_format=torch.channels_last)


def teacher_downloads(config: TeacherConfig) -> list[str]:
    """The addresses of what `load_teacher` would download; empty if all is here already.

    Raises:
        ConfigError: no such model or weights.
    """
    if config.library:
        return TEACHER_LIBRARIES[config.library].downloads(config)
    published = published_weights(config)
    return published.downloads() if published else []


def published_weights(config: TeacherConfig) -> PublishedWeights | None:
    """What another package brings of a teacher's weights; `None` where they come from elsewhere."""
    if config.library or config.weights != "packaged":
        return None
    return getattr(TEACHERS[config.name], "published_weights", None)


def _made(config: TeacherConfig) -> Teacher:
    """A registered teacher with random weights; one that has options of its own is told them."""
    make = TEACHERS[config.name]
    made: Teacher = make(completed(config)) if hasattr(make, "config_class") else make()
    return made


def _registered(config: TeacherConfig, classes: int | None) -> Teacher:
    teacher = _made(config)
    own = teacher.classes
    other = classes is not None and _takes_other_classes(config, teacher, classes)
    if classes is not None and own not in (None, classes) and not other:
        raise OtherClasses(
            f"teacher.name: '{config.name}' has {own} classes, but the data set has {classes}; choose another teacher, "
            f"{FINE_TUNE}",
            own or 0,
        )
    if other and classes is not None and is_file(config.weights):
        put_new_head(teacher, config.name, classes)
        state = _trained(Path(config.weights))
        if config.new_head:
            state = with_fresh(state, teacher, last_layer(teacher))
        load_state(teacher, state, config.weights)
        return teacher
    _fill(teacher, config)
    if other and classes is not None:
        put_new_head(teacher, config.name, classes)
    return teacher


def _takes_other_classes(config: TeacherConfig, teacher: Teacher, classes: int) -> bool:
    """Whether a registered teacher's head is replaced: by a fresh one, or by that of a file of one that had it."""
    return config.new_head or (is_file(config.weights) and teacher.classes not in (None, classes))


def _fill(teacher: Teacher, config: TeacherConfig) -> None:
    published = published_weights(config)
    if published is not None:
        load_state(teacher, *published.read(teacher))
    elif config.weights == "packaged":
        load_state(teacher, *_packaged(config.name))
    elif config.weights != "random":
        load_state(teacher, _trained(Path(config.weights)), config.weights)
    elif isinstance(config, BackboneConfig) and config.backbone is not None:
        state, path = _packaged(config.backbone)
        layers = {key.removeprefix(_CHAIN): value for key, value in state.items() if key.startswith(_CHAIN)}
        load_state(teacher.chain, layers, path)


def _packaged(name: str) -> tuple[dict[str, Tensor], Path]:
    """The weights of a packaged teacher, and where they come from; raises `CheckpointError`."""
    path = WEIGHTS / f"{name}.safetensors"
    known = json.loads((WEIGHTS / DIGESTS).read_text(encoding="utf-8"))
    if path.exists() and known.get(path.name) not in (None, digests.of_file(path)):
        raise CheckpointError(
            f"weights {path} have another digest than in {DIGESTS}; they are damaged: install the package again"
        )
    return _trained(path), path


def _trained(path: Path) -> dict[str, Tensor]:
    """A teacher's weights, those that a run has trained without the name that they have there."""
    return {key.removeprefix(TRAINED_PREFIX): value for key, value in read_weights(path).items()}
