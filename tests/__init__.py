"""Tests, in folders that mirror the package."""

from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
# Outputs of the published implementation, and its table of experiments.
FIXTURES = REPOSITORY / "tests" / "fixtures"
# Committed records.
EMBEDDED = REPOSITORY / "results" / "embedded"
