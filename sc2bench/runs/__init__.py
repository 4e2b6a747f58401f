"""Experiments and suites of them, from a configuration to records."""
