import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sc2bench.core.errors import ConfigError
from sc2bench.runs.launcher import JobOptions, SuiteJob, submit
from sc2bench.runs.suite import Suite

SUITE = """\
curves:
  - {label: Teacher, overrides: [method=teacher]}
  - {label: JPEG, overrides: [method=input_codec, method.codec=jpeg], rates: [10, 80]}
  - {label: WebP, overrides: [method=input_codec, method.codec=webp], rates: [BAD, 30]}
"""
# Stands for Slurm's program: keeps what it is given, and answers as Slurm does.
SBATCH = """\
#!/bin/sh
cp "$1" "$(dirname "$0")/submitted.sh"
echo "Submitted batch job 1"
"""


@pytest.fixture
def suite_file(tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text(SUITE.replace("BAD", "0"))
    return str(path)


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, content in (("sbatch", SBATCH), ("srun", "#!/bin/sh\n")):
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def parameters(script: Path) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script.read_text(), re.MULTILINE))


def test_slurm_gets_what_is_asked_for(slurm, tmp_path, suite_file):
    options = JobOptions("slurm", jobs=3, partition="fast", minutes=90, cpus=8, gpus=2)
    jobs = submit(SuiteJob(suite_file), options, tmp_path / "jobs")
    assert [job.job_id for job in jobs] == ["1_0", "1_1", "1_2"]
    script = slurm / "submitted.sh"
    found = parameters(script)
    expected = {
        "array": "0-2%3",
        "partition": "fast",
        "time": "90",
        "cpus-per-task": "4",
        "gpus-per-node": "2",
        "ntasks-per-node": "2",
        "job-name": "sc2bench-jobs",
    }
    assert {key: found[key] for key in expected} == expected
    assert found["output"].startswith(str(tmp_path / "jobs"))
    # Both processes of a job share its processors.
    assert "export OMP_NUM_THREADS=4 SRUN_CPUS_PER_TASK=4" in script.read_text()
    # What is queued again when the time is over is the same job.
    job = SuiteJob(suite_file, ["seed=1"])
    assert job.checkpoint().function == job


@pytest.mark.slow
def test_slurm_from_the_command_line(slurm, tmp_path, suite_file, tiny):
    command = [sys.executable, "-m", "sc2bench", "suite", "run", suite_file, *tiny, "--launcher", "slurm"]
    done = subprocess.run([*command, "--time", "30"], capture_output=True, text=True, check=True)
    assert f"jobs 1; logs in {tmp_path}/checkpoints/jobs/jobs" in done.stderr
    found = parameters(slurm / "submitted.sh")
    assert found["time"] == "30"
    assert "array" not in found
    assert "gpus-per-node" not in found
    assert "partition" not in found


@pytest.mark.slow
def test_local_jobs_share_a_suite(tmp_path, tiny, suite_file):
    Path(suite_file).write_text(SUITE.replace("BAD", "101"))
    command = [sys.executable, "-m", "sc2bench", "suite", "run", suite_file, *tiny, "--launcher", "local"]
    done = subprocess.run([*command, "--jobs", "2"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 1, done.stderr
    # Both jobs tried the point, and both failures are one.
    assert done.stderr.count("can't code at quality 101") == 1
    assert "Traceback" not in done.stderr
    assert "rate_accuracy.png" in done.stdout
    logs = list((tmp_path / "checkpoints" / "jobs" / "jobs").glob("*_log.err"))
    assert len(logs) == 2
    words = [word for log in logs for word in log.read_text().split()]
    for run in Suite.load(suite_file, tiny).all_experiments():
        assert run.done == (run.config.rate != 101)
        # Once "<run id>: <bytes> bytes, ...", by one of the two; of what failed, no such line.
        assert words.count(f"{run.id}:") == int(run.done)


@pytest.mark.slow
def test_ending_cancels_local_jobs(tmp_path, tiny, suite_file):
    command = [sys.executable, "-m", "sc2bench", "suite", "run", suite_file, *tiny, "--launcher", "local"]
    # As in a shell's background, where SIGINT is ignored: jobs heed it all the same.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    folder = tmp_path / "checkpoints" / "jobs" / "jobs"
    deadline = time.monotonic() + 100
    while not list(folder.glob("*_log.out")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    (log,) = folder.glob("*_log.out")
    assert not Path(f"/proc/{log.name.partition('_')[0]}").exists()
    assert not list((tmp_path / "results").rglob("*.json"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"launcher": "pbs"}, "--launcher: unknown value 'pbs'; known: local, slurm"),
        ({"launcher": "local", "jobs": 0}, "--jobs: 0 is below the least value, 1"),
        ({"launcher": "slurm", "minutes": 0}, "--time: 0 is below the least value, 1"),
        ({"launcher": "local", "partition": "fast"}, "--partition: 'fast' is for --launcher slurm"),
        ({"launcher": "local", "gpus": 99}, "--gpus: 1 jobs with 99 each need more than the 0 of this machine"),
    ],
)
def test_impossible_jobs_are_refused(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        JobOptions(**options)


def test_threads_are_divided_among_local_jobs():
    cores = len(os.sched_getaffinity(0))
    assert JobOptions("local", jobs=2).threads == max(cores // 2, 1)
    assert JobOptions("local", jobs=100 * cores).threads == 1
    assert JobOptions("local", jobs=2, cpus=3).threads == 3


def test_missing_programs_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no program sbatch here"):
        submit(SuiteJob("quickstart"), JobOptions("slurm"), tmp_path)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"needs submitit; install it: pip install 'sc2bench\[cluster\]'"):
        submit(SuiteJob("quickstart"), JobOptions("slurm"), tmp_path)
