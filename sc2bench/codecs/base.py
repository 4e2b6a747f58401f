"""What an image codec is."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import ClassVar, TypeVar

import numpy as np

from sc2bench.errors import ConfigError

A = TypeVar("A")
B = TypeVar("B")


class ImageCodec(ABC):
    """Codes single images; subclasses implement `encode_image` and `decode_image`.

    Args:
        quality: the codec's own knob.

    Raises:
        ConfigError: a quality outside `quality_range`.
    """

    name: ClassVar[str]
    quality_range: ClassVar[tuple[float, float] | None]
    mime: ClassVar[str] = ""

    def __init__(self, quality: float | None = None):
        if self.quality_range is not None:
            low, high = self.quality_range
            if quality is None or not low <= quality <= high:
                raise ConfigError(
                    f"codec '{self.name}' can't code at quality {quality}; give rate={low:g} ... {high:g}"
                )
        self.quality = quality

    @abstractmethod
    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes one image, uint8 (C, H, W) with 1 or 3 channels."""

    @abstractmethod
    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes one image to uint8 (C, H, W) of the given shape; raises `PacketError` if the bytes give none."""

    def encode(self, images: np.ndarray) -> list[bytes]:
        """Codes a batch, uint8 (N, C, H, W), on all processors."""
        return _in_threads(self.encode_image, list(images))

    def decode(self, packed: Sequence[bytes], shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes a batch to uint8 (N, *shape); raises `PacketError`."""
        images = _in_threads(lambda data: self.decode_image(data, shape), packed)
        return np.stack(images) if images else np.empty((0, *shape), np.uint8)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count())


def _in_threads(function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Maps in threads, a slice of the items each: a task a tiny image would cost more than the coding."""
    parts = min(os.cpu_count() or 1, len(items))
    slices = [items[i::parts] for i in range(parts)]
    results = list(_pool().map(lambda part: [function(item) for item in part], slices))
    return [results[i % parts][i // parts] for i in range(len(items))]
