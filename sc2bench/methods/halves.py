"""The halves of a split model: what runs on the device and what on the server, each in two steps."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from sc2bench.teachers import Sizing
from sc2bench.wire.inputs import InputShape
from sc2bench.wire.packet import Packet


class DeviceHalf(nn.Module):
    """What runs on the device: first the network, then the coder. Both are steps of their own, so each can be timed."""

    @abstractmethod
    def analyze(self, images: Tensor) -> Tensor:
        """Turns uint8 images of one size (N, C, H, W) into what is coded, (N, ...)."""

    @abstractmethod
    def code(self, values: Tensor) -> list[Packet]:
        """Codes what `analyze` gives to one packet a sample, in order."""

    def estimate_bits(self, values: Tensor) -> Tensor | None:
        """The information that a learned prior estimates in what `analyze` gives, float (N,); `None` without one."""
        return None


class Analyzed(NamedTuple):
    """What the device's network made of those inputs of a batch that have one shape.

    Attributes:
        values: of `DeviceHalf.analyze`, (n, ...).
        places: of the n inputs in the batch.
        size: what their packets carry of it, for images (H, W); `None` where inputs don't vary.
    """

    values: Tensor
    places: Sequence[int]
    size: tuple[int, int] | None


class ServerHalf(nn.Module):
    """What runs on the server: first the coder, then the network."""

    # How the model scales and pads images, which tells how much work one of a shape is.
    sizing: Sizing = Sizing()

    def decode(self, packets: Sequence[Packet], shape: InputShape) -> Any:
        """Turns packets of inputs of one shape into predictions; see `read` and `predict`."""
        return self.predict(self.read(packets, shape), shape)

    @abstractmethod
    def read(self, packets: Sequence[Packet], shape: InputShape) -> Tensor:
        """Turns packets of inputs of one shape into what they carry, (N, ...).

        Args:
            packets: of N inputs.
            shape: of each of them, for images (C, H, W).

        Raises:
            PacketError: for packets that can't be decoded.
        """

    @abstractmethod
    def predict(self, values: Tensor, shape: InputShape) -> Any:
        """Turns what `read` gives into predictions.

        Args:
            values: (N, ...).
            shape: of each of the N inputs, for images (C, H, W).

        Returns:
            N predictions as the teacher's head gives them finally: for classification logits (N, classes).
        """
