"""Fuzzers of what arrives from outside; `make fuzz` runs them for long, a test for seconds.

Each module here that has `run(count, seed) -> dict[str, int]` is a fuzzer: it makes so many tries, which depend on the
seed alone, counts what came of them, and raises `AssertionError` at the first outcome of a wrong kind.
"""
