"""The one table of measures: what evaluation fills in is what records are checked for and reports can name."""

from sc2bench.evaluation.latency import SPANS, STATISTICS
from sc2bench.measures import COSTS, EXPORT_SPANS, FIRST, KINDS, LATER, MEASURES, METRICS, PARTS, Measure, measure


def test_every_number_of_a_record_has_a_name_for_readers():
    numbers = [name for name, kind in KINDS.items() if kind.fits(3) and not kind.fits("a" * 12)]
    assert {"bytes_mean", "device_macs", "server_ms_p95", "device_export_bytes"} < set(numbers)
    assert all(isinstance((FIRST | LATER)[name], Measure) for name in numbers)
    assert set(MEASURES) == {*numbers, *METRICS}
    assert all(known.label and known.short for known in MEASURES.values())


def test_times_of_exported_halves_stand_beside_those_of_pytorch():
    assert EXPORT_SPANS["int8"] == {"device_int8": "device", "device_int8_network": "device_network"}
    assert measure("device_int8_network_ms_p95").axis == (
        "Device network time, ONNX Runtime in 8 bits, 95th percentile (ms)"
    )
    assert {f"{span}_ms_{statistic}" for span in SPANS for statistic in STATISTICS} < set(MEASURES)


def test_metrics_are_percentages_of_which_more_is_better():
    assert {(known.unit, known.better, known.kind.fits(101)) for known in METRICS.values()} == {("%", "higher", False)}
    assert measure("map50").column == "mAP50 [%]"
    assert {measure(name).better for name in (*COSTS, *PARTS)} == {"lower"}
