"""What training needs so that its result does not depend on how many processes share it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sc2bench.config import StageConfig
from sc2bench.core import processes
from sc2bench.core.errors import ConfigError


def check_batch_sizes(stages: Mapping[str, StageConfig]) -> None:
    """Raises `ConfigError` for a stage whose batches can't be split evenly among the processes."""
    count = processes.count()
    for name, stage in stages.items():
        below = stage.batch_size // count * count
        if below != stage.batch_size:
            nearest = [str(size) for size in (below, below + count) if size]
            raise ConfigError(
                f"{name}.batch_size: {stage.batch_size} can't be split evenly among {count} processes; take "
                f"{' or '.join(nearest)}"
            )


class Objective(nn.Module):
    """A stage's loss as a module, to be wrapped for several processes.

    What is wrapped is the loss and not the model, because gradients are exchanged of those parameters alone that the
    output depends on: the model has outputs that a stage's loss leaves out.

    Args:
        model: whose parameters learn.
        losses: those of the stage; they may have parameters, too.
        loss: of images and targets.
    """

    def __init__(self, model: nn.Module, losses: nn.Module, loss: Callable[[Any, Any], Tensor]):
        super().__init__()
        self.model = model
        self.losses = losses
        self._loss = loss

    def forward(self, images: Any, targets: Any) -> Tensor:
        """The loss, a scalar."""
        with SharedBatchNorm() if processes.count() > 1 else nullcontext():
            return self._loss(images, targets)


def tell_unused(accelerator: Accelerator, loss: Tensor, trainable: Sequence[nn.Parameter]) -> None:
    """Has unused parameters looked for in each step if there are any; the search costs time.

    Args:
        accelerator: what will wrap the objective.
        loss: of a step like those to come.
        trainable: the parameters that the stage trains.
    """
    gradients = torch.autograd.grad(loss, trainable, allow_unused=True)
    # Buffers need no exchange: batch normalization sees the whole batch in every process, and nothing else moves them.
    accelerator.ddp_handler = DistributedDataParallelKwargs(
        broadcast_buffers=False, find_unused_parameters=any(gradient is None for gradient in gradients)
    )


class SharedBatchNorm(TorchFunctionMode):
    """Within it, batch normalization in training mode takes its statistics over the batches of all processes.

    PyTorch's `SyncBatchNorm` does not run on the processor, and would have to replace modules of the model.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Takes the place of `batch_norm`; all other functions run as they are."""
        kwargs = kwargs or {}
        if func is nn.functional.batch_norm:
            return _batch_norm(*args, **kwargs)
        return func(*args, **kwargs)


class _Sum(torch.autograd.Function):
    """The sum over all processes; as each of them goes on with it, gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return processes.summed(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return processes.summed(gradients[0])


def _batch_norm(
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` over the batches of all processes."""
    if not training:
        return nn.functional.batch_norm(values, running_mean, running_var, weight, bias, False, momentum, eps)
    axes = [axis for axis in range(values.ndim) if axis != 1]
    shape = [1, -1] + [1] * (values.ndim - 2)
    # Squares of half-precision values would overflow or cancel.
    precise = values.float()
    own = torch.full((1,), values.numel() / values.shape[1], device=values.device)
    sums = _Sum.apply(torch.cat([precise.sum(axes), own]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = precise - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    result = centred * scale.view(shape)
    if bias is not None:
        result = result + bias.view(shape)
    return result.to(values.dtype)
