"""What one input of a model is: its shape, how inputs become batches, and what a packet must say of their shapes.

Inputs are checked by type and shape alone, so it costs no look at a pixel. PyTorch is not needed: tensors and arrays
say alike what they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sc2bench.core.errors import InputError
from sc2bench.wire.packet import MAX_IMAGE_SIDE, PacketError
from sc2bench.wire.sizing import Size

# Of one input, without the batch.
InputShape = tuple[int, ...]
_CHANNELS = (1, 3)
# A multiple of every network's stride.
_PROBE_SIDE = 128


class InputSpec(ABC):
    """What the inputs of a model, or of a data set, are alike in.

    What is done with inputs of any kind asks it: whether a batch is one, which of its inputs can be computed together,
    and what their packets must say.
    """

    # Of the values, as NumPy and PyTorch call it.
    dtype: ClassVar[str]

    @property
    @abstractmethod
    def varies(self) -> bool:
        """Whether inputs differ in shape, so that packets say what theirs is."""

    @property
    @abstractmethod
    def probe_shape(self) -> InputShape:
        """The shape to try things with: that of all inputs, or where they vary one that every network takes."""

    @abstractmethod
    def check(self, inputs: Any) -> None:
        """Raises `InputError` unless a model takes a batch: an array, or a sequence of N, with N at least 1."""

    @abstractmethod
    def sizes(self, inputs: Any) -> list[Size | None]:
        """What the packet of each input must carry of its shape: nothing where all have one.

        Args:
            inputs: a batch that passes `check`.

        Raises:
            InputError: an input that is larger than any receiver takes.
        """

    @abstractmethod
    def shape(self, size: Size | None) -> InputShape:
        """The shape of an input whose packet carries `size`; raises `PacketError` for what no sender of ours says."""

    @abstractmethod
    def named(self, shape: InputShape) -> str:
        """An input of a shape, as errors name it."""

    def probe(self) -> np.ndarray:
        """A batch of one input of zeros, (1, *probe_shape)."""
        return np.zeros((1, *self.probe_shape), self.dtype)

    def groups(self, inputs: Any) -> list[tuple[Sequence[int], Size | None]]:
        """The places in a batch of the inputs that have one shape, with what their packets carry; raises `InputError`.

        Args:
            inputs: a batch that passes `check`.
        """
        sizes = self.sizes(inputs)
        return [(places, sizes[places[0]]) for places in by_value(sizes).values()]

    def collate(self, inputs: Any, places: Sequence[int], stack: Callable[[list[Any]], Any]) -> Any:
        """Joins the inputs at some places, which have one shape, to one array (n, ...).

        Args:
            inputs: a batch; an array stays as it is where all of it is wanted.
            places: in it.
            stack: joins arrays or tensors, as `np.stack` and `torch.stack` do.
        """
        whole = hasattr(inputs, "shape") and len(places) == len(inputs)
        return inputs if whole else stack([inputs[place] for place in places])


@dataclass(frozen=True)
class ImageSpec(InputSpec):
    """Images, uint8 (C, H, W).

    Attributes:
        channels: of each image, 1 or 3.
        size: (H, W) of each image; `None` where images vary.
    """

    channels: int
    size: Size | None = None

    dtype: ClassVar[str] = "uint8"

    @classmethod
    def from_list(cls, sides: Sequence[int]) -> "ImageSpec":
        """Inverts `to_list`."""
        channels, height, width = sides
        return cls(channels, (height, width) if height else None)

    def to_list(self) -> list[int]:
        """As files have it: [C, H, W], and [C, 0, 0] where images vary."""
        return [self.channels, *(self.size or (0, 0))]

    @property
    def varies(self) -> bool:
        """Whether images differ in size."""
        return self.size is None

    @property
    def probe_shape(self) -> tuple[int, int, int]:
        """(C, H, W); sides that every network takes where images vary."""
        height, width = self.size or (_PROBE_SIDE, _PROBE_SIDE)
        return self.channels, height, width

    def check(self, inputs: Any) -> None:
        """Raises `InputError` unless it is a batch: uint8 (N, C, H, W), or N of (C, H, W), with N at least 1."""
        _check_images(inputs, self.channels, self.size)

    def sizes(self, inputs: Any) -> list[Size | None]:
        """(H, W) of each image where they vary; raises `InputError` for a side that is too long to be sent."""
        if self.size is not None:
            return [None] * len(inputs)
        sizes: list[Size | None] = []
        for image in inputs:
            height, width = image.shape[-2], image.shape[-1]
            if max(height, width) > MAX_IMAGE_SIDE:
                raise InputError(
                    f"an image of {height}x{width} pixels can't be sent; a side has at most {MAX_IMAGE_SIDE}: scale it"
                )
            sizes.append((height, width))
        return sizes

    def shape(self, size: Size | None) -> tuple[int, int, int]:
        """(C, H, W) of an image whose packet carries `size`; raises `PacketError` for what no sender of ours says."""
        if self.size is not None:
            if size is not None:
                raise PacketError("a packet says how large its image is, though images don't vary; it is foreign")
            return self.channels, *self.size
        if size is None:
            raise PacketError("a packet does not say how large its image is, though images vary; it is foreign")
        height, width = size
        if not 0 < min(size) <= max(size) <= MAX_IMAGE_SIDE:
            raise PacketError(f"the packet's image has {height}x{width} pixels; a side has 1 ... {MAX_IMAGE_SIDE}")
        return self.channels, height, width

    def named(self, shape: InputShape) -> str:
        """For example "an image of 28x28 pixels"."""
        return f"an image of {shape[-2]}x{shape[-1]} pixels"


def by_value(values: Sequence[Any]) -> dict[Any, list[int]]:
    """The places of each value, in the order in which values first occur.

    >>> by_value("abba")
    {'a': [0, 3], 'b': [1, 2]}
    """
    places: dict[Any, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(value, []).append(place)
    return places


def check_any_images(images: Any) -> None:
    """Raises `InputError` unless it is a batch of images of any channels and sizes; see `ImageSpec.check`."""
    _check_images(images, None, None)


def check_coded_image(image: Any) -> None:
    """Raises `InputError` unless an image codec takes an image: it should be uint8, (1 or 3, H, W)."""
    shape = _shape(image)
    channels = shape[0] if shape else 0
    _check_image(image, channels if channels in _CHANNELS else _CHANNELS[-1], None)


def _check_images(images: Any, channels: int | None, size: Size | None) -> None:
    whole = hasattr(images, "shape")
    wanted = _wanted(channels, size)
    if whole and len(images.shape) != 4:
        raise InputError(
            f"images of shape {_shape(images)} are no batch; give uint8 (N, {wanted}), one image as images[None]"
        )
    if not whole and not isinstance(images, Sequence):
        raise InputError(f"a {type(images).__name__} is no batch of images; give uint8 (N, {wanted})")
    if not len(images):
        raise InputError("there is no image in the batch; give one at least")
    checked: Iterable[Any] = images[:1] if whole else images
    for image in checked:
        _check_image(image, channels, size)


def _check_image(image: Any, channels: int | None, size: Size | None) -> None:
    dtype = str(getattr(image, "dtype", type(image).__name__)).removeprefix("torch.")
    if dtype != ImageSpec.dtype:
        raise InputError(
            f"images are of type {dtype}; give uint8, 0 to 255 (of floats in 0..1: (255 * images).round() as uint8)"
        )
    shape = _shape(image)
    matches = len(shape) == 3 and all(side >= 1 for side in shape)
    if not matches or channels not in (None, shape[0]) or size not in (None, shape[1:]):
        raise InputError(
            f"an image of shape {shape} does not fit; give uint8 ({_wanted(channels, size)}), channels first, "
            f"{'of any size' if size is None else 'scaled to that size'}"
        )


def _shape(image: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in getattr(image, "shape", ()))


def _wanted(channels: int | None, size: Size | None) -> str:
    height, width = size or ("H", "W")
    return f"{'C' if channels is None else channels}, {height}, {width}"
