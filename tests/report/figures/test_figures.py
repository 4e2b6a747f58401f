"""What every figure keeps to: each measured point is drawn whole or counted, and curves are told apart."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from sc2bench.config import load_suite
from sc2bench.core.errors import ConfigError
from sc2bench.core.text import one_line
from sc2bench.report import Wish
from sc2bench.report.analysis.points import points_of
from sc2bench.report.figures.colours import CLEAR, PALETTE, distance
from sc2bench.report.figures.costs import cost_quality_figure, rate_cost_quality_figure
from sc2bench.report.figures.curves import rate_quality_figure
from sc2bench.report.figures.layout import HOLLOW_SENTENCE
from sc2bench.report.figures.style import identity, looks
from sc2bench.report.joint import joint_figure
from tests.core.test_text import NASTY
from tests.report.test_report import QUALITY, legend, records

FIGURES = {
    "rate": lambda frame: rate_quality_figure(frame, "top1"),
    "cost": lambda frame: cost_quality_figure(frame, "top1", "device_macs"),
    "rate and cost": lambda frame: rate_cost_quality_figure(frame, "top1", "device_macs"),
    "tasks": lambda frame: joint_figure(frame[frame["method"] != "teacher"], ["top1"]),
}
# In percent; some far below all others, the best at the end of the axis.
MANY = {"WebP": [1, 60, 95, 100], "Student": [95, 90, 99, 99.9], "Worse": [5, 70, 3, 96], "Teacher": [100]}


def spread() -> pd.DataFrame:
    frame = records()
    macs = frame["curve"].map({"WebP": 0.0, "Student": 1e6, "Worse": 1.001e6, "Teacher": 0.0})
    return frame.assign(top1=[float(value) for values in MANY.values() for value in values], device_macs=macs)


def caption(figure: Figure) -> str:
    titles = [found.get_title().get_text() for found in figure.legends]
    return one_line(" ".join([figure.get_supxlabel(), *titles]))


def markers(axes) -> list:
    """The artists that draw points, with their places."""
    found = [(line, np.column_stack(line.get_data())) for line in axes.get_lines() if line.get_linestyle() == "None"]
    found += [(points, points.get_offsets().data) for points in axes.collections]
    return [(artist, places) for artist, places in found if len(places) and artist.get_transform() != axes.transAxes]


@pytest.mark.parametrize("kind", FIGURES)
def test_every_point_is_drawn_whole_or_counted(kind):
    frame = spread()
    figure = FIGURES[kind](frame)
    drawn = []
    for axes in figure.axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        for artist, places in markers(axes):
            assert not artist.get_clip_on()
            assert ((places >= [left, low]) & (places <= [right, high])).all()
            drawn += places[:, 1].tolist()
    rated = frame[frame["method"] != "teacher"]
    outside = re.findall(r"(\d+) points? (?:lie|lies) below the range(?: of \(a\))? \((.*?)\)\.", caption(figure))
    if kind == "tasks":
        assert sorted(drawn) == sorted(rated["top1"])
        assert not outside
    else:
        assert sorted(drawn) == [90, 95, 95, 96, 99, 99.9, 100]
        assert outside == [("5", "WebP 2, Worse 3")]
    assert HOLLOW_SENTENCE in caption(figure)


def test_a_range_up_to_twice_as_large_shows_everything_and_a_close_up_counts():
    wide = records()
    wide.loc[wide["curve"] == "Worse", "top1"] = [70.0, 75, 80, 85]
    figure = rate_quality_figure(wide, "top1")
    assert figure.axes[0].get_ylim()[0] < 70
    assert "range" not in caption(figure)
    assert HOLLOW_SENTENCE not in caption(figure)
    many = pd.concat([wide.assign(curve=wide["curve"] + str(i)) for i in range(4)], ignore_index=True)
    figure = rate_quality_figure(many, "top1")
    low = figure.axes[1].get_ylim()[0]
    below = int((many.loc[many["method"] != "teacher", "top1"] < low).sum())
    assert f"{below} points lie below the range of (b)." in caption(figure)


def test_a_metric_beyond_100_is_inside():
    frame = records().assign(top1=records()["top1"] * 10)
    axes = rate_quality_figure(frame, "top1").axes[0]
    assert axes.get_ylim()[0] < 200 < 930 < axes.get_ylim()[1]


def test_points_without_a_number_or_without_bytes_are_counted():
    frame = records()
    frame.loc[frame.index[:2], "top1"] = None
    frame.loc[frame.index[4], "bytes_mean"] = 0.0
    figure = rate_quality_figure(frame, "top1")
    assert "Points without a known Top-1: WebP 2." in caption(figure)
    assert "1 point lies left of the range (Student 1)." in caption(figure)
    assert sum(len(places) for _, places in markers(figure.axes[0])) == 12 - 3
    frame.loc[frame["curve"].isin(["WebP", "Teacher"]), "top1"] = None
    unknown = rate_quality_figure(frame, "top1", ["WebP"])
    assert "Points without a known Top-1: WebP 4." in caption(unknown)
    assert not markers(unknown.axes[0])


def test_teachers_have_lines_of_their_own():
    frame = pd.concat([records(), records().query("curve == 'Teacher'").assign(curve="Other", top1=40.0)])
    figure = rate_quality_figure(frame.reset_index(drop=True), "top1")
    assert figure.axes[0].get_ylim()[0] < 40
    dashes = [line._dash_pattern for line in figure.axes[0].get_lines() if len(set(line.get_ydata())) == 1][:2]
    assert dashes[0] != dashes[1]


def firsts(*curves: tuple[str, str]) -> dict:
    return {
        f"{method} {codec} {i}": {"method": method, "codec": codec, "prior": None, "teacher": "t"}
        for i, (method, codec) in enumerate(curves)
    }


def test_colours_of_the_palette_differ_clearly():
    for first, second in itertools.combinations(PALETTE, 2):
        assert distance(first, second) >= CLEAR
    assert min(distance(colour, "white") for colour in PALETTE) > CLEAR
    # Red and green of equal brightness are one to colour-blind readers.
    assert distance("#C04000", "#607000") < CLEAR < distance("#C04000", "#0040C0")


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["jpeg", "webp", "avif", "bpg", "vtm", "mine"]), min_size=2, max_size=25))
def test_curves_that_share_a_figure_are_told_apart(codecs):
    curves = firsts(*(("input_codec", codec) for codec in codecs))
    given = looks(curves, [curves])
    assert given == looks(dict(curves), [list(curves)])
    pairs = list(itertools.combinations(given.values(), 2))
    alike = [(one, other) for one, other in pairs if distance(one.colour, other.colour) < CLEAR]
    assert all((one.marker, one.line) != (other.marker, other.line) for one, other in alike)
    if len(codecs) <= 9:
        assert not alike
    elif len(codecs) <= 20:
        # Two share a colour.
        assert all(one.marker != other.marker for one, other in alike)


def test_a_second_curve_of_a_method_takes_no_colour_of_others():
    curves = firsts(("input_codec", "jpeg"), ("input_codec", "jpeg"), ("input_codec", "webp"))
    jpeg, other, webp = looks(curves, [curves]).values()
    assert (jpeg.colour, webp.colour) == ("#009E73", "#0072B2")
    assert min(distance(other.colour, jpeg.colour), distance(other.colour, webp.colour)) >= CLEAR
    assert other.marker not in (jpeg.marker, webp.marker)


def test_committed_suites_have_clear_colours_and_methods_their_own():
    for name in ("embedded", "embedded_detection", "embedded_segmentation"):
        suite = load_suite(name)
        curves = {}
        for curve in suite.curves:
            chosen = dict(override.split("=", 1) for override in curve.overrides)
            kind = {"method": chosen["method"], "codec": chosen.get("method.codec")}
            curves[curve.label] = kind | {"prior": chosen.get("method.prior", "factorized"), "teacher": "t"}
        figures = list(suite.figures.values()) or [[label for label in curves if label != "Teacher"]]
        given = looks(curves, figures)
        for shown in figures:
            for one, other in itertools.combinations(shown, 2):
                assert distance(given[one].colour, given[other].colour) >= CLEAR, (one, other)
        for label, first in curves.items():
            alone = looks({label: first}, [[label]])[label]
            assert given[label] == alone or identity(first)[0] == "teacher", label


SUITE = """
overrides: [task=fashion_mnist, method=input_codec, method.codec=webp]
curves:
- {label: Last, rates: [30], order: 1}
- {label: WebP, rates: [50], color: crimson, marker: D}
- {label: First, rates: [70], order: -1, color: "#0072b2"}
"""


def test_a_suite_chooses_colours_markers_and_order(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE)
    curves = load_suite(str(path)).curves
    assert [(curve.label, curve.color, curve.marker) for curve in curves] == [
        ("First", "#0072B2", None),
        ("WebP", "#DC143C", "D"),
        ("Last", None, None),
    ]
    wishes = {curve.label: Wish(curve.color, curve.marker) for curve in curves}
    frame = firsts(*[("input_codec", "webp")] * 3)
    given = looks(dict(zip(wishes, frame.values(), strict=True)), [list(wishes)], wishes)
    assert (given["First"].colour, given["First"].marker) == ("#0072B2", "s")
    assert (given["WebP"].colour, given["WebP"].marker) == ("#DC143C", "D")
    # WebP's own colour is taken.
    assert distance(given["Last"].colour, "#0072B2") >= CLEAR
    assert distance(given["Last"].colour, "#DC143C") >= CLEAR


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("color: crimson", "color: crimsn", r"curves\[1\]\.color: unknown colour 'crimsn'; did you mean 'crimson'\?"),
        ("color: crimson", "color: '#12'", r"curves\[1\]\.color: unknown colour '#12'; write a name"),
        ("color: crimson", "color: '#11223344'", r"curves\[1\]\.color: '#11223344' can be seen through"),
        ("color: crimson, marker: D}", "color: #ff0000\n  }", r"curves\[1\]\.color: no value is given; quote it"),
        ("marker: D", "marker: x", r"curves\[1\]\.marker: unknown marker 'x'; known: . o v"),
        ("order: 1", "order: first", r"curves\[0\]\.order: .*'first'"),
        ("label: Last", 'label: " \\n "', r"curves\[0\]\.label: .* has no letters"),
        ("label: Last", "label: 'Web\n  P'", ""),
        ("overrides:", "figures: {link_latency: [WebP]}\noverrides:", "'link_latency' is a figure that every report"),
        ("label: Last", "label: ' WebP '", "two curves with the label 'WebP'"),
    ],
)
def test_a_look_that_can_not_be_drawn_is_named(tmp_path, old, new, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.replace(old, new, 1))
    if not sentence:
        assert [curve.label for curve in load_suite(str(path)).curves][-1] == "Web P"
        return
    with pytest.raises(ConfigError, match=sentence):
        load_suite(str(path))


def test_labels_stand_in_figures_as_they_are():
    one = records().query("curve == 'WebP'")
    frame = pd.concat([one.assign(curve=label, top1=QUALITY - i) for i, label in enumerate(NASTY)], ignore_index=True)
    figure = rate_quality_figure(frame, "top1")
    figure.canvas.draw()
    assert [one_line(label) for label in legend(figure)] == [one_line(label) for label in NASTY]
    assert not any(text.get_parse_math() for text in figure.legends[0].get_texts())
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width
    long = one.assign(curve="A label that says everything at once " * 8)
    figure = rate_quality_figure(long, "top1")
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width


def test_error_bars_of_qualities_are_whole():
    seeds = [records().assign(seed=seed, top1=records()["top1"] - 30 * seed) for seed in (0, 1)]
    points = points_of(pd.concat(seeds, ignore_index=True).query("curve not in ('Worse', 'Teacher')"))
    axes = rate_quality_figure(points, "top1").axes[0]
    bars = [segment for found in axes.collections for segment in found.get_segments() if np.size(segment)]
    ends = np.concatenate(bars)[:, 1]
    assert ends.min() == pytest.approx(80 - 15 - 30 / np.sqrt(2))
    assert axes.get_ylim()[0] <= ends.min() < ends.max() <= axes.get_ylim()[1]
