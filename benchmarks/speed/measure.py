"""Ratios of times on machines that have other work to do: variants take turns, each in a process of its own.

Both clocks are read: wall time, and the processor time of the process, which others on the machine hardly change. With
one thread the two agree on an idle machine.
"""

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

# Builds a variant in its own process; what it returns does the work once. It must be importable by name.
Variant = Callable[[], Callable[[], Any]]
_PACKAGES = ("torch", "torchvision", "compressai", "numba", "numpy")


@dataclass
class Times:
    """What was measured of one variant.

    Attributes:
        wall: seconds of each round.
        cpu: seconds of processor time of each round.
        peak_mb: peak resident memory of its process, in MB.
        result: what its work returned last.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    result: Any = None


def interleave(variants: Mapping[str, Variant], repeats: int, threads: int = 1) -> dict[str, Times]:
    """Measures variants in turn, A B A B ..., after one round that does not count.

    Args:
        variants: by name, the base first.
        repeats: rounds.
        threads: of PyTorch in each process.
    """
    measured = {name: Times() for name in variants}
    with _workers(variants, threads) as workers:
        for round_number in range(repeats + 1):
            for name, connection in workers.items():
                connection.send("go")
                wall, cpu, peak_mb, result = connection.recv()
                times = measured[name]
                times.peak_mb, times.result = peak_mb, result
                if round_number:
                    times.wall.append(wall)
                    times.cpu.append(cpu)
    return measured


@contextmanager
def _workers(variants: Mapping[str, Variant], threads: int) -> Iterator[dict[str, Connection]]:
    context = get_context("spawn")
    connections: dict[str, Connection] = {}
    processes = []
    try:
        for name, variant in variants.items():
            connections[name], other = context.Pipe()
            process = context.Process(target=_serve, args=(variant, threads, other), daemon=True)
            process.start()
            processes.append(process)
            # So that the end of a worker that fails is noticed at the next word to it.
            other.close()
        yield connections
    finally:
        for connection in connections.values():
            connection.close()
        for process in processes:
            process.join()


def _serve(variant: Variant, threads: int, connection: Connection) -> None:
    import torch

    torch.set_num_threads(threads)
    work = variant()
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        connection.send((wall, cpu, peak_mb(), result))


def peak_mb(who: int = resource.RUSAGE_SELF) -> float:
    """Peak resident memory of this process, or of its largest child that has ended, in MB."""
    return resource.getrusage(who).ru_maxrss / 1024


def table(measured: Mapping[str, Times], units: Mapping[str, float], unit: str) -> str:
    """A Markdown table of medians and of ratios to the first variant.

    Args:
        measured: of `interleave`.
        units: for each variant how many units (samples, steps, ...) one round works off.
        unit: their name.
    """
    lines = [
        f"| variant | ms a {unit}, processor | wall | times as fast, processor | wall | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    base: tuple[float, float] | None = None
    for name, times in measured.items():
        cpu, wall = (1000 * statistics.median(values) / units[name] for values in (times.cpu, times.wall))
        base = base or (cpu, wall)
        lines.append(
            f"| {name} | {cpu:.4g} | {wall:.4g} | {base[0] / cpu:.2f} | {base[1] / wall:.2f} | {times.peak_mb:.0f} |"
        )
    return "\n".join(lines)


def environment(threads: int | None = None) -> str:
    """The machine, its load and the versions, in one line."""
    versions: Sequence[str] = [f"{package} {version(package)}" for package in _PACKAGES]
    used = "" if threads is None else f", {threads} threads used"
    load = os.getloadavg()[0]
    return f"{_processor()}, {os.cpu_count()} cores{used}, load {load:.1f}; Python {platform.python_version()}, " + (
        ", ".join(versions)
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
