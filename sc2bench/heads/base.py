"""What stands behind a reference model's chain and makes predictions of its outputs; one class a task."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sc2bench.wire.sizing import Frame


class Output:
    """A prediction in the making: losses can still be taken of it, and `final` makes it what a metric takes."""

    @abstractmethod
    def final(self) -> Any:
        """The predictions of the batch's images, in order."""


class Head(nn.Module):
    """What makes a prediction of the outputs of a chain."""

    # Layers whose outputs it takes, beside the last one's.
    needs: tuple[str, ...] = ()
    # How many classes it tells apart; `None`: as many as the chain's last layer has outputs.
    classes: int | None = None

    @abstractmethod
    def forward(self, last: Tensor, features: Mapping[str, Tensor], frame: Frame) -> Any:
        """Makes predictions.

        Args:
            last: the chain's result, (N, ...).
            features: outputs of the layers in `needs` by name.
            frame: the sizes of the batch.

        Returns:
            A tensor if that is final already, else an `Output`.
        """


class LastLayer(Head):
    """For classifiers: the chain's result are the logits, (N, classes)."""

    def forward(self, last: Tensor, features: Mapping[str, Tensor], frame: Frame) -> Tensor:
        """The logits as they are."""
        return last


def final(prediction: Any) -> Any:
    """What a metric takes of a head's prediction."""
    return prediction.final() if isinstance(prediction, Output) else prediction
