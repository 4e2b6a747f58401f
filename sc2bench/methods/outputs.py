"""What the differentiable path of a split model gives."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Outputs:
    """What training sees of a step of the model; a method leaves out what it has not.

    Attributes:
        prediction: of the teacher's head; for a classifier logits, (N, classes).
        features: outputs of those of the wanted layers that the method computes, by name.
        bits: that a prior estimates for each sample, (N,).
        auxiliary_loss: of parameters of the prior that learn apart from all others, a scalar.
        distortion: mean squared error of each decoded image, (N,), in squared levels of 8 bits.
    """

    prediction: Any
    features: dict[str, Tensor] = field(default_factory=dict)
    bits: Tensor | None = None
    auxiliary_loss: Tensor | float | None = None
    distortion: Tensor | None = None
