"""What an image codec is."""

import importlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar, TypeVar

import numpy as np

from sc2bench.core.errors import ConfigError, InputError, Sc2benchError, nearest
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.inputs import check_coded_image

# Of which a codec keeps what images of one shape share; packets may name millions of shapes.
REMEMBERED_SHAPES = 4096
A = TypeVar("A")
B = TypeVar("B")


class ImageCodec(ABC):
    """Codes single images; subclasses implement `encode_image` and `decode_image`.

    Attributes:
        quality_range: least and greatest quality; `None` for a codec that has no knob, and takes none.
        whole_quality: whether the coder knows whole numbers only: rounded ones would be recorded as what they are not.
        option_choices: what can be chosen for each option, its default first; an empty tuple lets any text pass
            and makes the default "".
        local_options: the options that say where things lie on a machine and change no coded byte.

    Args:
        quality: the codec's own knob.
        options: texts, by the names in `option_choices`.

    Raises:
        ConfigError: a quality outside `quality_range` or between its steps, or given where the codec has none; an
            unknown option, or an unknown choice.
    """

    name: ClassVar[str]
    quality_range: ClassVar[tuple[float, float] | None]
    whole_quality: ClassVar[bool] = False
    mime: ClassVar[str] = ""
    option_choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    local_options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, quality: float | None = None, **options: str):
        self._check_quality(quality)
        self.quality = quality
        self.options = self._checked(options)

    def _check_quality(self, quality: float | None) -> None:
        if self.quality_range is None:
            if quality is not None:
                raise ConfigError(
                    f"codec '{self.name}' has no quality, so {quality:g} would change nothing; leave rate out"
                )
            return
        low, high = self.quality_range
        if quality is None or not low <= quality <= high:
            raise ConfigError(f"codec '{self.name}' can't code at quality {quality}; give rate={low:g} ... {high:g}")
        if self.whole_quality and quality != round(quality):
            raise ConfigError(f"codec '{self.name}' takes whole numbers, not quality {quality}; round the rate")

    def _checked(self, options: Mapping[str, str]) -> dict[str, str]:
        for name, value in options.items():
            if name not in self.option_choices:
                hint = nearest(name, self.option_choices)
                raise ConfigError(f"method.options.{name}: codec '{self.name}' has no such option; {hint}")
            choices = self.option_choices[name]
            if choices and value not in choices:
                raise ConfigError(
                    f"method.options.{name}: codec '{self.name}' does not know '{value}'; {nearest(value, choices)}"
                )
        return {name: (choices or ("",))[0] for name, choices in self.option_choices.items()} | dict(options)

    @property
    def variant(self) -> dict[str, str]:
        """The options that change the coded bytes and differ from their defaults."""
        return {
            name: value
            for name, value in self.options.items()
            if name not in self.local_options and value != (self.option_choices[name] or ("",))[0]
        }

    def session_bytes(self, shape: tuple[int, int, int]) -> bytes:
        """What the coded images of a session leave out because it is the same for all; sent once, in its header.

        Args:
            shape: (C, H, W) of the images.
        """
        return b""

    @abstractmethod
    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes one image, uint8 (C, H, W) with 1 or 3 channels; raises `InputError` for anything else."""

    @abstractmethod
    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes one image to uint8 (C, H, W) of the given shape; raises `PacketError` if the bytes give none."""

    def encode(self, images: np.ndarray) -> list[bytes]:
        """Codes a batch, uint8 (N, C, H, W), on all processors; raises `InputError` for anything else."""
        return _in_threads(self._encode_checked, list(images))

    def _encode_checked(self, image: np.ndarray) -> bytes:
        check_coded_image(image)
        try:
            return self.encode_image(image)
        except (ValueError, OSError, RuntimeError, OverflowError) as error:
            if isinstance(error, Sc2benchError):
                raise
            raise InputError(
                f"codec '{self.name}' can't code an image of shape {image.shape} ({error}); use another codec or size"
            ) from error

    def decode(self, packed: Sequence[bytes], shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes a batch to uint8 (N, *shape); raises `PacketError`."""
        images = _in_threads(lambda data: self.decode_image(data, shape), packed)
        return np.stack(images) if images else np.empty((0, *shape), np.uint8)


def has_quality(name: str) -> bool:
    """Whether a codec has a knob of quality; yes of one that is not known, for that is another mistake."""
    return name not in IMAGE_CODECS or IMAGE_CODECS[name].quality_range is not None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count())


def _in_threads(function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Maps in threads, a slice of the items each: a task a tiny image would cost more than the coding."""
    parts = min(os.cpu_count() or 1, len(items))
    stopped = threading.Event()

    def work(part: Sequence[A]) -> list[B]:
        return [function(item) for item in part if not stopped.is_set()]

    try:
        results = list(_pool().map(work, [items[i::parts] for i in range(parts)]))
    except BaseException:
        # An error, or an interruption, ends what the other threads have before them.
        stopped.set()
        raise
    return [results[i % parts][i // parts] for i in range(len(items))]


_used: set[str] = set()
_first_use = threading.Lock()


@contextmanager
def first_alone(library: str) -> Iterator[None]:
    """Lets no other thread in until the first use of a library in this process has ended, and all of them afterwards.

    x265 fills its table of functions at its first use without a lock: a second thread may then call one that is not
    there yet, and the process dies.
    """
    if library in _used:
        yield
        return
    with _first_use:
        yield
        _used.add(library)


def import_optional(module: str, codec: str) -> Any:
    """Imports a library that only some codecs need; raises `ConfigError` that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"codec '{codec}' needs the library '{module}', which can't be imported ({error}); "
            "run pip install 'sc2bench[codecs]'"
        ) from error
