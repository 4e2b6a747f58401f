"""The schemas of configurations: two levels, `group.field`."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any

from annotated_doc import Doc

from sc2bench.config.former import identity
from sc2bench.config.options import COUNTS, Options, changed, option
from sc2bench.config.stages import FORMER, STAGES, StageConfig
from sc2bench.core.registry import DATASETS, METHODS, TASKS, TEACHER_LIBRARIES, TEACHERS

# A field says what it means, and which names or texts can be chosen, beside its type: `sc2bench explain` prints that.
SPLITS = ("train", "validation", "test")


@dataclass
class TaskConfig(Options):
    """What is predicted, and from which data; data sets and tasks add options of their own."""

    name: Annotated[str, Doc("What is predicted."), TASKS] = "???"
    dataset: Annotated[str, Doc("The data that it is predicted from."), DATASETS] = "???"
    root: Annotated[
        str | None,
        Doc("Folder of the data set; null: its own search (environment variable, system folder, download)."),
    ] = option(None, counts="never")
    validation_fraction: Annotated[
        float | None,
        Doc(
            "Share of the training set that is held out for validation, where the data set has no split of its own for "
            "it; null: the data set's own share, and more of a small one."
        ),
    ] = None


@dataclass
class TeacherConfig(Options):
    """The reference model; teachers and libraries add options of their own."""

    name: Annotated[str, Doc("A model that is registered here, or one of the library's own."), TEACHERS] = "???"
    weights: Annotated[
        str,
        Doc(
            '"packaged" (of a model registered here), "random", or the path of a file (.safetensors, .pth, .pt); of a '
            'library also its own names ("DEFAULT", "IMAGENET1K_V1", ...; "pretrained", "ra3_in1k", ...) and '
            "hf-hub:owner/name."
        ),
    ] = "packaged"
    library: Annotated[
        str, Doc('Where the model comes from; "" for one that is registered here.'), TEACHER_LIBRARIES
    ] = ""
    new_head: Annotated[
        bool,
        Doc(
            "Whether the weights' own head is left out, and one for the data set's classes starts at random: to "
            "fine-tune the teacher."
        ),
    ] = False


@dataclass
class EvaluationConfig:
    """What is measured in the end."""

    split: Annotated[str, Doc("The part of the data set that is measured on."), SPLITS] = "test"
    batch_size: Annotated[int, Doc("Samples that the networks take at once, at most, on both sides.")] = 250
    samples: Annotated[
        int | None, Doc("Measures on a fixed part of so many, with its share of each class; null: all.")
    ] = None
    checksum: Annotated[bool, Doc("Whether packets carry one, so that any damage is noticed.")] = False
    numbered: Annotated[
        bool,
        Doc(
            "Whether packets that are dropped, repeated or put in another order are noticed; that takes a byte a "
            "packet without checksums, none with them."
        ),
    ] = False
    packet_pixels: Annotated[
        int | None,
        Doc("Pixels of an image that a receiver takes on itself to decode, at most; null: the package's own bound."),
    ] = None
    server_precision: Annotated[
        str,
        Doc(
            '"bf16": the server half computes its convolutions and matrix products in bfloat16, which is faster where '
            "the processor has it; bytes don't depend on it, predictions do a little."
        ),
        ("fp32", "bf16"),
    ] = "fp32"
    estimate: Annotated[
        bool,
        Doc("Whether the prior's estimate of the bits is measured, too, from the latents that are coded."),
    ] = True
    latency_repeats: Annotated[
        int, Doc("How often each half is timed on single images, fewer if that takes long; 0: not at all.")
    ] = 50
    threads: Annotated[
        int, Doc("Threads of PyTorch's operators while they are timed; one stands for a weak device.")
    ] = 1
    export: Annotated[
        bool,
        Doc(
            "Whether the device's half is exported as ONNX, where that is possible, to know the size of its file and "
            "its time on ONNX Runtime."
        ),
    ] = False
    export_int8: Annotated[bool, Doc("With export: also with an encoder that is quantized to 8 bits.")] = False
    batch_pixels: Annotated[int, Doc("Pixels that the networks take at once, at most, on both sides.")] = 1 << 24


@dataclass
class Settings:
    """The fields of an experiment that belong to no group."""

    rate: Annotated[
        float | None,
        Doc("The value of the method's rate knob, such as beta or a quality; null: the method has none."),
    ] = None
    seed: Annotated[int, Doc("Of everything that is random, 0 ... 2047.")] = 0
    mixed_precision: Annotated[
        str,
        Doc('Of training; "auto": what is fastest on the machine, "no": single precision.'),
        ("auto", "no", "bf16", "fp16"),
    ] = "auto"
    workers: Annotated[
        int | None, Doc("Processes that read data; null: as many as suit the machine, where it lies in files.")
    ] = None
    output: Annotated[str, Doc("Folder that records are written below.")] = "results"
    checkpoints: Annotated[str, Doc("Folder that trained weights are written below.")] = "checkpoints"


@dataclass
class ExperimentConfig(Settings):
    """One experiment: train (if the method learns) and measure one point of a rate-quality curve."""

    task: TaskConfig = field(default_factory=TaskConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    # An instance of the method's own `config_class`.
    method: Any = None
    stage1: StageConfig | None = None
    stage2: StageConfig | None = None
    stage3: StageConfig | None = None
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    source: Annotated[
        "ExperimentConfig | None",
        Doc(
            "The experiment whose trained device half is taken over, such as that of another task: a list of "
            "overrides, such as [task=ilsvrc2012, method=entropic_student, rate=0.16]."
        ),
    ] = None
    members: Annotated[
        list["ExperimentConfig"],
        Doc("Experiments whose trained server halves stand behind one device half: a list of lists of overrides."),
    ] = field(default_factory=list)

    @property
    def parts(self) -> list["ExperimentConfig"]:
        """The experiments that must be trained before this one."""
        return [*([] if self.source is None else [self.source]), *self.members]

    @property
    def stages(self) -> dict[str, StageConfig]:
        """The stages of training that are not null, in order."""
        named = {name: getattr(self, name) for name in ("stage1", "stage2", "stage3")}
        return {name: stage for name, stage in named.items() if stage is not None}

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain, JSON-ready values."""
        return _resolved(asdict(self))

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


def _digest(config: ExperimentConfig, leave_out: Iterable[str]) -> str:
    """Hashes all fields that differ from their defaults, so that a field added later changes no old hash.

    In turn a default must never be changed: new behaviour is a new field, or a value in a YAML file.
    """
    stages = {name: identity(stage) for name, stage in config.stages.items()}
    kept = changed(config, leave_out=(*leave_out, *stages)) | stages
    measured = _taken_out(config, kept)
    if "evaluation" not in leave_out and measured:
        kept["evaluation"] = kept.get("evaluation", {}) | measured
    # What "auto" comes to on a machine is a part of the surroundings; single precision is the usual.
    if config.mixed_precision == "no":
        kept.pop("mixed_precision", None)
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


def _taken_out(config: ExperimentConfig, kept: dict[str, Any]) -> dict[str, Any]:
    """Takes options out of the groups that they stand in which say nothing of training; gives those of measuring."""
    measured: dict[str, Any] = {}
    for group in ("task", "teacher", "method"):
        options = getattr(config, group)
        for each in fields(options) if group in kept and options is not None else ():
            counts = each.metadata.get(COUNTS, "always")
            if counts != "always" and each.name in kept[group]:
                value = kept[group].pop(each.name)
                measured |= {each.name: value} if counts == "measured" else {}
    return measured


def _in_random_order(dataset: str) -> bool:
    return dataset in DATASETS and getattr(DATASETS[dataset], "in_random_order", False)


def _resolved(config: dict[str, Any]) -> dict[str, Any]:
    """A whole configuration as plain values, without former options where a stage has none."""
    for name in STAGES:
        if config[name] is not None and not config[name][FORMER]:
            del config[name][FORMER]
    parts = [*([] if config["source"] is None else [config["source"]]), *config["members"]]
    for part in parts:
        _resolved(part)
    return _plain(config)


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
class MethodConfig(Options):
    """What a method can be told; each method has fields of its own beside its name."""

    name: Annotated[str, Doc("How the input is turned into bytes, and bytes into predictions."), METHODS] = "???"

    def has_rate(self) -> bool:
        """Whether the method's rate knob, if it has one, turns anything with these settings."""
        return True

    def learns(self) -> bool:
        """Whether the weights are worth nothing until they are trained here, whatever the method's file says."""
        return False


@dataclass
class CurveConfig:
    """One curve of a suite."""

    label: Annotated[str, Doc("What the curve is called in legends and tables.")] = "???"
    overrides: Annotated[list[str], Doc("key=value, of all points of the curve.")] = field(default_factory=list)
    rates: Annotated[list[float] | None, Doc("One point for each; null: one at the method's own default rate.")] = None
    color: Annotated[str | None, Doc("One of Matplotlib's, in quotes if it starts with #; null: the method's.")] = None
    marker: Annotated[str | None, Doc("One of Matplotlib's that has an inside; null: that of the method.")] = None
    order: Annotated[
        int, Doc("Curves stand by rising order in tables, legends and figures, those of one order as in the file.")
    ] = 0
    seeds: Annotated[
        list[int] | None,
        Doc(
            "Each rate is trained and measured with each of them, and reported with mean and spread; null: with one "
            "seed."
        ),
    ] = None


@dataclass
class SuiteConfig:
    """A file of curves, configs/suite/NAME.yaml, that are measured and drawn together."""

    name: Annotated[str, Doc("Of the folder of results; without it, that of the file.")] = "???"
    curves: Annotated[
        list[CurveConfig], Doc("The curves; of included suites, those of the same label are changed.")
    ] = field(default_factory=list)
    overrides: Annotated[list[str], Doc("key=value, of all curves.")] = field(default_factory=list)
    anchor: Annotated[
        str | None, Doc("Label of the curve that the Bjontegaard delta rates refer to; null: there are none.")
    ] = None
    metric: Annotated[
        str | None,
        Doc("What curves are compared by; null: each task's main metric, as a suite of several tasks must have it."),
    ] = None
    figures: Annotated[
        dict[str, list[str]],
        Doc("File names, and the labels of the curves that each figure shows, the main one first; {}: one with all."),
    ] = field(default_factory=dict)
