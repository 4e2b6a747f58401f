"""How large images become on their way into a network: arithmetic that device and server do alike, without bytes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """The sizes of a batch, (height, width) each.

    Attributes:
        sizes: of the images as they came.
        scaled: of the images as the network sees them, without what is added at the right and at the bottom.
        padded: of the network's input.
    """

    sizes: tuple[Size, ...]
    scaled: tuple[Size, ...]
    padded: Size


@dataclass(frozen=True)
class Sizing:
    """Scales images and pads them to a common size.

    Attributes:
        shorter: pixels that the shorter side is scaled to; `None`: images are not scaled.
        longer: pixels that the longer side does not exceed when scaled.
        multiple: heights and widths are padded to multiples of it.
        margin: black pixels added at each side first.
    """

    shorter: int | None = None
    longer: int | None = None
    multiple: int = 1
    margin: int = 0

    def factor(self, size: Size) -> float:
        """What both sides of an image are scaled by."""
        if self.shorter is None:
            return 1.0
        factor = self.shorter / min(size)
        return factor if self.longer is None else min(factor, self.longer / max(size))

    def scaled(self, size: Size) -> Size:
        """The size of an image after the margin and the scaling."""
        height, width = (side + 2 * self.margin for side in size)
        if self.shorter is None:
            return height, width
        factor = self.factor((height, width))
        # Of an image that is much longer than wide something must be left.
        return max(int(height * factor), 1), max(int(width * factor), 1)

    def frame(self, sizes: Sequence[Size]) -> Frame:
        """The sizes of a batch of images."""
        scaled = tuple(map(self.scaled, sizes))
        height, width = (max(sides) for sides in zip(*scaled, strict=True))
        return Frame(tuple(sizes), scaled, self.padded((height, width)))

    def frame_of(self, shape: Sequence[int], count: int) -> Frame:
        """The sizes of a batch of `count` images, each (C, H, W) of one shape."""
        return self.frame([(shape[-2], shape[-1])] * count)

    def work(self, shape: Sequence[int]) -> int:
        """Pixels of an image (C, H, W) as it is or as the network sees it, whichever are more.

        That is what work and memory grow with.
        """
        size = (shape[-2], shape[-1])
        return max(math.prod(size), math.prod(self.padded(self.scaled(size))))

    def padded(self, size: Size) -> Size:
        """The next size whose sides are multiples."""
        height, width = ((side + self.multiple - 1) // self.multiple * self.multiple for side in size)
        return height, width


def image_sizes(images: Iterable[Any]) -> list[Size]:
    """The (height, width) of images (C, H, W), tensors or arrays, also of a batch of them (N, C, H, W)."""
    return [(image.shape[-2], image.shape[-1]) for image in images]
