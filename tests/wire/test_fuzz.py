"""The fuzzers for seconds; `make fuzz` runs them for longer."""

import subprocess
import sys

import pytest

from tests.fuzz import running

TRIES = {"tables": 600, "weights": 600}


@pytest.mark.slow
@pytest.mark.parametrize("name", running.names())
def test_what_is_damaged_is_refused_or_without_harm(name):
    outcomes, failure = running.fuzz(name, TRIES.get(name, 300), seed=1, limit=120)
    assert not failure
    assert outcomes["tries"] >= TRIES.get(name, 300)
    # There are tries of several outcomes, so that the damage is neither always deadly nor without effect.
    assert len([count for count in outcomes.values() if count]) > 2


FUZZER = """
import os, time

def run(count, seed):
    if seed == 3:
        {failure}
    return {{"tries": count}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("raise KeyError('cut')", "KeyError: 'cut'"),
        ("os.abort()", "the process ended with status -6"),
        ("time.sleep(60)", "no end within 3 s"),
        ("bytearray(16 << 30)", "MemoryError"),
    ],
)
def test_failures_of_every_kind_end_with_the_command_that_repeats_them(failure, sentence, tmp_path):
    package = tmp_path / "tests" / "fuzz"
    package.mkdir(parents=True)
    for name in ("__init__", "__main__", "running"):
        (package / f"{name}.py").write_bytes((running.FOLDER / f"{name}.py").read_bytes())
    (tmp_path / "tests" / "__init__.py").touch()
    (package / "tries.py").write_text(FUZZER.format(failure=failure))
    command = [sys.executable, "-m", "tests.fuzz", "--count", "4500", "--seed", "1", "--limit", "3"]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    # The parts of seeds 1 and 2 went well.
    assert done.stdout.startswith("tries: 2,000 tries in ")
    assert sentence in done.stderr
    assert "repeat with: python -m tests.fuzz --only tries --seed 3 --count 1000" in done.stderr
