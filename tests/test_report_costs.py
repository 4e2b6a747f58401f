"""Figures of what methods cost the device."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sc2bench.cli import app
from sc2bench.errors import ConfigError, DataError
from sc2bench.report import write_report
from sc2bench.report.areas import AreaScale
from sc2bench.report.cost_figures import cost_quality_figure, rate_cost_quality_figure
from sc2bench.report.places import place
from sc2bench.suite import Suite
from tests.test_report import QUALITY, RATE, legend, records

MACS = {"WebP": 0.0, "Student": 1e6, "Worse": 1e7}


def costs(**macs: float | None) -> pd.DataFrame:
    frame = records()
    return frame.assign(device_macs=frame["curve"].map(MACS | {"Teacher": 0.0} | macs))


def marks(axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places and areas of the filled markers, a curve each."""
    found = [(points.get_offsets().data, points.get_sizes()) for points in axes.collections]
    return [pair for pair in found if len(pair[0])]


def test_curves_of_one_cost_keep_their_distance_and_others_their_place():
    single, pair, apart = np.full(3, 1e6), [np.full(2, 1e7), np.full(2, 1e7)], np.array([1e8, 2e8])
    placed = place([single, *pair, apart, np.zeros(2)], 200)
    x = [column[0] for column in placed.columns]
    assert placed.columns[0].tolist() == pytest.approx([1e6] * 3)
    assert placed.columns[3].tolist() == pytest.approx([1e8, 2e8])
    assert x[1] < 1e7 < x[2]
    assert x[1] * x[2] == pytest.approx(1e14)
    points = 200 / np.log(placed.limits[1] / placed.limits[0])
    assert np.log(x[2] / x[1]) * points == pytest.approx(6.8)
    # Nothing stands left of a break, whose middle is between it and the rest.
    assert x[4] == pytest.approx(placed.nothing)
    assert placed.limits[0] < x[4] < placed.gap < placed.low < x[0]
    assert placed.moved
    assert not place([single, apart], 200).moved
    assert place([single], 200).nothing is None


def test_cost_figure_has_a_column_a_curve_and_the_rate_as_area():
    figure = cost_quality_figure(costs(), "top1", "device_macs")
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "Device MACs (millions, log scale)"
    figure.canvas.draw()
    ticks = dict(zip([label.get_text() for label in axes.get_xticklabels()], axes.get_xticks(), strict=True))
    assert ticks["1"] == 1e6
    webp, student, worse = marks(axes)
    assert webp[0][:, 0].tolist() == pytest.approx([ticks["0"]] * 4)
    assert student[0].T.tolist() == [pytest.approx([1e6] * 4), QUALITY[::-1].tolist()]
    assert worse[0][0, 0] == pytest.approx(1e7)
    # The more bytes, the larger; points are drawn from large to small.
    assert webp[1][0] > webp[1][1] > webp[1][2] > webp[1][3]
    assert legend(figure) == ["WebP", "Student", "Worse", "Teacher"]
    areas = [text.get_text() for text in figure.legends[1].get_texts()]
    assert areas == ["Area: bytes per image:", "50", "100", "200"]


def test_a_narrow_range_of_costs_has_ticks_in_equal_steps():
    frame = costs(Student=14_000, Worse=28_000)
    axes = cost_quality_figure(frame, "top1", "device_macs").axes[0]
    assert axes.get_xlabel() == "Device MACs (thousands, log scale)"
    assert axes.get_xticks()[1:].tolist() == [15_000, 20_000, 25_000]


def test_three_way_figure_has_the_cost_as_area():
    figure = rate_cost_quality_figure(costs(), "top1", "device_macs")
    axes = figure.axes[0]
    webp, student, worse = marks(axes)
    assert student[0].T.tolist() == [(RATE / 2).tolist(), QUALITY.tolist()]
    assert len({*webp[1]}) == len({*student[1]}) == len({*worse[1]}) == 1
    # By the factors of the markers: square, circle, triangle.
    square, circle, triangle = webp[1][0] / 0.95**2, student[1][0], worse[1][0] / 1.1**2
    assert 0 < square < circle
    assert triangle / circle == pytest.approx(10)
    areas = [text.get_text() for text in figure.legends[1].get_texts()]
    assert areas == ["Area: Device MACs (millions):", "0", "1", "3", "10"]


def test_areas_are_in_proportion_until_markers_get_too_large():
    near = AreaScale.of(np.array([0, 2.0, 8.0]))
    small, large = near.diameters(np.array([2.0, 8.0]))
    assert large / small == pytest.approx(2)
    far = AreaScale.of(np.array([1.0, 1e6]))
    assert far.diameters(np.array([0.0, 1.0, 1e6])).tolist() == pytest.approx([2.4, 3.4, 11])


def test_missing_costs_are_said_and_not_drawn():
    figure = cost_quality_figure(costs(Student=None), "top1", "device_macs")
    assert legend(figure) == ["WebP", "Worse", "Teacher"]
    assert figure.legends[1].get_title().get_text() == "No Device MACs known: Student."
    partly = costs()
    partly.loc[partly.index[partly["curve"] == "Student"][:2], "device_macs"] = None
    assert len(marks(cost_quality_figure(partly, "top1", "device_macs").axes[0])[1][0]) == 2
    nothing = costs(WebP=None, Student=None, Worse=None)
    assert cost_quality_figure(nothing, "top1", "device_macs") is None
    assert rate_cost_quality_figure(costs(Student=0, Worse=0), "top1", "device_macs") is None


def test_a_suite_of_one_curve_without_costs_has_a_report(tmp_path):
    frame = records().query("curve == 'WebP'").assign(device_macs=None, device_params=None)
    written = write_report(frame, tmp_path, title="x", metric="top1", anchor="WebP", html=True)
    assert [path.stem for path in written if path.suffix == ".png"] == ["rate_accuracy"]
    assert written[-1].name == "explorer.html"
    joint = pd.read_csv(tmp_path / "tables/budget_joint.csv")
    assert joint["Device MACs at most"].tolist() == ["any"] * 3


def test_cost_and_its_budgets_can_be_chosen(tmp_path):
    frame = costs().assign(device_param_bits=costs()["device_macs"] * 8)
    write_report(
        frame, tmp_path, title="x", metric="top1", anchor=None, cost="device_param_bits", device_budgets=[9e6],
        budgets=[100],
    )  # fmt: skip
    rows = pd.read_csv(tmp_path / "tables/budget_joint.csv")
    assert rows.iloc[0].tolist() == ["9,000,000", 100, "Student", 91, 100, 8e6]
    with pytest.raises(DataError, match="no device cost 'device_mac'; did you mean 'device_macs'"):
        write_report(frame, tmp_path, title="x", metric="top1", anchor=None, cost="device_mac")


def test_report_command_knows_its_curves():
    with pytest.raises(ConfigError, match=r"unknown anchor 'WebPP'; did you mean 'WebP'\?"):
        app(["report", "embedded", "--anchor", "WebPP"], standalone_mode=False)


def test_report_command_passes_its_options_on(tmp_path, capsys):
    suite = tmp_path / "mine.yaml"
    suite.write_text("""
overrides: [task=fashion_mnist, method=input_codec, method.codec=webp]
curves: [{label: WebP, rates: [30, 50]}, {label: Other, overrides: [method.codec=jpeg], rates: [50]}]
""")
    output = f"output={tmp_path}"
    folder = Path(__file__).parent.parent / "results/embedded/image_classification/input_codec"
    for run in Suite.load(str(suite), [output]).runs["WebP"]:
        (real,) = folder.glob(f"*-webp-{int(run.config.rate)}-s0-*.json")
        run.record_path.parent.mkdir(parents=True, exist_ok=True)
        run.record_path.write_bytes(real.read_bytes())
    options = ["--html", "--anchor", "Other", "--budget", "196", "--budget", "900", "--device-budget", "0"]
    app(["report", str(suite), output, *options], standalone_mode=False)
    assert "the anchor 'Other' is not measured yet; nothing is compared with it" in capsys.readouterr().err
    assert list(pd.read_csv(tmp_path / "tables/budget_bytes.csv").columns) == ["Curve", "196 bytes", "900 bytes"]
    assert pd.read_csv(tmp_path / "tables/budget_joint.csv")["Device MACs at most"].astype(str).tolist() == ["0", "0"]
    assert (tmp_path / "explorer.html").exists()
