"""The one table of what a record holds: each field with the values it may have, and what measures are called.

A measure brings its label, its unit and which way is better; evaluation fills the fields in, records are checked
against them, and reports draw and print them.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sc2bench.core.errors import ConfigError

SCHEMA_VERSION = 1
# No number of a record comes near; beyond, doubles and 64-bit integers lose or overflow.
LARGEST = 2**63
# Units that stand behind a name above a column; others are clear from the name.
_COLUMN_UNITS = ("%", "ms")
_HASH = re.compile(r"[0-9a-f]{12}")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Kind:
    """The values that a field may have.

    Attributes:
        what: in words, for errors.
        fits: whether a value is one of them.
    """

    what: str
    fits: Callable[[Any], bool]

    @property
    def or_null(self) -> "Kind":
        """The same, or null."""
        return Kind(f"{self.what}, or null", lambda value: value is None or self.fits(value))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no larger than records may have."""
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value) and abs(value) < LARGEST)


TEXT = Kind("a printable text", lambda v: isinstance(v, str) and bool(v.strip()) and v.isprintable())
NUMBER = Kind("a finite number", is_number)
AMOUNT = Kind("a number from 0 upwards", lambda v: is_number(v) and v >= 0)
POSITIVE = Kind("a number above 0", lambda v: is_number(v) and v > 0)
# Accuracies are computed in single precision.
PERCENT = Kind("a number from 0 to 100", lambda v: is_number(v) and -1e-4 <= v <= 100 + 1e-4)
COUNT = Kind("a whole number from 0 upwards", lambda v: _is_integer(v) and v >= 0)
SOME = Kind("a whole number from 1 upwards", lambda v: _is_integer(v) and v >= 1)
ENDS = Kind(
    "two finite numbers in order",
    lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v)) and v[0] <= v[1],
)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
HASH = Kind("12 hexadecimal digits", lambda v: isinstance(v, str) and bool(_HASH.fullmatch(v)))
FINGERPRINT = Kind("16 hexadecimal digits", lambda v: isinstance(v, str) and bool(_FINGERPRINT.fullmatch(v)))
GROUP = Kind("an object", lambda v: isinstance(v, dict))
VERSION = Kind(str(SCHEMA_VERSION), lambda v: _is_integer(v) and v == SCHEMA_VERSION)


@dataclass(frozen=True)
class Measure:
    """A field that is a number to be drawn, compared and put into tables.

    Attributes:
        label: on axes.
        short: above columns of tables and in sentences.
        unit: in words, or empty where the label says it.
        better: where better values lie, or empty where that can't be said.
        kind: the values that it may have.
    """

    label: str
    short: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    kind: Kind = NUMBER

    @property
    def axis(self) -> str:
        """The label with its unit, for a linear axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def column(self) -> str:
        """What stands above a table's column."""
        return f"{self.short} [{self.unit}]" if self.unit in _COLUMN_UNITS else self.short


def _bytes_per_image(label: str, short: str, kind: Kind = AMOUNT) -> Measure:
    return Measure(label, short, "bytes per image", "lower", kind)


# The spans of single images that are timed: each half as a whole and in its steps.
SPANS = {
    "device": "Device time",
    "device_network": "Device network time",
    "device_coder": "Device coder time",
    "server": "Server time",
    "server_coder": "Server coder time",
    "server_network": "Server network time",
}
_EXPORTS = {"onnx": "ONNX Runtime", "int8": "ONNX Runtime in 8 bits"}
# For each kind of exported device half, its spans and those of PyTorch's that they stand beside.
EXPORT_SPANS = {
    kind: {span.replace("device", f"device_{kind}"): span for span in ("device", "device_network")} for kind in _EXPORTS
}
# Of a span: its median with the confidence interval (95 %), and the slow ones.
_STATISTICS = {"p50": "", "p50_low": ", from", "p50_high": ", to", "p95": ", 95th percentile"}
STATISTICS = tuple(_STATISTICS)


def _times(span: str, label: str) -> dict[str, Measure]:
    names = {f"{span}_ms_{statistic}": f"{label}{which}" for statistic, which in _STATISTICS.items()}
    return {field: Measure(name, name, "ms", "lower", AMOUNT.or_null) for field, name in names.items()}


# What records have had from the start; methods without a prior or a learned rate have null there.
FIRST: dict[str, Kind | Measure] = {
    "schema_version": VERSION,
    "task": TEXT,
    "dataset": TEXT,
    "split": TEXT,
    "samples": Measure("Samples", "Samples", kind=SOME),
    "method": TEXT,
    "codec": TEXT.or_null,
    "prior": TEXT.or_null,
    "teacher": TEXT,
    "rate_knob": TEXT.or_null,
    "rate": Measure("Rate knob", "Value", kind=NUMBER.or_null),
    "seed": Measure("Seed", "Seed", kind=COUNT),
    "config_hash": HASH,
    "quality": GROUP,
    # A packet of no byte at all does not exist, for each has its length in front.
    "bytes_mean": _bytes_per_image("Data size", "Bytes", POSITIVE),
    "bytes_p50": Measure("Data size, median", "Bytes p50", "bytes", "lower", POSITIVE),
    "bytes_p95": Measure("Data size, 95th percentile", "Bytes p95", "bytes", "lower", POSITIVE),
    "payload_bytes_mean": _bytes_per_image("Payload", "Payload"),
    "side_info_bytes_mean": _bytes_per_image("Side information", "Side info"),
    "framing_bytes_mean": _bytes_per_image("Framing", "Framing"),
    "session_bytes": Measure("Session header", "Session", "bytes, sent once", "lower", COUNT),
    "estimated_bits_mean": Measure("Estimated rate", "Estimated bits", "bits per image", "lower", AMOUNT.or_null),
    "device_params": Measure("Device parameters", "Device params", "", "lower", COUNT),
    "device_macs": Measure("Device MACs", "Device MACs", "", "lower", COUNT),
    "server_params": Measure("Server parameters", "Server params", "", "lower", COUNT),
    "server_macs": Measure("Server MACs", "Server MACs", "", "lower", COUNT),
    "encode_ms": Measure("Encoding time", "Encode", "ms", "lower", AMOUNT),
    "decode_ms": Measure("Decoding time", "Decode", "ms", "lower", AMOUNT),
    "environment": GROUP,
    "config": GROUP,
}
EXPORTED: dict[str, Kind | Measure] = {
    "device_export_bytes": Measure("Device half as ONNX", "ONNX bytes", "bytes", "lower", SOME.or_null),
    "device_int8_export_bytes": Measure(
        "Device half as ONNX in 8 bits", "ONNX int8 bytes", "bytes", "lower", SOME.or_null
    ),
    **{
        field: measure
        for kind, spans in EXPORT_SPANS.items()
        for span, own in spans.items()
        for field, measure in _times(span, f"{SPANS[own]}, {_EXPORTS[kind]}").items()
    },
}
# What was added later, null in records that are older.
LATER: dict[str, Kind | Measure] = {
    "device_param_bits": Measure("Device parameters", "Device param bits", "bits", "lower", COUNT.or_null),
    "device_peak_activation_bytes": Measure(
        "Device activations, peak", "Device peak bytes", "bytes", "lower", COUNT.or_null
    ),
    "server_param_bits": Measure("Server parameters", "Server param bits", "bits", "lower", COUNT.or_null),
    "server_peak_activation_bytes": Measure(
        "Server activations, peak", "Server peak bytes", "bytes", "lower", COUNT.or_null
    ),
    **{field: measure for span, label in SPANS.items() for field, measure in _times(span, label).items()},
    "latency_repeats": Measure("Repetitions of times", "Repeats", kind=COUNT.or_null),
    "latency_threads": Measure("Threads of times", "Threads", kind=SOME.or_null),
    **EXPORTED,
    # Of the side information what no prior has coded: the sizes of images, and the checks of hyperpriors.
    "uncoded_bytes_mean": _bytes_per_image("Side information without a prior", "Uncoded", AMOUNT.or_null),
    # For metrics that have one, the ends of the confidence interval of 95 %, in the metric's unit.
    "quality_interval": GROUP.or_null,
    # Of the split that was measured; see `ImageSet.fingerprint`.
    "data_fingerprint": FINGERPRINT.or_null,
    # What the point depends on beyond its configuration, where that is not as usual; see `sc2bench.runs.identity`.
    "surroundings": GROUP.or_null,
    # As `environment`, of the training; null without one, or if it is older than this field.
    "training_environment": GROUP.or_null,
}
_FIELDS = FIRST | LATER
KINDS = {name: field.kind if isinstance(field, Measure) else field for name, field in _FIELDS.items()}
# The metrics of the package's tasks, which stand in `quality`; those of plugins may be any number.
METRICS = {
    name: Measure(label, short, "%", "higher", PERCENT)
    for name, label, short in (
        ("top1", "Top-1 accuracy", "Top-1"),
        ("top5", "Top-5 accuracy", "Top-5"),
        ("top1_subset", "Top-1 accuracy among the classes that occur", "Top-1 of occurring"),
        ("map", "mAP", "mAP"),
        ("miou", "mIoU", "mIoU"),
        ("map50", "mAP at IoU 0.5", "mAP50"),
        ("map75", "mAP at IoU 0.75", "mAP75"),
        ("pixel_accuracy", "Pixel accuracy", "Pixel accuracy"),
    )
}
# Metrics that are shares of independent samples, so that their number says enough for an interval.
SHARES = ("top1", "top5", "top1_subset")
MEASURES = {name: field for name, field in _FIELDS.items() if isinstance(field, Measure)} | METRICS
# What the bytes of a sample consist of, and what a device has to spare.
PARTS = ("payload_bytes_mean", "side_info_bytes_mean", "framing_bytes_mean")
COSTS = ("device_macs", "device_params", "device_param_bits", "device_peak_activation_bytes", "device_ms_p50")
# The metric that a task's models are compared by.
MAIN_METRICS = {"image_classification": "top1", "object_detection": "map", "semantic_segmentation": "miou"}
# Its records have the qualities of several tasks.
JOINT_TASK = "multi_task"


def measure(name: str) -> Measure:
    """What is known of a field or a metric; one that is not in the table goes by its own name.

    >>> measure("miou").axis, measure("top1").column, measure("of_a_plugin").column
    ('mIoU (%)', 'Top-1 [%]', 'of_a_plugin')
    """
    return MEASURES.get(name, Measure(name, name))


def metric_measure(name: str) -> Measure:
    """As `measure`, for a metric of a task, which is a percentage whatever its name."""
    return METRICS.get(name, Measure(name, name, "%", "higher"))


def main_metrics(task: str) -> tuple[str, ...]:
    """The metrics that records of a task are compared by: one, or for several tasks in one record one each.

    >>> main_metrics("object_detection")
    ('map',)

    Raises:
        ConfigError: a task that is not in the table, such as one of a plugin.
    """
    if task == JOINT_TASK:
        return tuple(MAIN_METRICS.values())
    if task not in MAIN_METRICS:
        raise ConfigError(f"metric: nothing says what '{task}' is compared by; name a metric in the suite's file")
    return (MAIN_METRICS[task],)
