"""The schemas of configurations, their checks, and composing them from YAML and the command line.

A configuration has two levels, `group.field`. YAML files under `configs/` fill the groups; `key=value` overrides
come last. What a method adds (`method.*`) is a dataclass in the method's own file, found through the registry.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sc2bench.errors import ConfigError, nearest
from sc2bench.registry import AUGMENTATIONS, DATASETS, LOSSES, METHODS, TASKS, TEACHERS

SCHEDULES = ("constant", "one_cycle", "cosine", "polynomial", "multi_step")
OPTIMIZERS = ("adam", "adamw", "sgd")
MAX_SEED = 2048
PRECISIONS = ("auto", "no", "bf16", "fp16")
# Groups whose choice is a file, as in `method=entropic_student`.
FILE_GROUPS = ("task", "method", "recipe")


@dataclass
class TaskConfig:
    """What is predicted, and from which data."""

    name: str = "???"
    dataset: str = "???"
    # Folder of the data set; None: the data set's own search (environment variable, system folder, download).
    root: str | None = None


@dataclass
class TeacherConfig:
    """The reference model. `weights`: "packaged", "random", or the path of a safetensors file."""

    name: str = "???"
    weights: str = "packaged"


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
    # Limit the training set to its first samples; None: all.
    samples: int | None = None


@dataclass
class EvaluationConfig:
    """What is measured in the end. `samples`: the first ones of the split; None: all."""

    split: str = "test"
    batch_size: int = 250
    samples: int | None = None
    checksum: bool = False


@dataclass
class Settings:
    """The fields of an experiment that belong to no group."""

    # The value of what the method calls its rate knob: beta, quality, ...
    rate: float | None = None
    seed: int = 0
    mixed_precision: str = "auto"
    workers: int = 0
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

    @property
    def stages(self) -> dict[str, StageConfig]:
        """The stages of training that are not null, in order."""
        named = {name: getattr(self, name) for name in ("stage1", "stage2", "stage3")}
        return {name: stage for name, stage in named.items() if stage is not None}

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain, JSON-ready values."""
        return asdict(self)

    def training_hash(self) -> str:
        """Names everything that the trained weights depend on, as 12 hexadecimal digits."""
        return _digest(self, leave_out=("evaluation", *_PLACES))

    def config_hash(self) -> str:
        """Names everything that the measured point depends on, as 12 hexadecimal digits."""
        return _digest(self, leave_out=_PLACES)


# Where things lie and how many processes read them changes no result.
_PLACES = ("output", "checkpoints", "workers")


def _digest(config: RunConfig, leave_out: Iterable[str]) -> str:
    """Hashes all fields that differ from their defaults, so that a field added later changes no old hash.

    In turn a default must never be changed: new behaviour is a new field, or a value in a YAML file.
    """
    kept = {key: value for key, value in _changed(config).items() if key not in leave_out}
    kept["task"].pop("root", None)
    text = json.dumps(kept, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _changed(value: Any) -> Any:
    """A dataclass as a dictionary of the fields that differ from their defaults; anything else as it is."""
    if not is_dataclass(value) or isinstance(value, type):
        return value
    default = type(value)()
    names = [f.name for f in fields(value) if getattr(value, f.name) != getattr(default, f.name)]
    return {name: _changed(getattr(value, name)) for name in names}


@dataclass
class MethodConfig:
    """Base of what a method can be told; `name` is its key in the registry."""

    name: str = "???"


@dataclass
class CurveConfig:
    """One curve of a suite: overrides that all its points share, and the rates."""

    label: str = "???"
    overrides: list[str] = field(default_factory=list)
    # None: one point at the method's own default rate.
    rates: list[float] | None = None


@dataclass
class SuiteConfig:
    """A list of curves, measured and drawn together."""

    name: str = "???"
    curves: list[CurveConfig] = field(default_factory=list)
    # Overrides that all curves share.
    overrides: list[str] = field(default_factory=list)
    # The curve that the Bjontegaard delta rates refer to.
    anchor: str | None = None
    metric: str = "top1"


@cache
def config_dir() -> Path:
    """The folder of the YAML files: inside an installed package, or at the top of a source tree."""
    here = Path(__file__).resolve().parent
    for folder in (here / "configs", here.parent / "configs"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder configs/ is missing beside {here}; install sc2bench again")


def compose(overrides: Sequence[str] = (), config_dirs: Sequence[str] = ()) -> RunConfig:
    """Composes one experiment from the YAML files and overrides, and checks it.

    Args:
        overrides: `key=value`; `task=`, `method=` and `recipe=` choose files, all others set fields.
        config_dirs: further folders to look for files in, laid out like `configs/`.

    Raises:
        ConfigError: an unknown key, name or file, a wrong type or value; the sentence names the full key.
    """
    places = [config_dir(), *(Path(folder).resolve() for folder in config_dirs)]
    arguments = [_checked_override(text, places) for text in overrides]
    search = ",".join(f"file://{place}" for place in places[1:])
    try:
        with initialize_config_dir(str(places[0]), version_base="1.3"):
            composed = hydra_compose("run", [f"hydra.searchpath=[{search}]", *arguments])
        raw = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"the configuration can't be composed: {_sentence(error)}") from error
    assert isinstance(raw, dict)
    return from_resolved({str(key): value for key, value in raw.items()})


def from_resolved(raw: dict[str, Any]) -> RunConfig:
    """Checks a configuration that is whole already, such as one stored with a record; raises `ConfigError`."""
    config = _typed_run(raw)
    _check(config)
    return config


def load_suite(name: str, config_dirs: Sequence[str] = ()) -> SuiteConfig:
    """Reads a suite by name (from `configs/suite/`) or by the path of a YAML file.

    Raises:
        ConfigError: no such suite, a typo in it, or a suite without curves.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = suite_files(config_dirs)
        if name not in known:
            raise ConfigError(f"unknown suite '{name}'; {nearest(name, known)}")
        path = known[name]
    try:
        raw = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"suite file {path} can't be read: {_sentence(error)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"suite file {path} is not valid YAML: {_sentence(error)}") from error
    if not isinstance(raw, dict) or not raw.get("curves"):
        raise ConfigError(f"suite file {path} lists no curves; add at least one under 'curves:'")
    raw = {str(key): value for key, value in raw.items()}
    raw.setdefault("name", path.stem)
    raw["curves"] = [_typed(CurveConfig, curve, f"curves[{i}]") for i, curve in enumerate(raw["curves"])]
    curves = raw.pop("curves")
    suite = _typed(SuiteConfig, raw, "", extra=("curves",))
    suite.curves = curves
    labels = [curve.label for curve in curves]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"suite '{suite.name}' has two curves with the label '{label}'; give each its own")
    if suite.anchor is not None and suite.anchor not in labels:
        raise ConfigError(
            f"anchor: suite '{suite.name}' has no curve '{suite.anchor}'; {nearest(suite.anchor, labels)}"
        )
    return suite


def suite_files(config_dirs: Sequence[str] = ()) -> dict[str, Path]:
    """The suites of `configs/suite/` and of further folders, by name."""
    places = [config_dir(), *(Path(folder) for folder in config_dirs)]
    return {file.stem: file for place in places for file in (place / "suite").glob("*.yaml")}


def _checked_override(text: str, places: Sequence[Path]) -> str:
    """Checks the form of one override, and the file that it names; gives it as Hydra takes it."""
    key, separator, value = text.partition("=")
    key = key.lstrip("+~")
    if not separator or not key:
        raise ConfigError(f"'{text}' is not of the form key=value")
    try:
        OverridesParser.create().parse_override(f"++{key}={value}")
    except HydraException as error:
        raise ConfigError(f"{key}: the value '{value}' can't be parsed: {_sentence(error)}; quote it") from error
    if key in FILE_GROUPS:
        known = [file.stem for place in places for file in (place / key).glob("*.yaml")]
        if value not in known:
            raise ConfigError(f"{key}: unknown {key} '{value}'; {nearest(value, known)}")
        return f"{key}={value}"
    # Forced adding lets every key through to the schema, which knows the nearest field; Hydra does not.
    return f"++{key}={value}"


def _typed_run(raw: dict[str, Any]) -> RunConfig:
    schemas = {
        "task": TaskConfig,
        "teacher": TeacherConfig,
        "method": _method_schema(raw.get("method")),
        "stage1": StageConfig,
        "stage2": StageConfig,
        "stage3": StageConfig,
        "evaluation": EvaluationConfig,
    }
    scalars = {key: value for key, value in raw.items() if key not in schemas}
    settings = _typed(Settings, scalars, "", extra=schemas)
    groups = {}
    for name, schema in schemas.items():
        if raw.get(name) is not None:
            groups[name] = _typed(schema, _without_null_losses(raw[name]), name)
    return RunConfig(**vars(settings), **groups)


def _method_schema(method: Any) -> type:
    if not isinstance(method, dict) or "name" not in method:
        raise ConfigError("no method is chosen; add method=NAME")
    try:
        return METHODS[method["name"]].config_class
    except ConfigError as error:
        raise ConfigError(f"method.name: {error}") from None


def _without_null_losses(group: Any) -> Any:
    """Files are merged key by key, so a recipe drops a loss of the method's file by setting it to null."""
    if isinstance(group, dict) and isinstance(group.get("losses"), dict):
        return group | {"losses": {name: weight for name, weight in group["losses"].items() if weight is not None}}
    return group


def _typed(schema: type, raw: Any, prefix: str, extra: Iterable[str] = ()) -> Any:
    """Turns a dictionary into an instance of a dataclass, with the full key in every error.

    Args:
        schema: the dataclass.
        raw: the dictionary.
        prefix: what stands before the fields in a full key; empty at the top.
        extra: further keys that are known but not filled here.
    """

    def full(key: str) -> str:
        return f"{prefix}.{key}" if prefix else key

    if not isinstance(raw, dict):
        raise ConfigError(f"{prefix}: expected fields, got '{raw}'")
    known = [f.name for f in fields(schema)]
    for key in raw:
        if key not in known:
            raise ConfigError(
                f"unknown key '{full(key)}'; {nearest(full(key), [full(name) for name in (*known, *extra)])}"
            )
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), raw)
        missing = sorted(str(key) for key in OmegaConf.missing_keys(merged))
        if missing:
            raise ConfigError(f"{full(missing[0])}: no value is given")
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        where = full(str(error.full_key)) if getattr(error, "full_key", None) else prefix
        raise ConfigError(f"{where}: {_sentence(error)}") from error


def _check(config: RunConfig) -> None:
    """Checks values that a type can't: names, ranges, and fields that depend on each other."""
    _known("task.name", config.task.name, TASKS)
    _known("task.dataset", config.task.dataset, DATASETS)
    _known("teacher.name", config.teacher.name, TEACHERS)
    _one_of("mixed_precision", config.mixed_precision, PRECISIONS)
    _one_of("evaluation.split", config.evaluation.split, ("train", "validation", "test"))
    _at_least("evaluation.batch_size", config.evaluation.batch_size, 1)
    _at_least("evaluation.samples", config.evaluation.samples, 1)
    _at_least("workers", config.workers, 0)
    if not 0 <= config.seed < MAX_SEED:
        raise ConfigError(f"seed: {config.seed} is not in 0 ... {MAX_SEED - 1}")
    for name, stage in config.stages.items():
        _one_of(f"{name}.schedule", stage.schedule, SCHEDULES)
        _one_of(f"{name}.optimizer", stage.optimizer, OPTIMIZERS)
        _one_of(f"{name}.select", stage.select, ("loss", "quality"))
        _at_least(f"{name}.epochs", stage.epochs, 1)
        _at_least(f"{name}.batch_size", stage.batch_size, 1)
        _at_least(f"{name}.samples", stage.samples, stage.batch_size)
        _above(f"{name}.learning_rate", stage.learning_rate, 0)
        _above(f"{name}.kd_temperature", stage.kd_temperature, 0)
        if not stage.losses:
            raise ConfigError(f"{name}.losses: empty; name at least one loss")
        for loss in stage.losses:
            _known(f"{name}.losses", loss, LOSSES)
        for augmentation in stage.augment:
            _known(f"{name}.augment", augmentation, AUGMENTATIONS)
        if stage.schedule == "multi_step" and any(not 0 < m < stage.epochs for m in stage.milestones):
            raise ConfigError(
                f"{name}.milestones: {stage.milestones} must lie between 1 and epochs - 1 = {stage.epochs - 1}"
            )
    knob = METHODS[config.method.name].rate_knob
    if knob is not None and config.rate is None:
        raise ConfigError(f"rate: method '{config.method.name}' needs one; add rate=VALUE (its {knob})")


def _known(key: str, name: str, registry: Any) -> None:
    try:
        registry[name]
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


def _one_of(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"{key}: unknown value '{value}'; {nearest(value, known)}")


def _at_least(key: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ConfigError(f"{key}: {value} is below the least value, {least}")


def _above(key: str, value: float, bound: float) -> None:
    if not value > bound:
        raise ConfigError(f"{key}: {value} must be above {bound}")


def _sentence(error: BaseException) -> str:
    """What a library's error says, on one line."""
    if isinstance(error, yaml.YAMLError):
        return " ".join(str(error).split())
    # OmegaConf and Hydra add lines about their own internals.
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
