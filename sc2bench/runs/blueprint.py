"""What building a model takes beyond its configuration, so that a trained one needs nothing but its folder.

The folder of a trained model holds `config.json`, the experiment; `model.json`, a blueprint; and `model.safetensors`,
all weights. Folders that are older than blueprints have no `model.json`; then the data set is asked.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed

from sc2bench.config import ExperimentConfig
from sc2bench.core.digests import read_object, sealed, unsealed
from sc2bench.core.errors import CheckpointError, ConfigError
from sc2bench.core.files import is_there, write_json
from sc2bench.data import load_dataset
from sc2bench.data.imagenet_folders import IMAGENET, PhotographsConfig, imagenet_wnids
from sc2bench.methods import SplitModel, build_model
from sc2bench.teachers import Teacher, bare_teacher, load_teacher
from sc2bench.teachers.new_head import OtherClasses
from sc2bench.wire.inputs import ImageSpec

BLUEPRINT = "model.json"
_FORMAT = 1
# Single precision keeps seven digits.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Blueprint:
    """What a model is built from beside its configuration.

    Attributes:
        spec: of its inputs.
        classes: how many its data set has; `None`: those that the teacher is known for.
        labels: their names, in the order of their indices; `None` where nobody said them, as of published checkpoints.
        teacher: what its library needs to build the teacher again; see `Teacher.built_as`.
        preprocess: how the teacher normalizes and scales images; empty if that is not known.
        members: the blueprints of the experiments that it joins.
    """

    spec: ImageSpec
    classes: int | None = None
    labels: tuple[str, ...] | None = None
    teacher: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    members: tuple["Blueprint", ...] = ()

    @classmethod
    def of_data(cls, config: ExperimentConfig) -> "Blueprint":
        """Asks the data sets of an experiment and its members; raises `DataError`."""
        dataset = load_dataset(config.task, config.evaluation.split)
        members = tuple(map(cls.of_data, config.members))
        return cls(dataset.spec, len(dataset.classes), dataset.classes, members=members)

    def after(self, teacher: Teacher) -> "Blueprint":
        """The same with what is known of the teacher."""
        classes = teacher.classes if self.classes is None else self.classes
        return replace(self, classes=classes, teacher=teacher.built_as, preprocess=_described(teacher))

    def load_teacher(self, config: ExperimentConfig) -> Teacher:
        """The teacher with its weights; raises as `sc2bench.teachers.load_teacher`."""
        return teacher_of(config, self.classes, self.labels or ())

    def bare_teacher(self, config: ExperimentConfig) -> Teacher:
        """The teacher without its weights.

        Raises:
            ConfigError: no such model or weights.
            CheckpointError: what is built here treats images differently from the teacher that the model is made of.
        """
        teacher = bare_teacher(config.teacher, self.classes, self.teacher)
        if self.preprocess and not _alike(_described(teacher), self.preprocess):
            raise CheckpointError(
                f"teacher '{config.teacher.name}' of this version normalizes or scales images differently from the one "
                f"that the weights belong to ({_described(teacher)} instead of {dict(self.preprocess)}); load them "
                "with the version, or the plugin, that they were trained with"
            )
        return teacher


def teacher_of(config: ExperimentConfig, classes: int | None, labels: Sequence[str]) -> Teacher:
    """The teacher of an experiment with its weights.

    Args:
        config: the experiment.
        classes: how many its data set has; `None`: those that the teacher is known for.
        labels: their names; those of parts of ImageNet show how a classifier of all its classes applies.

    Raises:
        CheckpointError: as `sc2bench.teachers.load_teacher`.
        ConfigError: as there.
    """
    try:
        return load_teacher(config.teacher, classes)
    except OtherClasses as error:
        wnids = imagenet_wnids() if isinstance(config.task, PhotographsConfig) and labels else ()
        if error.classes != len(wnids) or not set(labels) <= set(wnids):
            raise
        raise ConfigError(
            f"{error}; the class folders are named by WordNet IDs of ImageNet's 1000 classes: with "
            f"task.classes={IMAGENET} the teacher applies as it is"
        ) from error


def build(
    config: ExperimentConfig, blueprint: Blueprint, teacher: Teacher | None = None, *, bare: bool = False
) -> SplitModel:
    """Builds an experiment's model as it is before training, by its seed.

    Args:
        config: the experiment.
        blueprint: of it.
        teacher: whose modules are taken over; `None`: one of its own.
        bare: with random weights wherever others would be read, for a model whose own weights come next.

    Raises:
        ConfigError: the method can't be built so.
        CheckpointError: weights of a teacher are missing or unreadable.
    """
    if teacher is None:
        teacher = blueprint.bare_teacher(config) if bare else blueprint.load_teacher(config)
    blueprint = blueprint.after(teacher)
    set_seed(config.seed)
    members = [_build_member(member, of, bare) for member, of in zip(config.members, blueprint.members, strict=True)]
    model = build_model(_weightless(config) if bare else config, teacher, blueprint.spec, members)
    model.origin = Origin(config, replace(blueprint, members=tuple(member.origin.blueprint for member in members)))
    return model


def _build_member(config: ExperimentConfig, blueprint: Blueprint, bare: bool) -> SplitModel:
    teacher = blueprint.bare_teacher(config) if bare else blueprint.load_teacher(config)
    model = build_model(_weightless(config) if bare else config, teacher, blueprint.spec)
    model.origin = Origin(config, blueprint.after(teacher))
    return model


@dataclass(frozen=True)
class Origin:
    """What a model was built from.

    Attributes:
        config: its experiment.
        blueprint: what else it took.
    """

    config: ExperimentConfig
    blueprint: Blueprint


def write_blueprint(folder: Path, blueprint: Blueprint) -> None:
    """Writes `model.json`; raises `OutputError`."""
    write_json(folder / BLUEPRINT, sealed({"format": _FORMAT, **_to_json(blueprint)}))


def read_blueprint(folder: Path, config: ExperimentConfig) -> Blueprint | None:
    """Reads `model.json`; `None` if the folder is older than it.

    Raises:
        CheckpointError: damaged, of another version, or of another experiment than the folder's.
    """
    path = folder / BLUEPRINT
    if not is_there(path):
        return None
    try:
        values = unsealed(read_object(path))
        if values.pop("format", None) != _FORMAT:
            raise ValueError("its format is another one; install the version of sc2bench that wrote it")
        found = _from_json(values)
        if len(found.members) != len(config.members):
            raise ValueError(f"it joins {len(found.members)} experiments where {len(config.members)} are configured")
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} can't be read ({error}); fetch the folder again, or train anew") from error


def _to_json(blueprint: Blueprint) -> dict[str, Any]:
    spec = blueprint.spec
    return {
        "input": {"kind": "image", "channels": spec.channels, "size": None if spec.size is None else list(spec.size)},
        "classes": blueprint.classes,
        "labels": None if blueprint.labels is None else list(blueprint.labels),
        "teacher": dict(blueprint.teacher),
        "preprocess": dict(blueprint.preprocess),
        "members": [_to_json(member) for member in blueprint.members],
    }


def _from_json(values: dict[str, Any]) -> Blueprint:
    if values["input"]["kind"] != "image":
        raise ValueError(f"its inputs are of the kind '{values['input']['kind']}', which is unknown here")
    size = values["input"]["size"]
    return Blueprint(
        ImageSpec(int(values["input"]["channels"]), None if size is None else (int(size[0]), int(size[1]))),
        None if values["classes"] is None else int(values["classes"]),
        None if values["labels"] is None else tuple(map(str, values["labels"])),
        dict(values["teacher"]),
        dict(values["preprocess"]),
        tuple(map(_from_json, values["members"])),
    )


def _described(teacher: Teacher) -> dict[str, Any]:
    """What a teacher does to images before its chain; none of it is among the weights."""
    preprocess = teacher.preprocess
    statistics = {name: getattr(preprocess, name).flatten().tolist() for name in ("mean", "std")}
    return statistics | {"sizing": asdict(preprocess.sizing)}


def _alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    if first.keys() != second.keys() or first["sizing"] != second["sizing"]:
        return False
    pairs = [(torch.tensor(first[name]), torch.tensor(second[name])) for name in ("mean", "std")]
    return all(one.shape == other.shape and torch.allclose(one, other, rtol=_TOLERANCE) for one, other in pairs)


def _weightless(config: ExperimentConfig) -> ExperimentConfig:
    """The experiment without weights of the method itself, such as a pretrained image codec's."""
    if getattr(config.method, "weights", None) is None:
        return config
    method = deepcopy(config.method)
    method.weights = "random"
    return replace(config, method=method)
