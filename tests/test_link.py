"""Latency over links, by hand."""

from math import inf

import numpy as np
import pandas as pd
import pytest

from sc2bench.report import write_report
from sc2bench.report.link import IDEAL, Choice, Link, choices, crossover, fastest, has_times, profiles
from sc2bench.report.link_figure import link_figure
from sc2bench.report.link_tables import crossover_table, link_tables
from tests.test_report import legend, records

SLOW = Link("slow", 80.0, round_trip_ms=30, loss=0.2, message_bytes=100, overhead_bytes=10)
STUDENT = Choice("Student", device_ms=20, server_ms=10, sent_bytes=50, quality=90)
JPEG = Choice("JPEG", device_ms=2, server_ms=18, sent_bytes=450, quality=90)
ALONE = Choice("Alone", device_ms=100, server_ms=0, sent_bytes=None, quality=92)


def timed() -> pd.DataFrame:
    frame = records()
    device = frame["curve"].map({"WebP": 1.0, "Student": 4.0, "Worse": 1.0, "Teacher": 0.5})
    return frame.assign(
        device_ms_p50=device, server_ms_p50=3.0, server_network_ms_p50=2.5, latency_threads=1,
        environment=[{"processor": "Some CPU", "accelerator": None}] * len(frame),
    )  # fmt: skip


def test_latency_over_a_link_is_device_link_and_server():
    # 450 bytes are five messages of 100 with 10 more each: 500 bytes; each is sent 1.25 times, at 80 bits a ms.
    assert SLOW.bits(450) == pytest.approx(8 * 500 * 1.25)
    assert JPEG.end_to_end_ms(SLOW) == pytest.approx(2 + 30 * 1.25 + 8 * 500 * 1.25 / 80 + 18)
    assert JPEG.end_to_end_ms(SLOW, 8000) == pytest.approx(2 + 30 * 1.25 + 8 * 500 * 1.25 / 8000 + 18)
    assert STUDENT.end_to_end_ms(IDEAL) == 30
    assert ALONE.end_to_end_ms(SLOW) == 100


def test_crossovers_by_hand():
    # 400 bytes more take the 10 ms that JPEG is quicker, at 320 bits a ms.
    assert crossover(STUDENT, JPEG) == pytest.approx(320)
    assert crossover(JPEG, STUDENT) == pytest.approx(320)
    for first, second, link in ((STUDENT, JPEG, SLOW), (JPEG, ALONE, SLOW), (STUDENT, ALONE, IDEAL)):
        bandwidth = crossover(first, second, link)
        assert first.end_to_end_ms(link, bandwidth) == pytest.approx(second.end_to_end_ms(link, bandwidth))
    # More bytes and no quicker: never.
    assert crossover(STUDENT, Choice("Raw", 20, 10, 800, 90)) is None
    assert crossover(STUDENT, Choice("Heavy", 20, 50, 60, 90)) is None
    assert crossover(ALONE, Choice("Far", 1, 1, 10, 90), Link("", 1.0, round_trip_ms=200)) is None
    assert crossover(STUDENT, STUDENT) is None


def test_the_fastest_changes_at_crossovers():
    found = fastest([JPEG, STUDENT, ALONE])
    # 400 bits take the 70 ms that the student leaves to the teacher on the device.
    assert [(low, high, choice.label) for low, high, choice in found] == [
        (0.0, pytest.approx(400 / 70), "Alone"),
        (pytest.approx(400 / 70), pytest.approx(320), "Student"),
        (pytest.approx(320), inf, "JPEG"),
    ]
    assert fastest([STUDENT]) == [(0.0, inf, STUDENT)]
    pairs = crossover_table([STUDENT, JPEG, ALONE]).frame
    assert pairs.iloc[0].tolist() == ["Student", "JPEG", pytest.approx(320), "Student", "JPEG"]
    heavy = crossover_table([STUDENT, Choice("Heavy", 20, 50, 60, 90)]).frame.iloc[0]
    assert heavy.tolist() == ["Student", "Heavy", None, "Student", "Student"]


def test_profiles_are_links():
    found = profiles()
    assert [link.name for link in found] == ["LoRa", "BLE", "LTE", "5G", "Wi-Fi"]
    assert [link.kbit_per_s for link in found] == sorted(link.kbit_per_s for link in found)
    # 20 bytes over LoRa are a frame of 33. Of a preamble of 12.25 symbols and 58 more, of 1.024 ms each, as the data
    # sheet has it; one in twenty is sent again.
    sent_ms = found[0].bits(20) / found[0].kbit_per_s
    assert sent_ms == pytest.approx((12.25 + 8 + 10 * 5) * 1.024 / 0.95, rel=0.01)


def test_a_point_of_each_curve_is_chosen_near_the_teacher():
    found = {choice.label: choice for choice in choices(timed(), "top1")}
    assert list(found) == ["WebP", "Student", "Worse", "Teacher", "Teacher, on the device"]
    # The teacher has 93 %; only the last points have 92 %, and the worst curve has none.
    assert (found["WebP"].sent_bytes, found["WebP"].quality) == (400, 92)
    assert (found["Student"].sent_bytes, found["Student"].rate) == (200, 3)
    assert found["Worse"].quality == 32
    assert (found["Teacher, on the device"].device_ms, found["Teacher, on the device"].sent_bytes) == (2.5, None)
    partly = timed()
    partly.loc[partly["curve"] == "Student", "device_ms_p50"] = None
    assert "Student" not in {choice.label for choice in choices(partly, "top1")}


def test_report_has_links_where_there_are_times(tmp_path):
    assert not has_times(records())
    assert not has_times(timed().assign(device_ms_p50=None))
    written = write_report(timed(), tmp_path, title="x", metric="top1", anchor=None)
    names = {path.name for path in written}
    assert {"link_latency.png", "link_latency.csv", "link_fastest.tex", "link_crossovers.csv"} <= names
    table = pd.read_csv(tmp_path / "tables/link_latency.csv").set_index("Curve")
    assert table.loc["WebP", "LTE [ms]"] == pytest.approx(1 + 20 + 8 * 440 / 5160 + 3)
    assert table.loc["Teacher, on the device"].filter(like="[ms]").tolist() == [2.5, 0, *[2.5] * 5]
    text = (tmp_path / "table.md").read_text()
    assert "## End-to-end latency" in text
    assert "on Some CPU with 1 thread." in text
    assert "## Crossover bandwidths" not in text
    assert len(pd.read_csv(tmp_path / "tables/link_crossovers.csv")) == 10


def test_figure_has_a_line_a_choice_and_marks_profiles():
    figure = link_figure(timed(), "top1", ["WebP", "Student"])
    assert legend(figure) == ["WebP", "Student", "Teacher", "Teacher, on the device"]
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    bandwidth, latency = (np.asarray(values) for values in lines["WebP"].get_data())
    assert latency == pytest.approx(4 + 8 * 400 / bandwidth)
    figure.canvas.draw()
    names = [label.get_text() for label in axes.child_axes[0].get_xticklabels()]
    assert names == ["LoRa", "BLE", "LTE", "5G", "Wi-Fi"]


def test_times_of_several_machines_are_named():
    frame = timed()
    frame.at[0, "environment"] = {"processor": "Other", "accelerator": "GPU"}
    caption = link_tables(frame, "top1")[0].caption
    assert "on GPU with 1 thread; Some CPU with 1 thread." in caption
