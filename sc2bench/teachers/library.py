"""What the libraries of models have in common: where weights come from, and what to say when they don't."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar
from urllib.parse import urlparse

import torch
from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from torch import Tensor, nn

from sc2bench.config import TeacherConfig
from sc2bench.core.errors import CheckpointError, ConfigError
from sc2bench.core.state import load_state
from sc2bench.teachers.base import Teacher
from sc2bench.teachers.files import SUFFIXES, TRAINED_PREFIX, fill, read_weights
from sc2bench.teachers.new_head import FINE_TUNE, OtherClasses, of_classes, with_fresh

HUB = "hf-hub:"
# What the hub's repositories call the weights, the preferred name first.
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_LISTED = 12
# Of networks and disks, and what damaged files raise when they are read.
_FAILURES = (
    OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError,
    UnpicklingError, SafetensorError,
)  # fmt: skip


class Library(ABC):
    """A library of models, whose names and weights a configuration may use."""

    name: ClassVar[str]
    config_class: ClassVar[type[TeacherConfig]] = TeacherConfig

    @abstractmethod
    def check(self, config: TeacherConfig) -> None:
        """Raises `ConfigError` if the library has no such model, or the model no such weights; downloads nothing."""

    @abstractmethod
    def build(self, config: TeacherConfig, classes: int | None) -> nn.Module:
        """Builds the model with random weights."""

    @abstractmethod
    def adapt(self, model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a file under the names of the library's present version."""

    @abstractmethod
    def pretrained(self, config: TeacherConfig) -> nn.Module:
        """Builds the model with weights of the library."""

    @abstractmethod
    def from_hub(self, config: TeacherConfig, classes: int | None) -> nn.Module:
        """Builds the model with weights of the Hugging Face hub."""

    @abstractmethod
    def classes(self, config: TeacherConfig) -> int:
        """How many classes the chosen weights of the library are for."""

    @abstractmethod
    def teacher(self, config: TeacherConfig, model: nn.Module) -> Teacher:
        """Gives the model its preprocessing."""

    @abstractmethod
    def address(self, config: TeacherConfig) -> tuple[str, bool]:
        """Where the chosen weights of the library lie, and whether they were downloaded before."""

    def load(self, config: TeacherConfig, classes: int | None) -> Teacher:
        """Builds a teacher and loads its weights; raises as `load_teacher` does."""
        self.check(config)
        if config.weights == "random":
            return self.teacher(config, _repeatably(partial(self.build, config), classes))
        if config.new_head and classes is not None:
            return self._with_new_head(config, classes)
        if is_file(config.weights):
            return self._from_file(config, classes)
        if config.weights.startswith(HUB):
            return self.teacher(config, self.from_hub(config, classes))
        expected = self.classes(config)
        if classes is not None and classes != expected:
            raise OtherClasses(
                f"teacher.weights: '{config.weights}' of {self.name}'s {config.name} has {expected} classes, but the "
                f"data set has {classes}; choose random, or the file of a model with {classes} classes, {FINE_TUNE}",
                expected,
            )
        return self.teacher(config, self.pretrained(config))

    def bare(self, config: TeacherConfig, classes: int | None, built_as: Mapping[str, Any]) -> Teacher:
        """Builds a teacher with random weights where `load` would fill in those of the configuration.

        Args:
            config: `weights` decides the architecture as it does in `load`, but is not read.
            classes: of the data set; `None`: as the library's weights have them.
            built_as: the attribute of the teacher that `load` gave, if it is known.

        Raises:
            ConfigError: no such model or weights.
        """
        self.check(config)
        named = not is_file(config.weights) and config.weights != "random" and not config.weights.startswith(HUB)
        if (named and not config.new_head) or classes is None:
            classes = self.classes(config)
        return self.teacher(config, self.build(config, classes))

    def downloads(self, config: TeacherConfig) -> list[str]:
        """What `load` would download; raises `ConfigError` if it would fail on a name."""
        self.check(config)
        if is_file(config.weights) or config.weights == "random":
            return []
        if config.weights.startswith(HUB):
            here = in_hub_cache(config.weights, HUB_FILES)
            return [] if here else [hub_address(config.weights, HUB_FILES[0])]
        address, here = self.address(config)
        return [] if here else [address]

    def hub_body(self, config: TeacherConfig) -> tuple[dict[str, Tensor], Callable[[int | None], nn.Module]]:
        """The weights of a model of the hub, and what builds one like it for any number of classes."""
        return self.from_hub(config, None).state_dict(), partial(self.build, config)

    def _from_file(self, config: TeacherConfig, classes: int | None) -> Teacher:
        path = Path(config.weights)
        state = read_weights(path)
        model = self.build(config, classes)
        own = _of_trained(state)
        try:
            if own is not None:
                teacher = self.teacher(config, model)
                load_state(teacher, own, path)
                return teacher
            fill(model, self.adapt(model, state), path)
        except CheckpointError as error:
            if classes is None or not self._differs_in_head(config, classes, state if own is None else own):
                raise
            raise CheckpointError(
                f"{error}; the data set has {classes} classes: take weights for them, {FINE_TUNE}"
            ) from error
        return self.teacher(config, model)

    def _differs_in_head(self, config: TeacherConfig, classes: int, state: Mapping[str, Tensor]) -> bool:
        """Whether nothing but the number of classes is wrong with the shapes of weights."""
        model, other = (self.build(config, number) for number in (classes, classes + 1))
        for one, two in ((model, other), (self.teacher(config, model), self.teacher(config, other))):
            own = one.state_dict()
            misshaped = {name for name in state if name in own and state[name].shape != own[name].shape}
            if misshaped and misshaped <= of_classes(one, two):
                return True
        return False

    def _with_new_head(self, config: TeacherConfig, classes: int) -> Teacher:
        """The weights' body with a random head, which is the seed's; raises as `load_teacher` does."""
        build: Callable[[int | None], nn.Module] = partial(self.build, config)
        if is_file(config.weights):
            state = read_weights(Path(config.weights))
        elif config.weights.startswith(HUB):
            state, build = self.hub_body(config)
        else:
            state = self.pretrained(config).state_dict()
        model, other = _repeatably(build, classes), build(classes + 1)
        own = _of_trained(state) if is_file(config.weights) else None
        if own is not None:
            teacher = self.teacher(config, model)
            head = of_classes(teacher, self.teacher(config, other))
            load_state(teacher, with_fresh(own, teacher, head), config.weights)
            return teacher
        fill(model, with_fresh(self.adapt(model, state), model, of_classes(model, other)), config.weights)
        return self.teacher(config, model)


def _repeatably(build: Callable[[int | None], nn.Module], classes: int | None) -> nn.Module:
    """Builds a model whose random weights depend on nothing but the seed that was set last."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch.initial_seed())
        return build(classes)


def _of_trained(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The weights of a teacher that a run has trained; `None` if these are a library's."""
    own = {key.removeprefix(TRAINED_PREFIX): value for key, value in state.items()}
    return own if any(key.startswith("chain.") for key in own) else None


def is_file(weights: str) -> bool:
    """Whether `weights` is meant as the path of a file rather than as a name."""
    return not weights.startswith(HUB) and ("/" in weights or weights.endswith(SUFFIXES))


def check_name(key: str, kind: str, name: str, known: Iterable[str]) -> None:
    """Raises `ConfigError` that names a few of the nearest known names: all of a library's would fill pages."""
    known = list(known)
    if name in known:
        return
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        raise ConfigError(f"{key}: unknown {kind} '{name}'; did you mean {' or '.join(close)}?")
    more = f", and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    raise ConfigError(f"{key}: unknown {kind} '{name}'; known: {', '.join(known[:_LISTED])}{more}")


@contextmanager
def downloading(address: str) -> Iterator[None]:
    """Turns the failure of a download, or a damaged file of an earlier one, into a `CheckpointError`.

    It says how to do without.
    """
    try:
        yield
    except (*_FAILURES, EntryNotFoundError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".") if lines else type(error).__name__
        raise CheckpointError(
            f"weights {address} can't be downloaded ({reason}); fetch that file by hand and give it as "
            "teacher.weights=/path/to/file"
        ) from error


def hub_address(weights: str, filename: str) -> str:
    """The address of a file on the hub, for `hf-hub:owner/name`, with @revision if need be; raises `ConfigError`."""
    repository, revision = _repository(weights)
    try:
        return hf_hub_url(repository, filename, revision=revision)
    except HFValidationError:
        raise ConfigError(f"teacher.weights: '{weights}' is not of the form {HUB}owner/name") from None


def in_hub_cache(weights: str, filenames: Iterable[str]) -> bool:
    """Whether one of the files was downloaded from the hub before."""
    repository, revision = _repository(weights)
    return any(isinstance(try_to_load_from_cache(repository, name, revision=revision), str) for name in filenames)


def in_url_cache(url: str) -> bool:
    """Whether PyTorch downloaded a file before."""
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name).exists()


def fetch_from_hub(weights: str) -> Path:
    """Downloads the weights of `hf-hub:owner/name`, if they were not before; raises `CheckpointError`."""
    repository, revision = _repository(weights)
    for name in HUB_FILES:
        # The hub's own function would ask the network first, and wait long where there is none.
        found = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(found, str):
            return Path(found)
    with downloading(hub_address(weights, HUB_FILES[0])):
        try:
            return Path(hf_hub_download(repository, HUB_FILES[0], revision=revision))
        except EntryNotFoundError as error:
            # The hub was not reached, so it won't be for the other name.
            if isinstance(error, LocalEntryNotFoundError):
                raise
            return Path(hf_hub_download(repository, HUB_FILES[1], revision=revision))


def _repository(weights: str) -> tuple[str, str | None]:
    repository, _, revision = weights.removeprefix(HUB).partition("@")
    return repository, revision or None
