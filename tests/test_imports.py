"""Imports run one way, from the bottom of this list to its top."""

import ast
from pathlib import Path

import pytest

import sc2bench

ORDER = [
    "errors",
    "owners",
    "signals",
    "home",
    "digests",
    "files",
    "text",
    "memory",
    "intervals",
    "sizing",
    "inputs",
    "coding",
    "claims",
    "progress",
    "repository",
    "plugin_code",
    "plugins",
    "registry",
    "config",
    "state",
    "processes",
    "sharing",
    "data",
    "chain",
    "teachers",
    "entropy",
    "packet",
    "bottlenecks",
    "codecs",
    "methods",
    "tasks",
    "training",
    "evaluation",
    "record_fields",
    "records",
    "exporting",
    "report",
    "identity",
    "experiment",
    "run",
    "importing",
    "suite",
    "pictures",
    "validation",
    "launcher",
    "cli",
    "__main__",
]
PACKAGE = Path(sc2bench.__file__).parent


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("sc2bench.")}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path):
    place = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if place == "__init__":
        return
    allowed = set(ORDER[: ORDER.index(place) + 1])
    # Names of the package itself, such as those of `from sc2bench import registry`, are modules too.
    assert imported(path) <= allowed


def test_report_reads_records_only():
    for path in (PACKAGE / "report").glob("*.py"):
        assert imported(path) <= {"errors", "files", "intervals", "record_fields", "records", "report", "text"}
