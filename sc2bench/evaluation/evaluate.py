"""Rate and quality over a data set: every sample is coded to bytes, and predicted from those bytes alone."""

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate.utils import convert_to_fp32, send_to_device

from sc2bench.chain import lean
from sc2bench.config import EvaluationConfig
from sc2bench.core import processes
from sc2bench.core.intervals import Interval
from sc2bench.core.processes import ProcessError
from sc2bench.data import ImageSet, PixelLimit, watching
from sc2bench.entropy import LatentDecoder
from sc2bench.evaluation.clock import now
from sc2bench.measures import PARTS
from sc2bench.methods import SplitModel
from sc2bench.tasks.base import Metric, Task
from sc2bench.teachers import Images
from sc2bench.wire.packet import Packet, SessionHeader

# As packets name them, in the order of `measures.PARTS`.
_PARTS = tuple(name.removesuffix("_bytes_mean") for name in PARTS)


@dataclass
class Measurement:
    """What was measured of one model.

    Attributes:
        quality: the task's metrics, in percent.
        sizes: int64, (N, 3): bytes of payload, side information and framing of each sample, in the data set's order.
        session_bytes: size of the session header, sent once.
        estimated_bits: float64, (N,), the prior's estimates; `None` without a prior, or if they were left out.
        encode_ms: mean time a sample of the device half, in batches.
        decode_ms: the same of the server half.
        uncoded_bytes: mean bytes a sample of the side information that no prior has coded, and none has estimated: the
            sizes of images, and the checks of hyperpriors.
        intervals: the ends of the confidence interval of each metric that has one; see `Metric.intervals`.
    """

    quality: dict[str, float]
    sizes: np.ndarray
    session_bytes: int
    estimated_bits: np.ndarray | None
    encode_ms: float
    decode_ms: float
    uncoded_bytes: float = 0.0
    intervals: dict[str, Interval] = field(default_factory=dict)

    @property
    def bytes(self) -> np.ndarray:
        """Int64, (N,): bytes on the wire of each sample."""
        return self.sizes.sum(axis=1)

    def record_fields(self) -> dict[str, Any]:
        """The fields of a record that follow from this."""
        bits = self.estimated_bits
        return {
            "samples": len(self.sizes),
            "quality": self.quality,
            "quality_interval": {name: list(ends) for name, ends in self.intervals.items()},
            "bytes_mean": float(self.bytes.mean()),
            "bytes_p50": float(np.percentile(self.bytes, 50)),
            "bytes_p95": float(np.percentile(self.bytes, 95)),
            **dict(zip(PARTS, self.sizes.mean(axis=0).tolist(), strict=True)),
            "uncoded_bytes_mean": self.uncoded_bytes,
            "session_bytes": self.session_bytes,
            "estimated_bits_mean": None if bits is None else float(bits.mean()),
            "encode_ms": self.encode_ms,
            "decode_ms": self.decode_ms,
        }


@dataclass
class _Tally:
    """One model's measurement under way, in this process; `sizes` and `bits` have one item a batch."""

    model: SplitModel
    session: SessionHeader
    metric: Metric
    server_precision: str
    estimate: bool
    resamples: int
    sizes: list[np.ndarray] = field(default_factory=list)
    bits: list[torch.Tensor] = field(default_factory=list)
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    uncoded_bytes: int = 0

    def add(self, images: Images, targets: Any) -> None:
        started = now(images)
        analyzed = self.model.analyze(images)
        packets = self.model.code(analyzed)
        sent = [packet.to_bytes(self.session) for packet in packets]
        encoded = now(images)
        predictions = self._predict([Packet.from_bytes(data, self.session) for data in sent], images[0].device)
        self.decode_seconds += now(images) - encoded
        self.encode_seconds += encoded - started
        self.metric.update(predictions, targets)
        sizes = [packet.sizes(self.session) for packet in packets]
        self.sizes.append(np.array([[size[part] for part in _PARTS] for size in sizes], dtype=np.int64))
        decoders = [part for part in self.model.server.modules() if isinstance(part, LatentDecoder)]
        self.uncoded_bytes += len(packets) * sum(decoder.check_bytes for decoder in decoders)
        self.uncoded_bytes += sum(packet.image_size_bytes(self.session) for packet in packets)
        # The estimate is no part of sending an image, so it is made outside of what is timed, from what was coded.
        bits = self.model.estimate_bits(analyzed) if self.estimate else None
        if bits is not None:
            self.bits.append(bits.double().cpu())

    def _predict(self, packets: list[Packet], device: torch.device) -> Any:
        # What bytes mean is decided in integers and in double precision, which this does not touch.
        with torch.autocast(device.type, torch.bfloat16, enabled=self.server_precision == "bf16"):
            return convert_to_fp32(self.model.decode(packets))

    def result(self) -> Measurement:
        """Joins what all processes measured; each must call it."""
        sizes = np.concatenate(processes.in_turn(self.sizes))
        bits = processes.in_turn(self.bits)
        encode_seconds, decode_seconds, uncoded_bytes = processes.total(
            self.encode_seconds, self.decode_seconds, self.uncoded_bytes
        )
        with warnings.catch_warnings():
            # With more processes than batches, some have nothing of their own to add.
            warnings.filterwarnings("ignore", message=".*was called before the ``update`` method", category=UserWarning)
            quality = self.metric.compute()
            intervals = self.metric.intervals(self.resamples)
        return Measurement(
            quality,
            sizes,
            len(self.session.to_bytes()),
            torch.cat(bits).numpy() if bits else None,
            1000 * encode_seconds / len(sizes),
            1000 * decode_seconds / len(sizes),
            uncoded_bytes / len(sizes),
            intervals,
        )


def evaluate(model: SplitModel, dataset: ImageSet, task: Task, **options: Any) -> Measurement:
    """Measures one model; see `evaluate_all`."""
    return evaluate_all([model], dataset, task, **options)[0]


def evaluate_all(
    models: Sequence[SplitModel],
    dataset: ImageSet,
    task: Task,
    *,
    batch_size: int = 250,
    batch_pixels: int = EvaluationConfig.batch_pixels,
    device: torch.device | str = "cpu",
    workers: int | None = 0,
    server_precision: str = "fp32",
    estimate: bool = True,
    on_samples: Callable[[int], object] = lambda samples: None,
) -> list[Measurement]:
    """Measures several models in one pass, so that a data set is read and decoded once.

    Of several processes each measures whole batches of its own, with equal weights; the result is that of one process.

    Args:
        models: all on the same data set; moved to `device` and put in evaluation mode.
        dataset: what they are measured on.
        task: brings the metric, and how often samples are drawn again for its confidence intervals.
        batch_size: samples that are coded together; sizes don't depend on it.
        batch_pixels: the most pixels that a network takes at once, which may make batches smaller.
        device: where the networks run.
        workers: processes that read the data set; `None`: as many as suit the machine.
        server_precision: "fp32", or "bf16" for server halves in mixed precision; see `EvaluationConfig`.
        estimate: whether the priors' estimates are measured.
        on_samples: told of the size of each batch that this process measured, for each model.

    Returns:
        A measurement a model, the same in all processes.

    Raises:
        ProcessError: another process failed.
    """
    tallies = []
    for model in models:
        model.to(device).eval()
        tallies.append(_Tally(model, _common(model.session), task.metric(), server_precision, estimate, task.resamples))
    limit = PixelLimit(batch_pixels, lambda size: max((model.network_size(size) for model in models), key=math.prod))
    loader = processes.whole_batches(dataset.loader(batch_size, workers=workers, limit=limit))

    def measure() -> None:
        with ExitStack() as stack:
            for model in models:
                stack.enter_context(lean(model.server, server_precision == "bf16"))
            batches = stack.enter_context(watching(loader))
            for images, targets in batches:
                moved = send_to_device(images, device)
                for tally in tallies:
                    tally.add(moved, targets)
                    on_samples(len(images))

    processes.together(measure)
    return [tally.result() for tally in tallies]


def _common(session: SessionHeader) -> SessionHeader:
    """The session, if it is that of all processes; its fingerprint covers weights and tables."""
    if len(set(processes.gather(session.to_bytes()))) > 1:
        raise ProcessError("the processes have models of different weights or tables, so they can't measure together")
    return session
