"""Runs fuzzers in processes of their own, so that a crash, a hang or a claim on memory is a failure like others."""

import multiprocessing
import re
import resource
import traceback
from collections import Counter
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PART = 1000
# What a process may take of memory beyond what it has when it begins: declared sizes must not cost more.
_MEMORY = 4 << 30
_ENTRY = re.compile(r"^def run\(", re.MULTILINE)


def names() -> list[str]:
    """The fuzzers there are: the modules of this package that have `run`."""
    files = FOLDER.glob("*.py")
    return sorted(path.stem for path in files if _ENTRY.search(path.read_text(encoding="utf-8")))


def fuzz(name: str, count: int, seed: int, limit: float) -> tuple[Counter[str], str]:
    """What came of one fuzzer's tries, and what went wrong, if anything did, with the command that repeats it."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_parts, args=(name, count, seed, sender), daemon=True)
    child.start()
    sender.close()
    outcomes: Counter[str] = Counter(tries=0)
    failure = ""
    for number, part in enumerate(_sizes(count)):
        again = f"repeat with: python -m tests.fuzz --only {name} --seed {seed + number} --count {part}"
        if not receiver.poll(limit):
            child.kill()
            failure = f"no end within {limit:g} s; {again}"
            break
        try:
            result = receiver.recv()
        except EOFError:
            child.join()
            failure = f"the process ended with status {child.exitcode}; {again}"
            break
        if isinstance(result, str):
            failure = f"{result}\n{again}"
            break
        outcomes.update(result)
    child.join(limit)
    return outcomes, failure


def _sizes(count: int) -> list[int]:
    """How many tries each part has."""
    return [min(PART, count - start) for start in range(0, count, PART)]


def _parts(name: str, count: int, seed: int, sender: Connection) -> None:
    """In the child: makes the parts' tries, and sends what came of each, or the traceback."""
    run: Any = import_module(f"tests.fuzz.{name}").run
    _limit_memory()
    for number, part in enumerate(_sizes(count)):
        try:
            outcome: Any = run(part, seed + number)
        except BaseException:
            outcome = traceback.format_exc()
        sender.send(outcome)
        if isinstance(outcome, str):
            break
    sender.close()


def _limit_memory() -> None:
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        limit = int(statistics.read_text(encoding="ascii").split()[0]) * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
