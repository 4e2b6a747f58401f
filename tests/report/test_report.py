from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image

from sc2bench.cli import app
from sc2bench.core.errors import DataError
from sc2bench.report import (
    NoOverlap,
    bd_quality,
    bd_rate,
    bytes_at_quality,
    pareto_front,
    published_points,
    write_report,
)
from sc2bench.report.figures.axes import tick_values
from sc2bench.report.figures.curves import rate_quality_figure
from sc2bench.report.figures.style import identity, looks
from sc2bench.report.link.latency import compare_at
from sc2bench.report.published import points_for_figure
from sc2bench.report.tables.points import delta_table, equal_quality_table, summary_table
from sc2bench.report.tables.table import Table
from sc2bench.runs.suite import Suite
from tests import EMBEDDED

TABLES = [
    f"tables/{name}.{suffix}"
    for name in ("curves", "bjontegaard", "equal_quality", "budget_bytes", "budget_joint", "rate_parts", "points")
    for suffix in ("csv", "tex")
]
COST_FIGURES = ("cost_accuracy", "rate_cost_accuracy")
RATE = np.array([50.0, 100.0, 200.0, 400.0])
QUALITY = np.array([80.0, 88.0, 91.0, 92.0])


def records(dataset: str = "fashion_mnist") -> pd.DataFrame:
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
                    "task": "image_classification",
                    "dataset": dataset,
                    "split": "test",
                    "method": method,
                    "codec": codec,
                    "prior": "factorized" if method == "entropic_student" else None,
                    "teacher": "resnet50",
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
    delta = bd_rate(RATE, QUALITY, RATE / 2, QUALITY)
    assert delta.value == pytest.approx(-50)
    assert (delta.low, delta.high, delta.share) == (80, 92, 1)
    assert bd_rate(RATE, QUALITY, RATE * 3, QUALITY).value == pytest.approx(200)
    # A point that another one beats changes nothing.
    noisy = bd_rate(RATE, QUALITY, np.append(RATE / 2, 150), np.append(QUALITY, 85))
    assert noisy.value == pytest.approx(-50)


def test_quality_at_equal_rate():
    better = bd_quality(RATE, QUALITY, RATE, QUALITY + 2)
    assert better.value == pytest.approx(2)
    assert (better.low, better.high, better.share) == (50, 400, 1)
    # On lines a point a bit, half the bytes is one point of quality, wherever the curves overlap.
    line = np.array([80.0, 81.0, 82.0, 83.0])
    better = bd_quality(RATE, line, RATE / 2, line)
    assert better.value == pytest.approx(1)
    # Two of the three doublings of either.
    assert (better.low, better.high, better.share) == pytest.approx((50, 200, 2 / 3))
    with pytest.raises(NoOverlap, match=r"the anchor covers 50 ... 400 bytes, the curve 5 ... 40 bytes"):
        bd_quality(RATE, QUALITY, RATE / 10, QUALITY)


def test_points_that_send_nothing_are_not_interpolated():
    nothing = np.append(0.0, RATE), np.append(10.0, QUALITY)
    assert bytes_at_quality(*nothing, 90) == bytes_at_quality(RATE, QUALITY, 90)
    assert bytes_at_quality(*nothing, 50) is None
    assert bd_rate(*nothing, RATE / 2, QUALITY) == bd_rate(RATE, QUALITY, RATE / 2, QUALITY)
    assert bd_quality(RATE, QUALITY, *nothing) == bd_quality(RATE, QUALITY, RATE, QUALITY)
    frame = pd.DataFrame({"bytes_mean": nothing[0], "top1": nothing[1], "rate": range(5)}).assign(
        curve="WebP", method="input_codec", device_ms_p50=1.0, server_ms_p50=1.0, server_network_ms_p50=1.0
    )
    (choice,) = compare_at(frame.assign(teacher="resnet50"), "top1", 50).choices
    assert (choice.sent_bytes, choice.quality) == (50, 80)


def test_delta_over_a_part_of_the_range_by_hand():
    # Straight lines in log2 of the rate: quality q costs q - 80 doublings on the anchor, 2 q - 161 on the curve. Over
    # the common 81 to 83 the mean of the difference q - 81 is one doubling: +100 %.
    anchor, curve = np.array([80.0, 81, 82, 83]), np.array([81.0, 82, 83, 84, 85])
    delta = bd_rate(2 ** (anchor - 80), anchor, 2 ** (2 * curve - 161), curve)
    assert delta.value == pytest.approx(100)
    assert (delta.low, delta.high, delta.share) == pytest.approx((81, 83, 2 / 3))
    # At r doublings the anchor has 80 + r, the curve 80.5 + r / 2, over the common 1 to 3: mean of 0.5 - r / 2 is -0.5.
    delta = bd_quality(2 ** (anchor - 80), anchor, 2 ** (2 * curve - 161), curve)
    assert delta.value == pytest.approx(-0.5)
    assert (delta.low, delta.high, delta.share) == pytest.approx((2, 8, 2 / 3))


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


def test_deltas_say_what_they_cover_or_why_there_is_none():
    table, notes = delta_table(records(), "top1", "WebP")
    rows = table.frame.set_index("Curve")
    assert rows.loc["Student", "BD rate [%]"] == pytest.approx(-50)
    assert rows.loc["Student", ["over Top-1", "share of Top-1"]].tolist() == ["80.00 ... 92.00", 100]
    assert rows.loc["Student", "BD Top-1 [points]"] > 1
    assert rows.loc["Student", "over bytes"] == "50 ... 200"
    assert rows.loc["Student", "share of bytes"] == pytest.approx(200 / 3)
    # The anchor is not compared with itself, and the teacher has no rate to choose.
    assert list(rows.index) == ["Student", "Worse"]
    assert len(notes) == 1
    assert notes[0].startswith("Worse: no BD rate, because the curves share too little quality")
    joint = summary_table(records(), "top1").frame.set_index("Curve")["On the joint front"]
    assert joint.to_dict() == {"WebP": 0, "Student": 4, "Worse": 0}


def test_summary_gives_bytes_near_the_teacher():
    # The teacher has 93 %: two points less is where the curves have 91 %, one less their best.
    table = summary_table(records(), "top1").frame.set_index("Curve")
    assert table["Bytes, teacher - 2"].to_dict() == {"WebP": "200.0", "Student": "100.0", "Worse": ""}
    assert table["Bytes, teacher - 1"].to_dict() == {"WebP": "400.0", "Student": "200.0", "Worse": ""}
    above = records()
    above.loc[above["curve"] == "WebP", "top1"] = [91.5, 91.7, 91.8, 91.9]
    table = summary_table(above, "top1").frame.set_index("Curve")
    assert table.loc["WebP", "Bytes, teacher - 2"] == "<= 50.0"
    assert table.loc["WebP", "Bytes, teacher - 1"] == ""


def test_bytes_at_the_qualities_of_the_anchor():
    table = equal_quality_table(records(), "top1", "WebP").frame.set_index("Curve")
    assert list(table.columns) == ["80.00 %", "88.00 %", "91.00 %", "92.00 %"]
    assert table.loc["WebP"].tolist() == RATE.tolist()
    assert table.loc["Student"].tolist() == pytest.approx((RATE / 2).tolist())
    assert table.loc["Worse"].isna().all()


def test_markdown_aligns_numbers_and_leaves_gaps_empty():
    frame = pd.DataFrame({"name": ["a", "b"], "value": [1.25, float("nan")], "macs": [1_234_567, 5]})
    table = Table("t", "T", "", frame, {"value": ".2f", "macs": ",.0f"}, best=["value"])
    assert table.to_markdown() == (
        "| name | value | macs |\n| --- | ---: | ---: |\n| a | **1.25** | 1,234,567 |\n| b |  | 5 |\n"
    )


@pytest.mark.slow
def test_report_writes_tables_and_figures_that_repeat(tmp_path):
    written = write_report(records(), tmp_path / "a/x", title="Suite x", metric="top1", anchor="WebP")
    assert [str(path.relative_to(tmp_path / "a/x")) for path in written] == [
        "table.md",
        *TABLES,
        *(f"{name}.{suffix}" for name in ("rate_accuracy", *COST_FIGURES) for suffix in ("png", "pdf")),
    ]
    again = write_report(records(), tmp_path / "b/x", title="Suite x", metric="top1", anchor="WebP")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]
    assert len(pd.read_csv(tmp_path / "a/x/tables/points.csv")) == 13
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 900
        if path.suffix == ".pdf":
            # Type 42 fonts are embedded as TrueType; type 3 would be refused by publishers.
            assert b"/FontFile2" in path.read_bytes()
            assert b"/Type3" not in path.read_bytes()


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def drawn(axes) -> dict:
    return {line.get_label(): line for line in axes.get_lines()}


def test_figure_has_a_curve_a_method_and_the_teacher_as_a_line():
    figure = rate_quality_figure(records(), "top1")
    axes = figure.axes[0]
    assert legend(figure) == ["WebP", "Student", "Worse", "Teacher"]
    assert axes.get_xscale() == "log"
    assert "bytes" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()
    lines = drawn(axes)
    assert lines["Student"].get_xdata().tolist() == (RATE / 2).tolist()
    assert [93.0, 93.0] in [list(line.get_ydata()) for line in axes.get_lines()]
    colours = {lines[label].get_color() for label in ("WebP", "Student", "Worse")}
    assert len(colours) == 3
    # No curve of the legend is out of sight.
    assert axes.get_ylim()[0] < 32


def test_a_figure_shows_the_chosen_curves_in_the_same_look():
    whole = drawn(rate_quality_figure(records(), "top1").axes[0])["Student"]
    figure = rate_quality_figure(records(), "top1", ["Student"])
    assert legend(figure) == ["Student", "Teacher"]
    part = drawn(figure.axes[0])["Student"]
    assert (part.get_color(), part.get_marker()) == (whole.get_color(), whole.get_marker())
    # Far above the third curve now.
    assert figure.axes[0].get_ylim()[0] > 75


def test_many_curves_take_a_wide_figure_whose_legend_fits():
    one = records().query("curve == 'WebP'")
    many = [one.assign(curve=f"A rather long name of a curve {i}", bytes_mean=RATE * (1 + i)) for i in range(12)]
    figure = rate_quality_figure(pd.concat(many, ignore_index=True), "top1")
    assert len(figure.axes) == 2
    assert figure.get_figwidth() > 2 * rate_quality_figure(records(), "top1").get_figwidth()
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width
    assert figure.axes[1].get_ylim()[0] > figure.axes[0].get_ylim()[0]


def test_every_curve_of_a_figure_has_its_own_look():
    methods = ["entropic_student", "entropy_bottleneck", "input_codec", "neural_input_codec", "of_a_plugin"]
    priors = [None, "factorized", "scale_hyperprior", "mean_scale_hyperprior"]
    firsts = {
        f"{method} {prior} {teacher} {again}": {"method": method, "prior": prior, "codec": None, "teacher": teacher}
        for method in methods
        for prior in priors
        for teacher in ("resnet50", "resnet101")
        for again in range(2)
    }
    given = looks(firsts, [firsts])
    assert len(set(given.values())) == len(firsts)
    # Another teacher's curves look alike in a figure of their own, whatever else the suite has.
    first, second = "entropic_student factorized resnet50 0", "entropic_student factorized resnet101 0"
    apart = looks(firsts, [[first], [second]])
    assert apart[first] == apart[second] == given[first]


def test_identity_is_method_and_codec_or_prior():
    base = {"method": "input_codec", "codec": "jpeg", "prior": float("nan")}
    assert identity(base) == ("input_codec", "jpeg")
    assert identity(base | {"method": "entropic_student", "codec": None, "prior": "scale_hyperprior"}) == (
        "entropic_student",
        "scale_hyperprior",
    )
    assert identity(base | {"method": "end_to_end", "codec": None, "prior": "factorized"}) == ("end_to_end", "")


@given(st.floats(1, 1e6), st.floats(1.2, 1e5), st.sampled_from([200.0, 300.0]))
def test_labels_of_ticks_keep_their_distance(low, span, width):
    high = low * span
    values = np.array(tick_values(low, high, width, 6.5))
    assert ((values >= low) & (values <= high)).all()
    if span > 10:
        assert len(values) >= 1
    places = np.log(values / low) / np.log(high / low) * width
    widths = np.array([len(f"{value:g}") * 0.64 * 6.5 for value in values])
    assert (np.diff(places) > (widths[1:] + widths[:-1]) / 2).all()


def test_published_points_agree_by_task_data_set_split_and_metric():
    points = published_points(records("ilsvrc2012"), "top1")
    assert len(points) == 91
    student = points.query("method == 'entropic_student'")
    # 0.68 KB of 1024 bytes, 59.9 %.
    assert student[["bytes_mean", "top1"]].iloc[0].tolist() == [696, 59.9]
    # 1.8163542 bits per pixel of 224 x 224, by the same convention.
    exact = points.query("curve == 'Duan & Zhu n0'")["bytes_mean"].max()
    assert exact == round(1.8163542315051018 * 224 * 224 / 8)
    assert published_points(records(), "top1").empty
    assert published_points(records("ilsvrc2012"), "map").empty
    assert published_points(records("ilsvrc2012").assign(split="validation"), "top1").empty


@pytest.mark.slow
def test_published_curves_are_dashed_behind_those_of_the_same_method(tmp_path):
    measured = records("ilsvrc2012")
    figures = {"first": ["Student", "Worse", "Teacher"], "second": ["WebP"]}
    written = write_report(
        measured, tmp_path, title="x", metric="top1", anchor=None, figures=figures,
        published=published_points(measured, "top1"),
    )  # fmt: skip
    names = [path.stem for path in written if path.suffix == ".png"]
    assert names == ["first", "second", *COST_FIGURES]
    text = written[0].read_text()
    assert "| Entropic Student (factorized) | resnet50 | 696 | 59.90 | 1 |" in text
    assert "1. Matsubara et al., TMLR 2023" in text

    published = published_points(measured, "top1").query("codec == 'webp'")
    figure = rate_quality_figure(measured, "top1", ["WebP"], published)
    assert legend(figure) == ["WebP", "Teacher", "Published, in the same hue"]
    assert "Matsubara et al., TMLR 2023" in figure.get_supxlabel()
    mine, theirs = [line for line in figure.axes[0].get_lines() if line.get_label() == "WebP"][::-1]
    assert theirs.get_xdata().tolist() == [2458, 3174, 3994, 25600]
    marks = {line.get_color(): line for line in figure.axes[0].get_lines() if line.get_linestyle() == "None"}
    assert marks[theirs.get_color()].get_marker() == marks[mine.get_color()].get_marker()
    assert marks[theirs.get_color()].get_fillstyle() == "none"
    assert theirs.get_zorder() < mine.get_zorder()
    assert theirs.is_dashed()
    assert not mine.is_dashed()
    # The same hue, nearer to white.
    assert np.allclose(to_rgb(theirs.get_color()), 0.4 + 0.6 * np.array(to_rgb(mine.get_color())), atol=0.01)


def test_unmeasured_published_curves_stand_in_the_main_figure_only():
    measured = records("ilsvrc2012")
    points = published_points(measured, "top1")
    names = {("input_codec", "webp"), ("input_codec", "jpeg"), ("entropic_student", "factorized")}
    main = points_for_figure(points, {("input_codec", "webp")}, names, main=True)
    other = points_for_figure(points, {("input_codec", "webp")}, names, main=False)
    assert set(other["curve"]) == {"WebP"}
    assert {"WebP", "BPG", "CR+BQ", "Duan & Zhu n8"} <= set(main["curve"])
    assert not {"JPEG", "Entropic Student (factorized)"} & set(main["curve"])


def test_nothing_to_report_is_an_error(tmp_path):
    with pytest.raises(DataError, match="run the suite first"):
        write_report(records().iloc[:0], tmp_path, title="x", metric="top1", anchor=None)
    with pytest.raises(DataError, match="metric 'map'"):
        write_report(records(), tmp_path, title="x", metric="map", anchor=None)


def test_report_command_makes_figures_of_a_suite_and_says_when_nothing_is_published(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("""
overrides: [task=fashion_mnist, method=input_codec]
figures: {main: [WebP], other: [JPEG], unmeasured: [AVIF]}
curves:
- {label: WebP, overrides: [method.codec=webp], rates: [30, 50]}
- {label: JPEG, overrides: [method.codec=jpeg], rates: [50]}
- {label: AVIF, overrides: [method.codec=avif], rates: [50]}
""")
    output = f"output={tmp_path}"
    folder = EMBEDDED / "image_classification/input_codec"
    for run in Suite.load(str(path), [output]).all_experiments()[:3]:
        codec, rate = run.config.method.codec, int(run.config.rate)
        (real,) = folder.glob(f"*-{codec}-{rate}-s0-*.json")
        run.record_path.parent.mkdir(parents=True, exist_ok=True)
        run.record_path.write_bytes(real.read_bytes())
    app(["report", str(path), "--published", output], standalone_mode=False)
    said = capsys.readouterr()
    names = [Path(line).name for line in said.out.split()]
    # No anchor, hence no deltas; codecs cost the device no MACs, hence no figure of them.
    tables = [Path(name).name for name in TABLES if "bjontegaard" not in name and "equal" not in name]
    assert names == ["table.md", *tables, "main.png", "main.pdf", "other.png", "other.pdf"]
    assert said.err.splitlines() == [
        "1 of 4 points are not measured yet",
        "there are no published points of top1 for image_classification on fashion_mnist; no overlay is drawn",
    ]
    assert "Published" not in (tmp_path / "table.md").read_text()
