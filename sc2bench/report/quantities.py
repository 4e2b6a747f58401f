"""What records measure, in one table: how axes and heads of tables call it, its unit, and which way is better."""

from dataclasses import dataclass
from typing import Literal

from sc2bench.core.errors import ConfigError

# Units that stand behind a name in the head of a column; others are clear from the name.
_HEAD_UNITS = ("%", "ms")


@dataclass(frozen=True)
class Quantity:
    """One numeric field of a record.

    Attributes:
        label: on axes.
        short: in heads of tables and in sentences.
        unit: in words, or empty where the label says it.
        better: where better values lie, or empty where that can't be said.
    """

    label: str
    short: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""

    @property
    def axis(self) -> str:
        """The label with its unit, for a linear axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def head(self) -> str:
        """The head of a table's column."""
        return f"{self.short} [{self.unit}]" if self.unit in _HEAD_UNITS else self.short


METRICS = {
    "top1": Quantity("Top-1 accuracy", "Top-1", "%", "higher"),
    "top5": Quantity("Top-5 accuracy", "Top-5", "%", "higher"),
    "top1_subset": Quantity("Top-1 accuracy among the classes that occur", "Top-1 of occurring", "%", "higher"),
    "map": Quantity("mAP", "mAP", "%", "higher"),
    "miou": Quantity("mIoU", "mIoU", "%", "higher"),
}
_SPANS = {
    "device": "Device time",
    "device_network": "Device network time",
    "device_coder": "Device coder time",
    "device_onnx": "Device time, ONNX Runtime",
    "device_onnx_network": "Device network time, ONNX Runtime",
    "device_int8": "Device time, ONNX Runtime in 8 bits",
    "device_int8_network": "Device network time, ONNX Runtime in 8 bits",
    "server": "Server time",
    "server_coder": "Server coder time",
    "server_network": "Server network time",
}
_STATISTICS = {"p50": "", "p50_low": ", from", "p50_high": ", to", "p95": ", 95th percentile"}
COSTS = {
    "device_macs": Quantity("Device MACs", "Device MACs", "", "lower"),
    "device_params": Quantity("Device parameters", "Device params", "", "lower"),
    "device_param_bits": Quantity("Device parameters", "Device param bits", "bits", "lower"),
    "device_peak_activation_bytes": Quantity("Device activations, peak", "Device peak bytes", "bytes", "lower"),
    "device_ms_p50": Quantity("Device time", "Device time", "ms", "lower"),
}
_OTHERS = {
    "rate": Quantity("Rate knob", "Value"),
    "bytes_mean": Quantity("Data size", "Bytes", "bytes per image", "lower"),
    "bytes_p50": Quantity("Data size, median", "Bytes p50", "bytes", "lower"),
    "bytes_p95": Quantity("Data size, 95th percentile", "Bytes p95", "bytes", "lower"),
    "payload_bytes_mean": Quantity("Payload", "Payload", "bytes per image", "lower"),
    "side_info_bytes_mean": Quantity("Side information", "Side info", "bytes per image", "lower"),
    "uncoded_bytes_mean": Quantity("Side information without a prior", "Uncoded", "bytes per image", "lower"),
    "framing_bytes_mean": Quantity("Framing", "Framing", "bytes per image", "lower"),
    "session_bytes": Quantity("Session header", "Session", "bytes, sent once", "lower"),
    "estimated_bits_mean": Quantity("Estimated rate", "Estimated bits", "bits per image", "lower"),
    "server_params": Quantity("Server parameters", "Server params", "", "lower"),
    "server_param_bits": Quantity("Server parameters", "Server param bits", "bits", "lower"),
    "server_peak_activation_bytes": Quantity("Server activations, peak", "Server peak bytes", "bytes", "lower"),
    "server_macs": Quantity("Server MACs", "Server MACs", "", "lower"),
    "encode_ms": Quantity("Encoding time", "Encode", "ms", "lower"),
    "decode_ms": Quantity("Decoding time", "Decode", "ms", "lower"),
    "device_export_bytes": Quantity("Device half as ONNX", "ONNX bytes", "bytes", "lower"),
    "device_int8_export_bytes": Quantity("Device half as ONNX in 8 bits", "ONNX int8 bytes", "bytes", "lower"),
    "latency_repeats": Quantity("Repetitions of times", "Repeats"),
    "latency_threads": Quantity("Threads of times", "Threads"),
    "samples": Quantity("Samples", "Samples"),
    "seed": Quantity("Seed", "Seed"),
}
# Of single images: the median with its confidence interval, and the slow ones.
_TIMES = {
    f"{span}_ms_{statistic}": Quantity(f"{label}{which}", f"{label}{which}", "ms", "lower")
    for span, label in _SPANS.items()
    for statistic, which in _STATISTICS.items()
}
QUANTITIES = _TIMES | METRICS | COSTS | _OTHERS
# The metric that a task's models are compared by.
MAIN_METRICS = {"image_classification": "top1", "object_detection": "map", "semantic_segmentation": "miou"}
# Its records have the qualities of several tasks.
JOINT_TASK = "multi_task"


def quantity(name: str) -> Quantity:
    """What is known of a field; one that is not in the table goes by its own name.

    >>> quantity("miou").axis, quantity("top1").head, quantity("of_a_plugin").head
    ('mIoU (%)', 'Top-1 [%]', 'of_a_plugin')
    """
    return QUANTITIES.get(name, Quantity(name, name))


def metric_quantity(name: str) -> Quantity:
    """As `quantity`, for a metric of a task, which is a percentage whatever its name."""
    return METRICS.get(name, Quantity(name, name, "%", "higher"))


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


def task_name(task: str) -> str:
    """A task in words.

    >>> task_name("object_detection")
    'object detection'
    """
    return task.replace("_", " ")
