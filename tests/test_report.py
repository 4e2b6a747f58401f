import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sc2bench.errors import DataError
from sc2bench.report import NoOverlap, bd_rate, bytes_at_quality, pareto_front, write_report
from sc2bench.report.figures import rate_quality_figure
from sc2bench.report.tables import equal_quality_table, summary_table, to_markdown

RATE = np.array([50.0, 100.0, 200.0, 400.0])
QUALITY = np.array([80.0, 88.0, 91.0, 92.0])


def records() -> pd.DataFrame:
    """Made-up points: the second curve needs half of the first one's bytes, the third shares no quality."""
    rows = []
    for curve, codec, method, rates, qualities in (
        ("WebP", "webp", "input_codec", RATE, QUALITY),
        ("Student", None, "entropic_student", RATE / 2, QUALITY),
        ("Worse", "jpeg", "input_codec", RATE, QUALITY - 60),
        ("Teacher", "raw", "teacher", [786.0], [93.0]),
    ):
        for knob, (rate, quality) in enumerate(zip(rates, qualities, strict=True)):
            rows.append(
                {
                    "curve": curve,
                    "method": method,
                    "codec": codec,
                    "rate_knob": None if method == "teacher" else "quality",
                    "rate": float(knob),
                    "bytes_mean": rate,
                    "payload_bytes_mean": rate - 1,
                    "side_info_bytes_mean": 0.0,
                    "framing_bytes_mean": 1.0,
                    "bytes_p95": rate + 9,
                    "estimated_bits_mean": None,
                    "top1": quality,
                    "device_params": 10,
                    "device_macs": 2000,
                    "encode_ms": 0.1234,
                    "decode_ms": 1.0,
                }
            )
    return pd.DataFrame(rows)


points = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=30)


@given(points)
def test_front_is_what_no_point_beats(pairs):
    rate, quality = (np.array(axis) for axis in zip(*pairs, strict=True))
    front = pareto_front(rate, quality)
    assert (np.diff(rate[front]) > 0).all()
    assert (np.diff(quality[front]) > 0).all()
    for r, q in pairs:
        # Every point is beaten or equalled by one of the front, and none beats a point of the front.
        assert ((rate[front] <= r) & (quality[front] >= q)).any()
        assert not ((r <= rate[front]) & (q >= quality[front]) & ((r < rate[front]) | (q > quality[front]))).any()


def test_half_the_bytes_is_minus_fifty_percent():
    delta, covered = bd_rate(RATE, QUALITY, RATE / 2, QUALITY)
    assert delta == pytest.approx(-50)
    assert covered == (80, 92)
    assert bd_rate(RATE, QUALITY, RATE * 3, QUALITY)[0] == pytest.approx(200)
    # A point that another one beats changes nothing.
    noisy = bd_rate(RATE, QUALITY, np.append(RATE / 2, 150), np.append(QUALITY, 85))
    assert noisy[0] == pytest.approx(-50)


def test_curves_without_common_quality_are_not_compared():
    with pytest.raises(NoOverlap, match=r"the anchor covers 80.00 ... 92.00 %, the curve 20.00 ... 32.00 %"):
        bd_rate(RATE, QUALITY, RATE, QUALITY - 60)
    with pytest.raises(NoOverlap, match="share too little quality"):
        bd_rate(RATE, QUALITY, RATE, QUALITY - 10)
    with pytest.raises(NoOverlap, match="the curve's Pareto front has 1 points"):
        bd_rate(RATE, QUALITY, RATE, QUALITY[::-1])


def test_bytes_at_quality_interpolates_inside_the_front_only():
    assert bytes_at_quality(RATE, QUALITY, 88) == pytest.approx(100)
    between = bytes_at_quality(RATE, QUALITY, 90)
    assert between is not None
    assert 100 < between < 200
    assert bytes_at_quality(RATE, QUALITY, 92.1) is None
    assert bytes_at_quality(RATE, QUALITY, 79) is None


def test_summary_compares_and_says_why_not():
    table = summary_table(records(), "top1", "WebP").set_index("Curve")
    deltas = table["BD rate against WebP [%]"]
    assert deltas["WebP"] == pytest.approx(0)
    assert deltas["Student"] == pytest.approx(-50)
    assert np.isnan(deltas["Worse"])
    assert "share too little quality" in table.loc["Worse", "over top1 [%]"]
    assert "Teacher" not in table.index
    equal = equal_quality_table(records(), "top1", "WebP")
    assert equal["Student"].tolist() == pytest.approx((RATE / 2).tolist())
    assert equal["Worse"].isna().all()


def test_markdown_aligns_numbers_and_leaves_gaps_empty():
    table = pd.DataFrame({"name": ["a", "b"], "value": [1.25, float("nan")], "macs": [1_234_567, 5]})
    assert to_markdown(table, {"value": ".2f", "macs": ",.0f"}) == (
        "| name | value | macs |\n| --- | ---: | ---: |\n| a | 1.25 | 1,234,567 |\n| b |  | 5 |\n"
    )


def test_report_writes_tables_and_figures_that_repeat(tmp_path):
    written = write_report(records(), tmp_path / "a", title="Suite x", metric="top1", anchor="WebP")
    assert [path.name for path in written] == ["table.md", "table.csv", "rate_accuracy.png", "rate_accuracy.pdf"]
    again = write_report(records(), tmp_path / "b", title="Suite x", metric="top1", anchor="WebP")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]
    assert len(pd.read_csv(written[1])) == 13
    with Image.open(written[2]) as image:
        assert image.width > 900
    # Type 42 fonts are embedded as TrueType; type 3 would be refused by publishers.
    content = written[3].read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_figure_has_a_curve_a_method_and_the_teacher_as_a_line():
    axes = rate_quality_figure(records(), "top1").axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["WebP", "Student", "Worse", "Teacher"]
    assert axes.get_xscale() == "log"
    assert "bytes" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["Student"].get_xdata().tolist() == (RATE / 2).tolist()
    assert set(lines["Teacher"].get_ydata()) == {93.0}
    colours = {line.get_color() for label, line in lines.items() if label in labels}
    assert len(colours) == 4


def test_nothing_to_report_is_an_error(tmp_path):
    with pytest.raises(DataError, match="run the suite first"):
        write_report(records().iloc[:0], tmp_path, title="x", metric="top1", anchor=None)
    with pytest.raises(DataError, match="metric 'map'"):
        write_report(records(), tmp_path, title="x", metric="map", anchor=None)
