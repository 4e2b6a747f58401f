"""Several seeds of one point are one point, with mean, spread and confidence interval, wherever records are shown."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from sc2bench.core.errors import ConfigError, DataError
from sc2bench.core.intervals import binomial_interval
from sc2bench.report import explorer_page, points_of, write_joint_report, write_report
from sc2bench.report.figures.costs import rate_cost_quality_figure
from sc2bench.report.figures.curves import rate_quality_figure
from sc2bench.report.joint import joint_table
from sc2bench.report.tables.points import delta_table, points_table
from sc2bench.runs.suite import Suite
from tests.report.test_report import records

# What the three seeds of each point of the student have more than their mean.
BYTES, QUALITY = np.array([-3.0, 0.0, 3.0]), np.array([-1.0, 0.5, 0.5])


def seeded() -> pd.DataFrame:
    """The made-up points, of which those of one curve have three seeds each, and the last one two."""
    base = records().assign(samples=400, seed=0, config_hash="0" * 12)
    rows = []
    for row in base.to_dict("records"):
        for seed in range(3) if row["curve"] == "Student" else range(1):
            more = {"bytes_mean": row["bytes_mean"] + BYTES[seed], "top1": row["top1"] + QUALITY[seed]}
            rows.append(row | {"seed": seed} | (more if row["curve"] == "Student" else {}))
    frame = pd.DataFrame(rows)
    frame["quality"] = [{"top1": value} for value in frame["top1"]]
    frame["environment"] = [{"processor": "Some CPU"}] * len(frame)
    frame["config"] = [
        {"seed": seed, "rate": rate, "method": curve}
        for seed, rate, curve in zip(frame["seed"], frame["rate"], frame["curve"], strict=True)
    ]
    last = frame[(frame["curve"] == "Student") & (frame["seed"] == 2)].index[-1]
    # Seeds come in any order, and beside those of other points.
    return frame.drop(index=last).sample(frac=1, random_state=1).sort_values("curve", kind="stable")


def test_seeds_become_mean_and_spread():
    points = points_of(seeded()).set_index(["curve", "rate"])
    assert len(points) == 13
    three, two, one = (points.loc[key] for key in (("Student", 0.0), ("Student", 3.0), ("WebP", 0.0)))
    assert (three["bytes_mean"], three["bytes_mean_std"]) == pytest.approx((25, 3))
    assert (three["top1"], three["top1_std"]) == pytest.approx((80, np.std(QUALITY, ddof=1)))
    assert sorted(three["seeds"]) == [0, 1, 2]
    assert three["quality"] == {"top1": pytest.approx(80)}
    assert (two["bytes_mean"], two["bytes_mean_std"]) == pytest.approx((198.5, np.std([-3, 0], ddof=1)))
    assert sorted(two["seeds"]) == [0, 1]
    assert np.isnan([one["bytes_mean_std"], one["top1_std"]]).all()
    assert one["seeds"] == (0,)


def test_intervals_are_those_of_records_or_follow_from_samples():
    frame = seeded()
    assert points_of(frame).set_index(["curve", "rate"]).loc[("WebP", 0.0), "top1_low"] == pytest.approx(
        binomial_interval(80, 400)[0]
    )
    frame["quality_interval"] = [{"top1": [value - 5, value + 2]} for value in frame["top1"]]
    three = points_of(frame).set_index(["curve", "rate"]).loc[("Student", 0.0)]
    assert (three["top1_low"], three["top1_high"]) == pytest.approx((75, 82))
    # Nothing is known of a mean average precision but what its record says.
    other = frame.drop(columns=["top1", "quality_interval"]).assign(map=50.0, quality=[{"map": 50.0}] * len(frame))
    assert points_of(other)["map_low"].isna().all()


def test_tables_have_a_row_a_point_with_its_seeds():
    points = points_of(seeded())
    table = points_table(points, "top1")
    row = table.frame.set_index(["Curve", "Value"]).loc[("Student", 0.0)]
    assert (row["Seeds"], row["Bytes std"], row["Top-1 [%]"]) == pytest.approx((3, 3, 80))
    lines = [line for line in table.to_markdown().splitlines() if line.startswith("| Student")]
    low, high = points.loc[(points["curve"] == "Student") & (points["rate"] == 0), ["top1_low", "top1_high"]].iloc[0]
    assert f"| 0 | 3 | 25.0 ± 3.0 | 24.0 | 0.0 | 1.0 | 34.0 |  | 80.00 ± 0.87 | {low:.2f} ... {high:.2f} |" in lines[0]
    assert r"25.0 $\pm$ 3.0" in table.to_latex("tab:x")
    # The deviations of what is compared are those of the made-up curve without seeds.
    clean = delta_table(records(), "top1", "WebP")[0].frame.set_index("Curve")
    found = delta_table(points, "top1", "WebP")[0].frame.set_index("Curve")
    assert found.loc["Student", "BD rate [%]"] == pytest.approx(clean.loc["Student", "BD rate [%]"], abs=1)


@pytest.mark.slow
def test_a_report_says_samples_and_seeds(tmp_path):
    written = write_report(seeded(), tmp_path / "a", title="x", metric="top1", anchor="WebP", html=True)
    text = written[0].read_text()
    assert "± the sample standard deviation (n - 1) of bytes and qualities" in text
    assert (
        "### Student\n\nOn the device: 10 params, 2,000 MACs. Measured on 400 samples of the split 'test' with " in text
    )
    assert "with seeds 0, 1, 2 (at 3: seeds 0, 1 only)." in text
    assert (
        "### WebP\n\nOn the device: 10 params, 2,000 MACs. Measured on 400 samples of the split 'test' with seed 0."
        in text
    )
    budgets = pd.read_csv(tmp_path / "a/tables/budget_bytes.csv").set_index("Curve")
    assert budgets.loc["Student", "100 bytes, std"] == pytest.approx(np.std(QUALITY, ddof=1))
    one = seeded().query("seed == 0")
    text = write_report(one, tmp_path / "b", title="x", metric="top1", anchor="WebP")[0].read_text()
    assert text.splitlines()[2].startswith("Measured on 400 samples of the split 'test' with seed 0. Bytes are means")
    assert "±" not in text
    assert "Seeds" not in text


def test_figures_draw_means_with_error_bars():
    points = points_of(seeded())
    figure = rate_quality_figure(points, "top1")
    axes = figure.axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "Student")
    assert line.get_xdata() == pytest.approx([25, 50, 100, 198.5])
    assert line.get_ydata() == pytest.approx([80, 88, 91, 91.75])
    (bars,) = axes.containers
    across, along = (np.array(part.get_segments()) for part in bars[2])
    assert across[0, :, 0] == pytest.approx([22, 28])
    assert along[0, :, 1] == pytest.approx(80 + np.std(QUALITY, ddof=1) * np.array([-1, 1]))
    assert "Error bars: standard deviation over seeds." in figure.get_supxlabel()
    assert len(rate_cost_quality_figure(points, "top1", "device_macs").axes[0].containers) == 1
    single = rate_quality_figure(points_of(seeded().query("seed == 0")), "top1")
    assert (single.axes[0].containers, single.get_supxlabel()) == ([], "")


def explored(page: str) -> list[dict]:
    match = re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return json.loads(match[1])["points"]


@pytest.mark.parametrize("labelled", [True, False])
def test_the_page_has_a_point_for_all_seeds(labelled):
    frame = seeded() if labelled else seeded().drop(columns="curve")
    points = [point for point in explored(explorer_page(frame, "x", "top1")) if "entropic" in point["record"]["method"]]
    assert len(points) == 4
    (three,) = [point for point in points if point["record"]["rate"] == 0]
    numbers = three["numbers"]
    assert (numbers["bytes_mean"], numbers["bytes_mean_std"], numbers["seeds"]) == (25, 3, 3)
    assert sorted(three["record"]["seed"]) == [0, 1, 2]
    assert three["record"]["quality"]["top1"] == pytest.approx(80)


def test_the_page_joins_nothing_but_seeds():
    first = seeded().drop(columns="curve").query("method == 'entropic_student' and seed == 0").iloc[:1]
    common = {"data_fingerprint": "a" * 16, "surroundings": {}}
    frame = pd.concat([first] * 4, ignore_index=True).assign(**{name: [value] * 4 for name, value in common.items()})
    frame["top1"] = [80.0, 10.0, 70.0, 82.0]
    frame["quality"] = [{"top1": value} for value in frame["top1"]]
    # Measured on other data, with other weights, and again.
    frame.at[1, "data_fingerprint"] = "b" * 16
    frame.at[2, "surroundings"] = {"teacher.weights": "c" * 16}
    points = explored(explorer_page(frame, "x", "top1"))
    assert [(point["numbers"]["top1"], point["record"]["seed"]) for point in points] == [
        (80, 0), (10, 0), (70, 0), (82, 0),
    ]  # fmt: skip


def test_joint_points_have_their_spread(tmp_path):
    frame = seeded().assign(map=40.0)
    frame["quality"] = [{"top1": value, "map": 40.0} for value in frame["top1"]]
    table = joint_table(points_of(frame), ["top1", "map"])
    row = table.frame.set_index(["Curve", "Value"]).loc[("Student", 0.0)]
    assert (row["Seeds"], row["Bytes std"], row["Top-1 std"], row["mAP std"]) == pytest.approx(
        (3, 3, 0.866, 0), abs=1e-3
    )
    text = write_joint_report(frame, tmp_path, title="x", metrics=["top1", "map"])[0].read_text()
    assert "- Student: 400 samples of the split 'test' with seeds 0, 1, 2" in text


def test_a_record_without_the_metric_is_named(tmp_path):
    frame = seeded().assign(path="results/a.json")
    frame.loc[frame.index[3], "top1"] = np.nan
    with pytest.raises(DataError, match=r"record results/a\.json has no quality 'top1'"):
        write_report(frame, tmp_path, title="x", metric="top1", anchor=None)


SUITE = """
overrides: [task=fashion_mnist]
curves:
- {label: WebP, overrides: [method=input_codec, method.codec=webp], rates: [10, 20]}
- {label: Student, overrides: [method=entropic_student], rates: [0.1, 0.3], seeds: SEEDS}
"""


def test_a_curve_has_each_rate_with_every_seed(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.replace("SEEDS", "[0, 1, 2]"))
    suite = Suite.load(str(path))
    runs = suite.experiments["Student"]
    assert [(run.config.rate, run.config.seed) for run in runs] == [(r, s) for r in (0.1, 0.3) for s in (0, 1, 2)]
    assert ["-s1-" in run.id for run in runs] == [False, True, False] * 2
    assert len({run.checkpoint_folder for run in runs}) == 6
    assert [(run.config.rate, run.config.seed) for run in suite.rates("Student")] == [(0.1, 0), (0.3, 0)]
    assert [run.config.seed for run in suite.experiments["WebP"]] == [0, 0]
    # One seed for all is one experiment a rate, not three that agree.
    assert [run.config.seed for run in Suite.load(str(path), ["seed=5"]).experiments["Student"]] == [5, 5]
    for seeds, sentence in (
        ("[]", "no seed is listed"),
        ("[1, 1]", "1 stands there twice"),
        ("[-1]", r"seed: -1 is not in 0 \.\.\."),
        ("[0.5]", "seeds"),
        ("x", "seeds"),
    ):
        path.write_text(SUITE.replace("SEEDS", seeds))
        with pytest.raises(ConfigError, match=sentence):
            Suite.load(str(path))


def test_what_an_experiment_builds_on_has_its_seed(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("""
curves:
- {label: Many, overrides: [task=scenes_all, method=multi_task, mixed_precision=no], rates: [0.01],
   seeds: [0, 3]}
""")
    zero, three = Suite.load(str(path)).experiments["Many"]
    # The name of a committed record.
    assert zero.id == "scenes-scenes_classifier-0.01-s0-f417d8cdbb5d"
    for run, seed in ((zero, 0), (three, 3)):
        parts = [*run.parts, *(part for member in run.parts for part in member.parts)]
        assert [part.config.seed for part in parts] == [seed] * len(parts)
        assert len(parts) > 3
    assert not {part.checkpoint_folder for part in zero.parts} & {part.checkpoint_folder for part in three.parts}
