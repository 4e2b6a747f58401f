"""The schemas of configurations: two levels, `group.field`."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from sc2bench.registry import DATASETS


@dataclass
class TaskConfig:
    """What is predicted, and from which data."""

    name: str = "???"
    dataset: str = "???"
    # Folder of the data set; None: the data set's own search (environment variable, system folder, download).
    root: str | None = None
    # For data sets of files, in pixels: the shorter side is resized to `resize`, and `crop` x `crop` cut out of the
    # middle (in training: out of a random place). None: the data set's own sizes. For segmentation nothing is cut out
    # but in training, and None leaves images as they are.
    resize: int | None = None
    crop: int | None = None
    interpolation: str = "bilinear"
    # Share of the training set that is held out for validation, where the data set has no split of its own for it;
    # None: the data set's own share, and more of a small one.
    validation_fraction: float | None = None
    # For photographs in class folders. `classes`: what the folders' names mean, "imagenet1k": some of ImageNet's 1000
    # classes, by WordNet IDs or by indices; "folders": each is a class; None: the data set's own meaning.
    classes: str | None = None
    # Training sees random squares of so many pixels a side out of the middle of the resized images, in their scale;
    # None: random parts of any scale and shape, resized to `crop`.
    training_crop: int | None = None
    # Images are decoded once and kept, in memory or in a file of the cache that is mapped into it.
    keep_decoded: bool = False


@dataclass
class TeacherConfig:
    """The reference model.

    `library`: "" for a model that is registered here; "torchvision" or "timm": `name` is that library's own.
    `weights`: "packaged" (of a model registered here), "random", the path of a file (.safetensors, .pth, .pt); of a
    library also its own names ("DEFAULT", "IMAGENET1K_V1", ...; "pretrained", "ra3_in1k", ...) and hf-hub:owner/name.
    `backbone`: a model registered here whose packaged stages are what one with random weights starts with.
    """

    name: str = "???"
    weights: str = "packaged"
    library: str = ""
    backbone: str | None = None


@dataclass
class StageConfig:
    """One stage of training.

    `trainable` lists modules of the split model by path; everything else is frozen and in evaluation mode.
    `losses` maps loss names to weights; `features` lists the stages of the teacher whose outputs are imitated.
    """

    epochs: int = 10
    batch_size: int = 64
    trainable: list[str] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)
    kd_alpha: float = 0.5
    kd_temperature: float = 1.0
    label_smoothing: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    # The prior's own parameters want a larger step than the transforms; None: the same.
    prior_learning_rate: float | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "multi_step"
    warmup: float = 0.2
    milestones: list[int] = field(default_factory=list)
    gamma: float = 0.1
    augment: list[str] = field(default_factory=list)
    # What the best epoch is chosen by on validation: the stage's own loss, or the task's main metric ("quality").
    select: str = "loss"
    # Limit the training set to a fixed part of it, which has its share of each class; None: all.
    samples: int | None = None
    # Batches whose gradients are averaged to one step of the optimizer.
    accumulation_steps: int = 1


@dataclass
class EvaluationConfig:
    """What is measured in the end. `samples`: a fixed part of the split, with its share of each class; None: all.

    `batch_size` is the most samples, and `batch_pixels` the most pixels that the networks take at once, on both sides.
    `coco_backend`: what computes mean average precision, "pycocotools" or "faster_coco_eval".
    `server_precision`: "fp32", or "bf16" for a server half that computes its convolutions and matrix products in
    bfloat16, which is faster where the processor has it. Bytes don't depend on it, predictions do a little.
    `estimate`: whether the prior's estimate of the bits is measured, too, from the latents that are coded.
    `latency_repeats`: how often each half is timed on single images, fewer if that takes long; 0: not at all.
    `threads`: of PyTorch's operators while it is timed; one stands for a weak device.
    `numbered`: packets that are dropped, repeated or put in another order are noticed; that takes a byte a packet
    without checksums, none with them.
    `packet_pixels`: of an image that a receiver takes on itself, see `Limits`; None: its default.
    `export`: the device's half is exported as ONNX, where that is possible, to know the size of its file and its time
    on ONNX Runtime. `export_int8`: also with a quantized encoder.
    `bootstrap`: how often images are drawn again for the confidence intervals of mAP and mIoU; 0: they have none. For
    mAP that takes about 2 seconds for 500 images and 20 for COCO's 5,000. It changes no measured value, so that it
    does not make another point.
    """

    split: str = "test"
    batch_size: int = 250
    samples: int | None = None
    checksum: bool = False
    numbered: bool = False
    packet_pixels: int | None = None
    coco_backend: str = "pycocotools"
    server_precision: str = "fp32"
    estimate: bool = True
    latency_repeats: int = 50
    threads: int = 1
    export: bool = False
    export_int8: bool = False
    batch_pixels: int = 1 << 24
    bootstrap: int = 1000


@dataclass
class Settings:
    """The fields of an experiment that belong to no group."""

    # The value of what the method calls its rate knob: beta, quality, ...
    rate: float | None = None
    seed: int = 0
    mixed_precision: str = "auto"
    # Processes that read data; None: as many as suit the machine, where it lies in files.
    workers: int | None = None
    output: str = "results"
    checkpoints: str = "checkpoints"


@dataclass
class RunConfig(Settings):
    """One experiment: train (if the method learns) and measure one point of a rate-quality curve."""

    task: TaskConfig = field(default_factory=TaskConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    # An instance of the method's own `config_class`.
    method: Any = None
    stage1: StageConfig | None = None
    stage2: StageConfig | None = None
    stage3: StageConfig | None = None
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    # The experiment whose trained device half is taken over, such as that of another task.
    source: "RunConfig | None" = None
    # Experiments whose trained server halves stand behind one device half.
    members: list["RunConfig"] = field(default_factory=list)

    @property
    def parts(self) -> list["RunConfig"]:
        """The experiments that must be trained before this one."""
        return [*([] if self.source is None else [self.source]), *self.members]

    @property
    def stages(self) -> dict[str, StageConfig]:
        """The stages of training that are not null, in order."""
        named = {name: getattr(self, name) for name in ("stage1", "stage2", "stage3")}
        return {name: stage for name, stage in named.items() if stage is not None}

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain, JSON-ready values."""
        return _plain(asdict(self))

    def training_hash(self) -> str:
        """Names everything that the trained weights depend on, as 12 hexadecimal digits."""
        return _digest(self, leave_out=("evaluation", *_PLACES))

    def config_hash(self) -> str:
        """Names everything that the measured point depends on, as 12 hexadecimal digits."""
        return _digest(self, leave_out=_PLACES)


# Where things lie and how many processes read them changes no result.
_PLACES = ("output", "checkpoints", "workers")
# The groups that may limit what is used of the data.
_LIMITED = ("stage1", "stage2", "stage3", "evaluation")
# Of the evaluation: what says more about a measured point, and does not change it.
_ADDITIONS = ("bootstrap",)


def _digest(config: RunConfig, leave_out: Iterable[str]) -> str:
    """Hashes all fields that differ from their defaults, so that a field added later changes no old hash.

    In turn a default must never be changed: new behaviour is a new field, or a value in a YAML file.
    """
    kept = {key: value for key, value in _changed(config).items() if key not in leave_out}
    for place in ("root", "keep_decoded"):
        kept.get("task", {}).pop(place, None)
    # What "auto" comes to on a machine is a part of the surroundings; single precision is the usual.
    if config.mixed_precision == "no":
        kept.pop("mixed_precision", None)
    evaluation = {key: value for key, value in kept.pop("evaluation", {}).items() if key not in _ADDITIONS}
    if evaluation:
        kept["evaluation"] = evaluation
    if config.source is not None:
        kept["source"] = config.source.training_hash()
    if config.members:
        kept["members"] = [member.training_hash() for member in config.members]
    limited = any(isinstance(group, dict) and "samples" in group for group in map(kept.get, _LIMITED))
    if limited and not _in_random_order(config.task.dataset):
        # Before parts were fixed and fair, `samples` took the first ones.
        kept["part"] = "spread"
    text = json.dumps(_plain(kept), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _in_random_order(dataset: str) -> bool:
    return dataset in DATASETS and getattr(DATASETS[dataset], "in_random_order", False)


def _changed(value: Any) -> Any:
    """A dataclass as a dictionary of the fields that differ from their defaults; anything else as it is."""
    if not is_dataclass(value) or isinstance(value, type):
        return value
    kept = {f.name: getattr(value, f.name) for f in fields(value)}
    return {f.name: _changed(kept[f.name]) for f in fields(value) if kept[f.name] != _default(f)}


def _default(of: "Field[Any]") -> Any:
    """What a field is unless it is set; for one that must be set, what no value equals."""
    return of.default if of.default_factory is MISSING else of.default_factory()


def _plain(value: Any) -> Any:
    """Values as JSON has them: names of enumerations, paths as texts, bytes in hexadecimal digits."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, PurePath) else value


@dataclass
class MethodConfig:
    """Base of what a method can be told; `name` is its key in the registry."""

    name: str = "???"

    def unused(self) -> dict[str, str]:
        """Names of the fields that have no effect beside the values of the others, each with the reason."""
        return {}


@dataclass
class CurveConfig:
    """One curve of a suite: overrides that all its points share, and the rates, each with every seed."""

    label: str = "???"
    overrides: list[str] = field(default_factory=list)
    # None: one point at the method's own default rate.
    rates: list[float] | None = None
    # How it is drawn: a colour and a marker of Matplotlib's; None: those of its method.
    color: str | None = None
    marker: str | None = None
    # Curves stand by rising order in tables, legends and figures, those of one order as in the file.
    order: int = 0
    # Each rate is trained and measured with each of them, and reported with mean and spread. None: with one seed.
    seeds: list[int] | None = None


@dataclass
class SuiteConfig:
    """A list of curves, measured and drawn together."""

    name: str = "???"
    curves: list[CurveConfig] = field(default_factory=list)
    # Overrides that all curves share.
    overrides: list[str] = field(default_factory=list)
    # The curve that the Bjontegaard delta rates refer to.
    anchor: str | None = None
    # What curves are compared by; None: each task's main metric. A suite of several tasks has no other choice.
    metric: str | None = None
    # File names and the labels of the curves that each figure shows, the main one first. Empty: one with all curves.
    figures: dict[str, list[str]] = field(default_factory=dict)
