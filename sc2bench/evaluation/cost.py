"""What each half costs: weights, multiply-accumulates, and memory for activations."""

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torchvision  # noqa: F401 - registers its operators
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from sc2bench.core.state import unique_state
from sc2bench.methods import SplitModel
from sc2bench.teachers import Images
from sc2bench.wire.packet import Packet

_BYTE_BITS = 8


@torch.inference_mode()
def measure_cost(model: SplitModel, image: Images) -> dict[str, Any]:
    """Counts weights, MACs and memory of the two halves.

    Parameters are those of the modules of a half, each once; a module that both halves have, such as a prior, counts
    in both. The bits of the weights go by the type that each one is stored in, see `weight_bits`.

    A MAC is half a floating-point operation of the matrix products and convolutions, those of attention and recurrent
    layers included, see `count_macs`: a convolution has C_in / groups x K x K MACs an output, without its bias.
    Normalization, activation functions, pooling, and coding symbols and images are no matrix products and are not in
    it.

    The peak of the activations is the most bytes that tensors take at any moment while a half works on the image, see
    `peak_bytes`. What image codecs need inside of their libraries is not in it.

    Args:
        model: on any device.
        image: one image, uint8, in a batch of its own, on the same device.
    """
    packets: list[Packet] = []
    halves: dict[str, tuple[nn.Module, Callable[[], object]]] = {
        "device": (model.device, lambda: packets.extend(model.encode(image))),
        "server": (model.server, lambda: model.decode(packets[:1])),
    }
    costs: dict[str, Any] = {}
    for name, (half, run) in halves.items():
        with _frozen(model):
            costs[f"{name}_macs"] = count_macs(run)
        costs[f"{name}_params"] = sum(parameter.numel() for parameter in half.parameters())
        costs[f"{name}_param_bits"] = weight_bits(half)
        costs[f"{name}_peak_activation_bytes"] = peak_bytes(run, without=[*_state(model), *image])
    return costs


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """The flop counter follows gradients of parameters, which don't exist in inference mode."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def count_macs(run: Callable[[], object]) -> int:
    """Multiply-accumulates of the convolutions and matrix products in one call of `run`.

    They are the same on each device, whatever the kernels that it has for several steps at once.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_FLOPS)
    with _attention_in_steps(), counter:
        run()
    return counter.get_total_flops() // 2


@contextmanager
def _attention_in_steps() -> Iterator[None]:
    """Attention as the matrix products that it is made of: the counter passes over most kernels that fuse them."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _vector_product_flops(*shapes: Any, out_shape: Any = None, **_: Any) -> int:
    """Of `mv(matrix, vector)`, `addmv(bias, matrix, vector)` and `dot(vector, vector)`."""
    return 2 * math.prod(shapes[-2])


def _bilinear_flops(first: Any, weight: Any, second: Any, *_: Any, **__: Any) -> int:
    """Of `_trilinear`, which is `torch.nn.Bilinear`: x W y for each output."""
    outputs, left, right = weight[-3:]
    samples = math.prod(first) // left
    return 2 * samples * outputs * (left * right + right)


def _recurrent_layer_flops(sequence: Any, input_weight: Any, state_weight: Any, *_: Any, **__: Any) -> int:
    """Of oneDNN's LSTM layer: both weights at each step of each sequence."""
    return 2 * math.prod(sequence[:-1]) * (math.prod(input_weight) + math.prod(state_weight))


def _recurrent_flops(sequence: Any, weights: Any, *_: Any, **__: Any) -> int:
    """Of cuDNN's recurrent layers: all matrices, without the biases."""
    return 2 * math.prod(sequence[:-1]) * sum(math.prod(weight) for weight in weights if len(weight) > 1)


def _deformable_flops(images: Any, weight: Any, offset: Any, *_: Any, **__: Any) -> int:
    """Of torchvision's deformable convolution, as of one with the same kernel; sampling is not in it."""
    return 2 * images[0] * math.prod(offset[-2:]) * math.prod(weight)


# Matrix products and convolutions that PyTorch's counter does not know.
_FLOPS: dict[Any, Any] = {
    torch.ops.aten.mv: _vector_product_flops,
    torch.ops.aten.addmv: _vector_product_flops,
    torch.ops.aten.dot: _vector_product_flops,
    torch.ops.aten._trilinear: _bilinear_flops,
    torch.ops.aten.mkldnn_rnn_layer: _recurrent_layer_flops,
    torch.ops.aten._cudnn_rnn: _recurrent_flops,
    torch.ops.torchvision.deform_conv2d: _deformable_flops,
}


def weight_bits(half: nn.Module) -> int:
    """Bits of all numbers that a half must be given to work.

    These are the floating-point tensors of its state dict, each once and in its own type: parameters, and with them
    what normalization layers have learned (their means and variances) and the few constants of entropy models. Integer
    tables of priors are not counted, for they follow from the parameters.

    >>> weight_bits(nn.BatchNorm1d(3).half())
    192
    """
    weights = [tensor for tensor in unique_state(half).values() if tensor.is_floating_point()]
    return sum(tensor.numel() * tensor.element_size() * _BYTE_BITS for tensor in weights)


def peak_bytes(run: Callable[[], object], without: Iterable[Tensor]) -> int:
    """The most bytes that tensors take at any moment of one call of `run`.

    On a CUDA device by PyTorch's allocator, beyond what was allocated before. Elsewhere by the storages of all tensors
    that go into PyTorch's operators or come out of them, each from then until it is freed; views share a storage. What
    an operator takes inside of itself and gives back before it ends is then not seen.

    Args:
        run: what is measured.
        without: tensors that are not counted, such as weights.
    """
    without = list(without)
    places = {tensor.device for tensor in without if tensor.is_cuda}
    if places:
        (place,) = places
        torch.cuda.synchronize(place)
        before = torch.cuda.memory_allocated(place)
        torch.cuda.reset_peak_memory_stats(place)
        run()
        torch.cuda.synchronize(place)
        return torch.cuda.max_memory_allocated(place) - before
    with _LiveStorages(without) as live:
        run()
    return live.peak


class _LiveStorages(TorchDispatchMode):
    """Adds up the storages that live while operators run, and keeps the largest sum."""

    def __init__(self, without: Iterable[Tensor]):
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known = {_address(tensor) for tensor in without}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._see((args, kwargs))
        result = func(*args, **(kwargs or {}))
        self._see(result)
        return result

    def _see(self, values: Any) -> None:
        for tensor in tree_leaves(values):
            # Tensors that compute shapes alone take nothing.
            if not isinstance(tensor, Tensor) or tensor.is_meta:
                continue
            address = _address(tensor)
            if address in self._known:
                continue
            storage = tensor.untyped_storage()
            self._known.add(address)
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, address, storage.nbytes())

    def _forget(self, address: int, size: int) -> None:
        self._known.discard(address)
        self._now -= size


def _address(tensor: Tensor) -> int:
    """What tells storages that exist at the same time apart."""
    return tensor.untyped_storage()._cdata


def _state(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
