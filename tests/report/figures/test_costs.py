"""Figures of what methods cost the device."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sc2bench.cli import app
from sc2bench.core.errors import ConfigError, DataError
from sc2bench.core.text import one_line
from sc2bench.report import write_report
from sc2bench.report.figures.areas import AreaScale
from sc2bench.report.figures.costs import cost_quality_figure, rate_cost_quality_figure
from sc2bench.runs.suite import Suite
from tests import EMBEDDED
from tests.report.test_report import QUALITY, RATE, legend, records

MACS = {"WebP": 0.0, "Student": 1e6, "Worse": 1e7}


def costs(**macs: float | None) -> pd.DataFrame:
    frame = records()
    return frame.assign(device_macs=frame["curve"].map(MACS | {"Teacher": 0.0} | macs))


def marks(axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places and areas of the filled markers, a curve each."""
    found = [(points.get_offsets().data, points.get_sizes()) for points in axes.collections]
    return [pair for pair in found if len(pair[0])]


def caption(figure) -> str:
    return one_line(figure.legends[1].get_title().get_text())


def test_cost_figure_has_every_point_at_its_cost_and_the_rate_as_area():
    figure = cost_quality_figure(costs(), "top1", "device_macs")
    band, axes = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "Device MACs (millions, log scale)"
    assert band.get_ylabel() == "Top-1 accuracy (%)"
    assert band.get_ylim() == axes.get_ylim()
    figure.canvas.draw()
    ticks = dict(zip([label.get_text() for label in axes.get_xticklabels()], axes.get_xticks(), strict=True))
    assert ticks["1"] == 1e6
    # What costs nothing has no place on a logarithmic axis: a panel of its own, with a column a curve.
    assert [label.get_text() for label in band.get_xticklabels()] == ["0"]
    (webp,) = marks(band)
    student, worse = marks(axes)
    assert webp[0][:, 0].tolist() == [0] * 4
    assert student[0].T.tolist() == [[1e6] * 4, QUALITY[::-1].tolist()]
    assert worse[0][:, 0].tolist() == [1e7] * 4
    # The more bytes, the larger; points are drawn from large to small.
    assert webp[1][0] > webp[1][1] > webp[1][2] > webp[1][3]
    assert legend(figure) == ["WebP", "Student", "Worse", "Teacher"]
    areas = [text.get_text() for text in figure.legends[1].get_texts()]
    assert areas == ["Area: bytes per image:", "50", "100", "200"]
    assert caption(figure) == "At 0: no Device MACs; a column a curve."


def test_nothing_moves_markers_of_nearly_equal_costs():
    frame = costs(WebP=1e6, Student=1.001e6, Worse=1e6)
    (axes,) = cost_quality_figure(frame, "top1", "device_macs").axes
    assert [place[0][0, 0] for place in marks(axes)] == [1e6, 1.001e6, 1e6]
    # A curve may start at nothing and go on at some cost.
    frame.loc[frame.index[frame["curve"] == "Student"][:2], "device_macs"] = 0.0
    band, axes = cost_quality_figure(frame, "top1", "device_macs").axes
    assert marks(band)[0][0].T.tolist() == [[0, 0], QUALITY[1::-1].tolist()]
    assert sorted(place for group in marks(axes) for place in group[0][:, 0].tolist()) == [1e6] * 8 + [1.001e6] * 2


def test_a_narrow_range_of_costs_has_ticks_in_equal_steps():
    frame = costs(Student=14_000, Worse=28_000)
    axes = cost_quality_figure(frame, "top1", "device_macs").axes[1]
    assert axes.get_xlabel() == "Device MACs (thousands, log scale)"
    assert axes.get_xticks().tolist() == [15_000, 20_000, 25_000]


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


@given(st.floats(1, 1e12), st.floats(1, 1e4))
def test_legends_of_areas_have_round_numbers_within_the_range(low, factor):
    areas = AreaScale(low, low * factor)
    amounts = areas.examples()
    assert 1 <= len(amounts) <= 3
    assert all(float(f"{amount:.2g}") == amount for amount in amounts)
    assert amounts == sorted(set(amounts))
    # What is one number all but for its digits may be rounded down or up.
    assert all(0.95 * areas.low <= amount <= 1.05 * areas.high for amount in amounts)
    assert (np.diff(areas.diameters(np.array(amounts))) > 0).all()


def test_missing_costs_are_said_and_not_drawn():
    figure = cost_quality_figure(costs(Student=None), "top1", "device_macs")
    assert legend(figure) == ["WebP", "Worse", "Teacher"]
    assert caption(figure) == "At 0: no Device MACs; a column a curve. Points without a known Device MACs: Student 4."
    partly = costs()
    partly.loc[partly.index[partly["curve"] == "Student"][:2], "device_macs"] = None
    figure = cost_quality_figure(partly, "top1", "device_macs")
    assert len(marks(figure.axes[1])[0][0]) == 2
    assert caption(figure).endswith("Points without a known Device MACs: Student 2.")
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_report_command_knows_its_curves():
    with pytest.raises(ConfigError, match=r"unknown anchor 'WebPP'; did you mean 'WebP'\?"):
        app(["report", "embedded", "--anchor", "WebPP"], standalone_mode=False)


def test_report_command_passes_its_options_on(tmp_path, capsys):
    suite = tmp_path / "mine.yaml"
    suite.write_text("""
overrides: [task=fashion_mnist, method=input_codec, method.codec=webp]
curves:
- {label: WebP, rates: [30, 50], color: crimson}
- {label: Other, overrides: [method.codec=jpeg], rates: [50]}
""")
    output = f"output={tmp_path}"
    folder = EMBEDDED / "image_classification/input_codec"
    for run in Suite.load(str(suite), [output]).experiments["WebP"]:
        (real,) = folder.glob(f"*-webp-{int(run.config.rate)}-s0-*.json")
        run.record_path.parent.mkdir(parents=True, exist_ok=True)
        run.record_path.write_bytes(real.read_bytes())
    options = [
        "--html",
        "--anchor",
        "Other",
        "--budget",
        "196",
        "--budget",
        "900",
        "--device-budget",
        "0",
        "--quality",
        "90",
    ]
    app(["report", str(suite), output, *options], standalone_mode=False)
    assert "the anchor 'Other' is not measured yet; nothing is compared with it" in capsys.readouterr().err
    assert list(pd.read_csv(tmp_path / "tables/budget_bytes.csv").columns) == ["Curve", "196 bytes", "900 bytes"]
    assert pd.read_csv(tmp_path / "tables/budget_joint.csv")["Device MACs at most"].astype(str).tolist() == ["0", "0"]
    assert '"colour":"#DC143C"' in (tmp_path / "explorer.html").read_text()
