"""Runs the fuzzers, each in processes of its own, and prints what came of their tries.

    python -m tests.fuzz --count 100000 --seed 1
    python -m tests.fuzz --only weights --seed 17 --count 1000

The tries are made in parts, each with a seed of its own. A part that fails, crashes or hangs ends everything, with the
command that repeats it alone.
"""

import argparse
import sys
import time

from tests.fuzz.running import PART, fuzz, names


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzzes what arrives from outside.")
    parser.add_argument("--count", type=int, default=20_000, help="tries of each fuzzer")
    parser.add_argument("--seed", type=int, default=0, help="of the first part; each later one has the next")
    parser.add_argument("--only", choices=names(), help="one fuzzer alone")
    parser.add_argument("--limit", type=float, default=300, help=f"seconds that {PART} tries may take")
    options = parser.parse_args()
    failed = False
    for name in [options.only] if options.only else names():
        started = time.monotonic()
        outcomes, failure = fuzz(name, options.count, options.seed, options.limit)
        counts = ", ".join(f"{count:,} {what}" for what, count in sorted(outcomes.items()) if what != "tries")
        print(f"{name}: {outcomes['tries']:,} tries in {time.monotonic() - started:.0f} s: {counts}", flush=True)
        if failure:
            print(f"{name}: {failure}", file=sys.stderr, flush=True)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
