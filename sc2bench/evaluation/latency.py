"""How long each half takes for one image, as on a device that gets its images one by one."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from sc2bench.chain import lean
from sc2bench.evaluation.clock import now
from sc2bench.measures import SPANS, STATISTICS
from sc2bench.methods import SplitModel
from sc2bench.teachers import Images

_COUNTS = ("latency_repeats", "latency_threads")
# Images that take turns, for coders take more time for some than for others.
LATENCY_IMAGES = 16
_WARM_UP = 3
_CONFIDENCE = 0.95
_SECONDS = 10.0


@torch.inference_mode()
def measure_latency(
    model: SplitModel,
    images: Images,
    *,
    repeats: int = 50,
    threads: int = 1,
    server_precision: str = "fp32",
    seconds: float = _SECONDS,
) -> dict[str, Any]:
    """Times the halves on one image after the other.

    The network of the device starts with the preprocessing; that of the server ends with the prediction. All that
    turns numbers into bytes and back is the coder: rounding, the tables' look-up, an image codec, and what a
    hyperprior computes to know the tables. Framing of packets is no part of it.

    Args:
        model: in evaluation mode; on a GPU it is waited for after each step.
        images: uint8, (N, C, H, W), or N of (C, H, W) where they vary, on the model's device; they take turns.
        repeats: how often each half is timed, after as many rounds to warm up, but three at most; 0: not
            at all.
        threads: of PyTorch's operators. An image codec works on one image in one thread, unless its library starts
            some of its own.
        server_precision: "fp32" or "bf16", as the server's half is measured.
        seconds: no further repetition is begun after this time; the first one always is.

    Returns:
        For each span `<span>_ms_<statistic>`: median, its confidence interval (95 %), and 95th percentile, with
        `latency_repeats`, the number of repetitions, and `latency_threads`; all `None` if `repeats` is 0.
    """
    if not repeats:
        return dict.fromkeys((*(f"{span}_ms_{name}" for span in SPANS for name in STATISTICS), *_COUNTS))
    batches = [image[None] for image in images]
    with _threads(threads), lean(model.server, server_precision == "bf16"):
        for number in range(min(_WARM_UP, repeats)):
            _time_steps(model, batches[number % len(batches)], server_precision)
        ending = time.perf_counter() + seconds
        times: list[list[float]] = []
        while len(times) < repeats and (not times or time.perf_counter() < ending):
            times.append(_time_steps(model, batches[len(times) % len(batches)], server_precision))
    device_network, device_coder, server_coder, server_network = 1000 * np.array(times).T
    device, server = device_network + device_coder, server_coder + server_network
    spans = (device, device_network, device_coder, server, server_coder, server_network)
    fields: dict[str, Any] = {}
    for span, values in zip(SPANS, spans, strict=True):
        statistics = (float(np.median(values)), *median_interval(values), float(np.percentile(values, 95)))
        fields |= {f"{span}_ms_{name}": value for name, value in zip(STATISTICS, statistics, strict=True)}
    return fields | dict(zip(_COUNTS, (len(times), threads), strict=True))


def median_interval(values: Sequence[float] | np.ndarray) -> tuple[float | None, float | None]:
    """The confidence interval (95 %) of the median, by order statistics, whatever the distribution.

    Of n sorted values it is from the l-th smallest to the l-th largest, with the largest l at which the binomial
    distribution of n and 1/2 has no more than 2.5 % below l.

    Args:
        values: a sample, in any order.

    Returns:
        The ends of the interval; (`None`, `None`) for fewer than six values, whose range is no such interval.

    >>> median_interval([9.0, 1.0, 5.0, 3.0, 4.0, 7.0])
    (1.0, 9.0)
    """
    ordered = sorted(float(value) for value in values)
    rank = int(binom.ppf((1 - _CONFIDENCE) / 2, len(ordered), 0.5))
    return (ordered[rank - 1], ordered[-rank]) if rank else (None, None)


def _time_steps(model: SplitModel, image: Tensor, server_precision: str) -> list[float]:
    """Seconds of the device's network and coder, and of the server's coder and network, for one image (1, C, H, W)."""
    shape = tuple(image.shape[1:])
    # The server's half as it is measured; the device's has its own precision.
    lower = torch.autocast(image.device.type, torch.bfloat16, enabled=server_precision == "bf16")
    started = now(image)
    values = model.device.analyze(image)
    analyzed = now(image)
    packets = model.device.code(values)
    coded = now(image)
    with lower:
        read = model.server.read(packets, shape)
        decoded = now(image)
        model.server.predict(read, shape)
    return [analyzed - started, coded - analyzed, decoded - coded, now(image) - decoded]


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
