"""A sweep of a codec's qualities as one suite, against one `sc2bench run` a quality.

    python benchmarks/speed/suite.py

The suite starts once, reads the data once and has one teacher. All records are compared: both ways measure the same.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from measure import Times, environment, table

CODEC = "webp"
QUALITIES = (1, 5, 10, 20, 30, 40, 50, 65, 80, 95)
# What differs from one measurement of the same point to the next.
_VARYING = ("latency_repeats", "environment", "config")


def command(arguments: Sequence[str], times: Times) -> tuple[float, float]:
    """Runs `sc2bench` with arguments in a process of its own; returns its wall and processor seconds.

    Raises:
        RuntimeError: it fails.
    """
    started = time.perf_counter()
    program = [sys.executable, "-W", "ignore", "-m", "sc2bench"]
    process = subprocess.Popen([*program, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"sc2bench {' '.join(arguments)} ended with status {process.returncode}")
    times.peak_mb = max(times.peak_mb, usage.ru_maxrss / 1024)
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def overrides(folder: Path, samples: int) -> list[str]:
    """What all points share."""
    return [
        "task=fashion_mnist", "method=input_codec", f"method.codec={CODEC}", f"evaluation.samples={samples}",
        f"output={folder}/results", f"checkpoints={folder}/checkpoints",
    ]  # fmt: skip


def separately(folder: Path, samples: int, qualities: Sequence[int], times: Times) -> None:
    """One process a quality."""
    seconds = [
        command(["run", "--quiet", *overrides(folder, samples), f"rate={quality}"], times) for quality in qualities
    ]
    times.wall.append(sum(wall for wall, _ in seconds))
    times.cpu.append(sum(cpu for _, cpu in seconds))


def as_suite(folder: Path, samples: int, qualities: Sequence[int], times: Times) -> None:
    """One suite with one curve."""
    curve = {"label": CODEC, "rates": [float(quality) for quality in qualities]}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"overrides": overrides(folder, samples), "curves": [curve]}), encoding="utf-8")
    wall, cpu = command(["suite", "run", "--quiet", str(path)], times)
    times.wall.append(wall)
    times.cpu.append(cpu)


def measured(folder: Path) -> dict[str, Any]:
    """The records by name, without times and places."""
    records = {}
    for path in sorted((folder / "results").rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("config_hash"):
            kept = [key for key in record if key not in _VARYING and "_ms" not in key]
            records[path.name] = {key: record[key] for key in kept}
    return records


def compare(samples: int, repeats: int, qualities: Sequence[int] = QUALITIES) -> dict[str, Times]:
    """Measures both ways in turn.

    Args:
        samples: test images that each point is measured on.
        repeats: rounds.
        qualities: the points.

    Raises:
        RuntimeError: the two ways have different results.
    """
    ways = {f"{len(qualities)} x sc2bench run": separately, "sc2bench suite run": as_suite}
    times = {name: Times() for name in ways}
    for _ in range(repeats):
        found = []
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                way(Path(folder), samples, qualities, times[name])
                found.append(measured(Path(folder)))
        if len(found[0]) != len(qualities) or found[0] != found[1]:
            raise RuntimeError("the two ways measured something else")
    return times


def main(
    repeats: Annotated[int, typer.Option(help="rounds")] = 1,
    samples: Annotated[list[int] | None, typer.Option(help="test images of a point")] = None,
    threads: Annotated[int, typer.Option(help="of PyTorch in each process")] = 1,
) -> None:
    """Prints times and ratios."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    print(environment(threads))
    for count in samples or (1000, 10000):
        times = compare(count, repeats)
        print(f"\n{len(QUALITIES)} qualities of {CODEC}, {count} images each")
        print(table(times, dict.fromkeys(times, len(QUALITIES)), "point"))


if __name__ == "__main__":
    typer.run(main)
