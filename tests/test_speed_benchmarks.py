"""The benchmarks of speed run, on the smallest inputs, and compare what they claim to compare. No times are judged."""

import importlib
from functools import partial

import numpy as np
import pytest

from tests import REPOSITORY

FOLDER = REPOSITORY / "benchmarks" / "speed"
SMALL = (
    "task=ilsvrc2012", "teacher.name=resnet18", "teacher.weights=random", "method=entropic_student",
    "method.widths=[8,8]", "method.latent_channels=4",
)  # fmt: skip


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.mark.parametrize("operation", ["encode", "decode", "encode_symbols", "decode_symbols"])
def test_coders_code_the_same_latents(script, operation):
    coder = script("coder")
    for name in coder.CODERS:
        coder.prepare(name, operation, (3, 4, 4), 2, 1.0)()
    latents = coder.Latents((3, 4, 4), 5, 1.0)
    ours, theirs = (sum(kind(latents).sizes) for kind in (coder.Ours, coder.CompressAI))
    assert ours <= theirs


def test_settings_of_evaluation_change_no_byte(script):
    evaluation = script("evaluation")
    shared = {"images": 2, "pixels": 64, "overrides": SMALL}
    base = evaluation.prepare(plain=True, batch_size=1, **shared)()
    fast = evaluation.prepare(plain=False, batch_size=2, server_precision="bf16", estimate=False, **shared)()
    assert np.array_equal(base[1], fast[1])
    assert "0.0 % of sizes changed" in evaluation.compare(base, fast)


def test_training_steps_have_nearly_the_same_loss(script):
    prepare = partial(script("training").prepare, batch_size=2, pixels=64, overrides=SMALL)
    plain, default = (prepare(plain=plain)() for plain in (True, False))
    assert default == pytest.approx(plain, rel=0.1)


@pytest.mark.slow
def test_suite_and_single_runs_measure_the_same(script):
    times = script("suite").compare(20, 1, (10, 50))
    assert [len(measured.cpu) for measured in times.values()] == [1, 1]


def test_table_gives_ratios_to_the_first(script):
    measure = script("measure")
    measured = {
        "base": measure.Times([4.0, 6.0, 5.0], [2.0, 2.0, 2.0], 100),
        "fast": measure.Times([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 50),
    }
    lines = measure.table(measured, {"base": 10, "fast": 10}, "image").splitlines()
    assert lines[2:] == ["| base | 200 | 500 | 1.00 | 1.00 | 100 |", "| fast | 100 | 100 | 2.00 | 5.00 | 50 |"]
    assert "torch" in measure.environment(1)
