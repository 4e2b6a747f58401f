import json
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from sc2bench.cli import app
from sc2bench.core.errors import ConfigError
from sc2bench.runs.claims import Claims, holder
from sc2bench.runs.sharing import PointsFailed
from sc2bench.runs.suite import Suite
from tests.conftest import TINY_STUDENT

SUITE = """\
anchor: WebP
curves:
  - {label: Teacher, overrides: [method=teacher]}
  - {label: WebP, overrides: [method=input_codec, method.codec=webp], rates: [0, 30, 80]}
  - {label: Student, overrides: [STUDENT], rates: [0.1, 3]}
"""


STUDENT = ", ".join(
    f'"{word}"'
    for word in [*(word for word in TINY_STUDENT if not word.startswith("rate")), "stage1.epochs=1", "stage2.epochs=1"]
)


# Where nothing but the order of events is looked at: two steps a stage.
LIGHT = f'{STUDENT}, "stage1.samples=100", "stage2.samples=100"'


@pytest.fixture
def light_file(tmp_path):
    path = tmp_path / "light.yaml"
    path.write_text(SUITE.replace("STUDENT", LIGHT))
    return str(path)


@pytest.fixture
def suite_file(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE.replace("STUDENT", STUDENT))
    return str(path)


@pytest.mark.slow
def test_tiny_suite_from_data_to_figure(suite_file, tiny, tmp_path):
    command = [sys.executable, "-m", "sc2bench", "suite", "run", suite_file, *tiny]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    folder = tmp_path / "results"
    assert done.stdout.split() == [str(folder / name) for name in REPORT]
    suite = Suite.load(suite_file, tiny)
    records = suite.records()
    assert records["curve"].tolist() == ["Teacher"] + ["WebP"] * 3 + ["Student"] * 2
    assert records["rate"].tolist()[1:] == [0, 30, 80, 0.1, 3]
    student = records[records["curve"] == "Student"]
    assert student["bytes_mean"].is_monotonic_decreasing
    assert (student["payload_bytes_mean"] * 8 - student["estimated_bits_mean"]).abs().max() < 16
    table = (folder / "table.md").read_text()
    assert "## Bjontegaard deltas against WebP" in table
    # Nothing is measured twice, and the report is made again from the records alone.
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "6 of 6 points are already measured" in again.stderr
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}


FIGURES = ("rate_accuracy", "cost_accuracy", "rate_cost_accuracy", "link_latency")
TABLES = (
    "curves",
    "bjontegaard",
    "equal_quality",
    "budget_bytes",
    "budget_joint",
    "rate_parts",
    "link_latency",
    "link_fastest",
    "link_crossovers",
    "points",
)
REPORT = (
    "table.md",
    *(f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "tex")),
    *(f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "pdf")),
)


def test_mistake_in_the_last_curve_shows_before_anything_runs(tmp_path, tiny):
    path = tmp_path / "wrong.yaml"
    path.write_text(SUITE.replace("STUDENT", "method=entropic_student, stage2.epocs=1"))
    with pytest.raises(
        ConfigError, match=r"curve 'Student': unknown key 'stage2.epocs'; did you mean 'stage2.epochs'\?"
    ):
        Suite.load(str(path), tiny)


def test_reports_go_to_the_folder_of_the_suite(suite_file):
    assert str(Suite.load(suite_file).folder) == "results/tiny"


def start(light_file, tiny) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sc2bench", "suite", "run", light_file, *tiny]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_runners_measure_each_point_once(light_file, tiny, tmp_path):
    runners = [start(light_file, tiny) for _ in range(2)]
    logs = ["".join(runner.communicate()) for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], logs
    runs = Suite.load(light_file, tiny).all_experiments()
    # A line a measured point, "<run id>: <bytes> bytes, ..."; Rich may break it behind the name.
    words = [word for log in logs for word in log.split()]
    for run in runs:
        assert words.count(f"{run.id}:") == 1, logs
    assert not list(tmp_path.rglob("*.claim-*"))
    for log in logs:
        assert log.count("rate_accuracy.png") == 1


@pytest.mark.slow
def test_a_killed_runner_is_taken_over_from(light_file, tiny, tmp_path):
    tiny = [*tiny, "evaluation.samples=50"]
    run = Suite.load(light_file, tiny).experiments["Student"][1]
    runner = start(light_file, tiny)
    deadline = time.monotonic() + 100
    # The record is claimed last, just before the training begins.
    while holder(run.record_path) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    runner.send_signal(signal.SIGKILL)
    runner.communicate()
    left = [path.name for path in tmp_path.rglob("*.claim-*")]
    assert f"{run.record_path.name}.claim-1" in left
    assert f"{run.checkpoint_folder.name}.claim-1" in left
    Suite.load(light_file, tiny).run(quiet=True)
    assert all(run.done for run in Suite.load(light_file, tiny).all_experiments())
    assert not list(tmp_path.rglob("*.claim-*"))


@pytest.mark.slow
def test_points_of_others_are_left_or_waited_for(light_file, tiny):
    suite = Suite.load(light_file, [*tiny, "evaluation.samples=20"])
    webp = suite.experiments["WebP"]
    with Claims() as other:
        assert other.take(webp[1].record_path)
        # Whoever trains what two points need keeps others from both.
        for run in suite.experiments["Student"]:
            assert other.take(run.checkpoint_folder)
        suite.run(quiet=True, wait=False)
        assert [run.done for run in suite.all_experiments()] == [True, True, False, True, False, False]
        shown = CliRunner().invoke(app, ["suite", "status", light_file, *tiny, "evaluation.samples=20"])
        assert shown.exit_code == 0
        owner = holder(webp[1].record_path)
        assert owner is not None
        assert "claimed:" in shown.output
        assert str(owner.pid) in shown.output
    suite.run(quiet=True)
    assert all(run.done for run in suite.all_experiments())


@pytest.mark.slow
def test_failed_points_do_not_stop_the_others(tmp_path, tiny):
    path = tmp_path / "failing.yaml"
    student = f'{LIGHT}, "stage1.optimizer=sgd", "stage1.learning_rate=1e30"'
    path.write_text(SUITE.replace("rates: [0, 30, 80]", "rates: [0, 30, 101, 80]").replace("STUDENT", student))
    suite = Suite.load(str(path), [*tiny, "evaluation.samples=20"])
    with pytest.raises(PointsFailed) as failed:
        suite.run(quiet=True)
    lines = str(failed.value).splitlines()
    assert lines[0].startswith("3 of 7 points failed")
    assert "can't code at quality 101" in lines[1]
    # Both students fail for the same reason and stand in one line.
    assert all(run.id in lines[2] for run in suite.experiments["Student"])
    assert "the loss of stage1 is not finite" in lines[2]
    assert [run.done for run in suite.all_experiments()] == [True, True, True, False, True, False, False]
    assert not list(tmp_path.rglob("*.claim-*"))


@pytest.mark.slow
def test_an_unexpected_error_in_a_sweep_costs_its_own_point_only(tmp_path, tiny, light_file, monkeypatch, capsys):
    from sc2bench.methods.input_codec import InputCodecDevice

    suite = Suite.load(light_file, [*tiny, "evaluation.samples=20"])
    broken = suite.experiments["WebP"][1]
    code = InputCodecDevice.code

    def fragile(self, values):
        if self.codec.name == "webp" and self.codec.quality == broken.config.rate:
            raise ValueError("the codec broke down")
        return code(self, values)

    monkeypatch.setattr(InputCodecDevice, "code", fragile)
    with pytest.raises(PointsFailed, match=rf"{broken.id}: ValueError: the codec broke down"):
        suite.run(quiet=True)
    assert [run.done for run in suite.all_experiments()] == [True, True, False, True, True, True]
    # Where it happened is for whoever mends it.
    assert "in fragile" in capsys.readouterr().err


def test_a_record_that_can_not_be_written_is_its_own_failure(tiny, light_file, tmp_path):
    suite = Suite.load(light_file, [*tiny, "evaluation.samples=20"])
    folder = tmp_path / "results" / "image_classification"
    folder.mkdir(parents=True)
    (folder / "input_codec").write_text("a file where records of the codecs belong")
    suite = Suite(suite.config, {label: suite.experiments[label] for label in ("WebP", "Teacher")})
    with pytest.raises(PointsFailed, match=r"3 of 4 points failed(.|\n)*can't claim .*input_codec"):
        suite.run(quiet=True)
    assert [run.done for run in suite.all_experiments()] == [False, False, False, True]


def test_an_interrupt_stops_the_suite(tiny, light_file, monkeypatch, tmp_path):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("sc2bench.runs.measure.evaluate_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Suite.load(light_file, tiny).run(quiet=True)
    assert not list(tmp_path.rglob("*.claim-*"))


def test_force_measures_again_what_is_older(light_file, tiny):
    suite = Suite.load(light_file, [*tiny, "evaluation.samples=20"])
    teacher = Suite(suite.config, {"Teacher": suite.experiments["Teacher"]})
    path = suite.experiments["Teacher"][0].record_path
    teacher.run(quiet=True)
    first = path.stat().st_mtime_ns
    teacher.run(quiet=True, force_before=path.stat().st_mtime - 1)
    assert path.stat().st_mtime_ns == first
    teacher.run(quiet=True, force=True)
    assert path.stat().st_mtime_ns > first
    assert json.loads(path.read_text())["samples"] == 20
