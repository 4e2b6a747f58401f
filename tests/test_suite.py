import subprocess
import sys

import pytest

from sc2bench.errors import ConfigError
from sc2bench.suite import Suite
from tests.conftest import TINY_STUDENT

SUITE = """\
anchor: WebP
curves:
  - {label: Teacher, overrides: [method=teacher]}
  - {label: WebP, overrides: [method=input_codec, method.codec=webp], rates: [0, 30, 80]}
  - {label: Student, overrides: [STUDENT], rates: [0.1, 3]}
"""


@pytest.fixture
def suite_file(tmp_path):
    path = tmp_path / "tiny.yaml"
    student = [word for word in TINY_STUDENT if not word.startswith("rate")] + ["stage1.epochs=1", "stage2.epochs=1"]
    path.write_text(SUITE.replace("STUDENT", ", ".join(f'"{word}"' for word in student)))
    return str(path)


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
    assert "Bjontegaard delta against WebP" in table
    # Nothing is measured twice, and the report is made again from the records alone.
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "6 of 6 points are already measured" in again.stderr
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}


REPORT = ("table.md", "table.csv", "rate_accuracy.png", "rate_accuracy.pdf")


def test_mistake_in_the_last_curve_shows_before_anything_runs(tmp_path, tiny):
    path = tmp_path / "wrong.yaml"
    path.write_text(SUITE.replace("STUDENT", "method=entropic_student, stage2.epocs=1"))
    with pytest.raises(
        ConfigError, match=r"curve 'Student': unknown key 'stage2.epocs'; did you mean 'stage2.epochs'\?"
    ):
        Suite.load(str(path), tiny)


def test_reports_go_to_the_folder_of_the_suite(suite_file):
    assert str(Suite.load(suite_file).folder) == "results/tiny"
