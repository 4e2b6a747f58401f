"""What each half costs: parameters and multiply-accumulates."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sc2bench.methods import SplitModel
from sc2bench.packet import Packet
from sc2bench.teachers import Images


@torch.inference_mode()
def measure_cost(model: SplitModel, image: Images) -> dict[str, Any]:
    """Counts parameters and MACs of the two halves.

    A MAC is half a floating-point operation of PyTorch's flop counter, which counts matrix products and convolutions.
    Coding symbols and images is no matrix product and is not in it.

    Args:
        model: on any device.
        image: one image, uint8, in a batch of its own, on the same device.
    """
    packets: list[Packet] = []
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # The flop counter follows gradients of parameters, which don't exist in inference mode.
    for parameter in learning:
        parameter.requires_grad_(False)
    device_macs = count_macs(lambda: packets.extend(model.encode(image)))
    server_macs = count_macs(lambda: model.decode(packets))
    for parameter in learning:
        parameter.requires_grad_(True)
    return {
        "device_params": _parameters(model.device),
        "device_macs": device_macs,
        "server_params": _parameters(model.server),
        "server_macs": server_macs,
    }


def _parameters(half: nn.Module) -> int:
    return sum(parameter.numel() for parameter in half.parameters())


def count_macs(run: Callable[[], object]) -> int:
    """Multiply-accumulates of the convolutions and matrix products in one call of `run`."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2
