"""What packets decode to must be numbers: anything else gives some class all the same, and no detection."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sc2bench.teachers import Output, final
from sc2bench.wire.packet import PacketError


def finished(prediction: Any) -> Any:
    """What a metric takes of a prediction; raises `PacketError` if that, or what it is made of, is not finite."""
    require_finite(vars(prediction) if isinstance(prediction, Output) else prediction)
    done = final(prediction)
    require_finite(done)
    return done


def require_finite(values: Any) -> None:
    """Raises `PacketError` if tensors, or those in mappings and sequences, are not finite."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, list | tuple):
        for value in values:
            require_finite(value)
    elif isinstance(values, Tensor) and values.is_floating_point() and not values.isfinite().all():
        raise PacketError(
            "the packets decode to values that are not finite; they are damaged or foreign, or the weights of the "
            "server half are"
        )
