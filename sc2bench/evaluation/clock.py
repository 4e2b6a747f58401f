"""The time, once the processor is done."""

import time

import torch

from sc2bench.teachers import Images


def now(images: Images) -> float:
    """Seconds of a clock that only goes forward; a GPU that has the images is waited for."""
    if images[0].is_cuda:
        torch.cuda.synchronize(images[0].device)
    return time.perf_counter()
