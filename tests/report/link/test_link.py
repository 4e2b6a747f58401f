"""Latency over links, by hand."""

from math import inf

import numpy as np
import pandas as pd
import pytest

from sc2bench.core.errors import DataError
from sc2bench.core.text import one_line
from sc2bench.report import bytes_at_quality, write_report
from sc2bench.report.link.figure import link_figure
from sc2bench.report.link.latency import IDEAL, Choice, Link, compare_at, crossover, fastest, has_times, profiles
from sc2bench.report.link.tables import crossover_table, link_tables
from tests.report.test_report import QUALITY, RATE, legend, records

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


def test_curves_are_compared_at_one_quality():
    # The teacher has 93 %, a point less is what two of three curves reach; the worst one has 32 % at best.
    compared = compare_at(timed(), "top1")
    assert compared.quality == 92
    assert compared.missed == {"Worse": 32}
    found = {choice.label: choice for choice in compared.choices}
    assert list(found) == ["WebP", "Student", "Teacher", "Teacher, on the device"]
    assert (found["WebP"].sent_bytes, found["WebP"].quality, found["WebP"].rate) == (400, 92, 3)
    assert (found["Student"].sent_bytes, found["Student"].quality) == (200, 92)
    assert (found["Teacher, on the device"].device_ms, found["Teacher, on the device"].sent_bytes) == (2.5, None)
    # Between points of 88 and 91 %, at 100 and 200 bytes, whose device times are 4 and 7 ms.
    frame = timed()
    frame.loc[frame["curve"] == "Student", "device_ms_p50"] = [4.0, 4.0, 7.0, 7.0]
    student = next(choice for choice in compare_at(frame, "top1", 90).choices if choice.label == "Student")
    assert student.sent_bytes == pytest.approx(bytes_at_quality(RATE / 2, QUALITY, 90))
    assert (student.device_ms, student.quality, student.rate) == (pytest.approx(6), 90, None)
    # One that starts above has its cheapest point, one that ends a little below its best.
    ends = {choice.label: choice for choice in compare_at(timed(), "top1", 60).choices}
    assert (ends["WebP"].sent_bytes, ends["WebP"].quality) == (50, 80)
    ends = {choice.label: choice for choice in compare_at(timed(), "top1", 92.4).choices}
    assert (ends["WebP"].sent_bytes, ends["WebP"].quality) == (400, 92)
    with pytest.raises(DataError, match=r"--quality: no curve that was timed reaches nan %"):
        compare_at(timed(), "top1", np.nan)
    with pytest.raises(DataError, match=r"--quality: no curve that was timed reaches 92.6 %; .* 'WebP', has 92.00"):
        compare_at(timed(), "top1", 92.6)
    partly = timed()
    partly.loc[partly["curve"] == "Student", "device_ms_p50"] = None
    assert "Student" not in {choice.label for choice in compare_at(partly, "top1").choices}


def test_a_quick_and_poor_curve_is_not_the_fastest():
    frame = timed()
    frame.loc[frame["curve"] == "Worse", ["device_ms_p50", "server_ms_p50", "bytes_mean"]] = [0.1, 0.1, 5.0]
    table = link_tables(frame, "top1")[1]
    assert "Worse" not in set(table.frame["Fastest"])
    assert "Not compared, for they don't reach it: Worse (at best 32.0 %)." in table.caption
    assert set(table.frame["Top-1 [%]"]) <= {92, 93}
    # At a quality that all reach, it is.
    low = link_tables(frame, "top1", 30)[1].frame
    assert set(low["Fastest"]) == {"Worse", "Teacher, on the device"}


@pytest.mark.slow
def test_report_has_links_where_there_are_times(tmp_path):
    assert not has_times(records(), "top1")
    assert not has_times(timed().assign(device_ms_p50=None), "top1")
    written = write_report(timed(), tmp_path, title="x", metric="top1", anchor=None)
    names = {path.name for path in written}
    assert {"link_latency.png", "link_latency.csv", "link_fastest.tex", "link_crossovers.csv"} <= names
    table = pd.read_csv(tmp_path / "tables/link_latency.csv").set_index("Curve")
    assert table.loc["WebP", "LTE [ms]"] == pytest.approx(1 + 20 + 8 * 440 / 5160 + 3)
    assert table.loc["Teacher, on the device"].filter(like="[ms]").tolist() == [2.5, 0, *[2.5] * 5]
    text = (tmp_path / "table.md").read_text()
    assert table.loc["Worse", ["Compared", "Top-1 [%]"]].tolist() == ["no", 32]
    assert table.loc["Worse"].filter(like="[ms]").isna().all()
    assert "## End-to-end latency at a Top-1 of 92 %" in text
    assert "on Some CPU with 1 thread." in text
    assert "## Crossover bandwidths" not in text
    assert len(pd.read_csv(tmp_path / "tables/link_crossovers.csv")) == 6


def test_figure_has_a_line_a_choice_and_marks_profiles():
    figure = link_figure(timed(), "top1", ["WebP", "Student", "Worse"])
    shown = [("WebP", 92), ("Student", 92), ("Teacher", 93), ("Teacher, on the device", 93)]
    assert legend(figure) == [f"{label} ({quality:.1f} %)" for label, quality in shown]
    assert "At a Top-1 of 92 %" in figure.get_supxlabel()
    assert "Not compared, for they don't reach it: Worse (at best 32.0 %)." in one_line(figure.get_supxlabel())
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
