"""Options that belong to what they configure: what is registered has a dataclass of them, its `config_class`.

Those of losses, optimizers and schedules derive from `LossConfig`, `OptimizerConfig` and `ScheduleConfig`; those of
data sets and tasks, teachers and methods from `TaskConfig`, `TeacherConfig` and `MethodConfig` of `schemas`.
"""

from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal

from annotated_doc import Doc
from omegaconf import MISSING as REQUIRED

from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import Registry, configured

FORMERLY = "formerly"
IN_EPOCHS = "in_epochs"
COUNTS = "counts"
# What experiments are named by: all that says what is learned, what is measured, or nothing of the option.
Counts = Literal["always", "measured", "never"]
_BOUNDS = "bounds"


def option(
    default: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    in_epochs: bool = False,
    formerly: str | None = None,
    counts: Counts = "always",
) -> Any:
    """A field of a dataclass of options, whose values are checked before anything runs.

    Args:
        default: what it is unless it is set; must never be changed, for experiments are named by what differs from it.
        least: the least value.
        most: the largest one.
        above: what values must be larger than.
        in_epochs: whether it is a list of epochs of the stage, which move along where the number of epochs is changed.
        formerly: the key that it had when all options lay in the stage. Experiments are still named by that, and
            configurations that were stored then are read. Nothing new has one.
        counts: of a task, a data set, a teacher or a method: "measured" for what changes no training, only what is
            measured; "never" for what changes no result, such as a place.
    """
    metadata = {_BOUNDS: (least, most, above), IN_EPOCHS: in_epochs, FORMERLY: formerly, COUNTS: counts}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class Options:
    """Base of all options; `name` is the key in the registry of what they belong to."""

    name: Annotated[str, Doc("What is registered, as lists of names have it.")] = REQUIRED

    def problems(self) -> dict[str, str]:
        """Names of the fields whose values don't go with those of the others, each with the reason and the way out."""
        return {}

    def unused(self) -> dict[str, str]:
        """Names of the fields that have no effect beside the values of the others, each with the reason."""
        return {}


@dataclass
class LossConfig(Options):
    """Base of what a loss can be told."""

    weight: Annotated[float, Doc("What it is multiplied by in the sum of the stage's losses.")] = REQUIRED


@dataclass
class FeatureLossConfig(LossConfig):
    """Of losses that compare outputs of layers."""

    layers: Annotated[list[str], Doc("Those that are compared; []: the stage's features.")] = field(
        default_factory=list
    )


@dataclass
class OptimizerConfig(Options):
    """Base of what an optimizer can be told; the learning rates, which all have, are the stage's."""


@dataclass
class ScheduleConfig(Options):
    """Base of what a schedule of the learning rate can be told."""


def check_config_class(what: str, config_class: Any, base: type[Options]) -> None:
    """Raises `ConfigError` unless something is registered with a dataclass of options of its kind.

    Args:
        what: is registered, as errors name it.
        config_class: of its options.
        base: of all of its kind.
    """
    derived = isinstance(config_class, type) and issubclass(config_class, base)
    # Without a decorator of its own a class has only the fields of its base, and takes its options for nothing.
    if not derived or ("__annotations__" in vars(config_class) and "__dataclass_fields__" not in vars(config_class)):
        raise ConfigError(
            f"{what}: its config_class is no dataclass derived from {base.__name__}; derive it, and decorate it with "
            "@dataclass"
        )


def registered(registry: Registry[Any], name: str, config_class: Any, base: type[Options]) -> Callable[[Any], Any]:
    """Returns a decorator that registers a function with the dataclass of its options.

    Raises:
        ConfigError: the name is taken, or `config_class` is no dataclass derived from `base`.
    """
    check_config_class(f"{registry.kind} '{name}'", config_class, base)

    def decorate(function: Any) -> Any:
        return registry.register(name)(configured(config_class)(function))

    return decorate


def config_class_of(registry: Any, name: str, key: str) -> Any:
    """The dataclass of the options of a registered loss, optimizer or schedule.

    Args:
        registry: of its kind.
        name: in the registry.
        key: of the configuration, named by errors.

    Raises:
        ConfigError: none is registered under the name, or it has no such dataclass.
    """
    try:
        found = getattr(registry[name], "config_class", None)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Options) and is_dataclass(found)):
        raise ConfigError(
            f"{key}: {registry.kind} '{name}' is registered without a config_class; register it with "
            f"sc2bench.training.register_{registry.kind}"
        )
    return found


def check_options(key: str, options: Options, epochs: int) -> None:
    """Raises `ConfigError` that names the full key of the first value out of its range, or that fits no other one."""
    for each in fields(options):
        value = getattr(options, each.name)
        least, most, above = each.metadata.get(_BOUNDS, (None, None, None))
        where = f"{key}.{each.name}"
        if value is None or isinstance(value, bool | str | dict):
            continue
        for number in value if isinstance(value, list) else [value]:
            _check_number(where, number, least, most, above)
        if each.metadata.get(IN_EPOCHS) and any(not 0 < place < epochs for place in value):
            raise ConfigError(f"{where}: {value} must lie between 1 and epochs - 1 = {epochs - 1}")
    for name, reason in options.problems().items():
        raise ConfigError(f"{key}.{name}: {reason}")


def _check_number(key: str, value: Any, least: float | None, most: float | None, above: float | None) -> None:
    if least is not None and most is not None and not least <= value <= most:
        raise ConfigError(f"{key}: {value} is not in {least:g} ... {most:g}")
    if least is not None and value < least:
        raise ConfigError(f"{key}: {value} is below the least value, {least:g}")
    if most is not None and value > most:
        raise ConfigError(f"{key}: {value} is above the largest value, {most:g}")
    if above is not None and not value > above:
        raise ConfigError(f"{key}: {value} must be above {above:g}")


def default_of(of: "Field[Any]") -> Any:
    """What a field is unless it is set; for one that must be set, what no value equals."""
    return of.default if of.default_factory is MISSING else of.default_factory()


def changed(value: Any, leave_out: Iterable[str] = ()) -> Any:
    """A dataclass as a dictionary of the fields that differ from their defaults; anything else as it is."""
    if not is_dataclass(value) or isinstance(value, type):
        return value
    kept = {f.name: getattr(value, f.name) for f in fields(value) if f.name not in leave_out}
    return {f.name: changed(kept[f.name]) for f in fields(value) if f.name in kept and kept[f.name] != default_of(f)}


def inherited_by_both(one: type, other: type) -> set[str]:
    """The names of the fields that two dataclasses have from a common base."""
    bases = [base for base in one.__mro__ if base in other.__mro__ and is_dataclass(base)]
    return {each.name for base in bases for each in fields(base)}
