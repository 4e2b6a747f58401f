"""The house: where things live, and that imports run one way."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sc2bench
from tests import REPOSITORY

PACKAGE = Path(sc2bench.__file__).parent
# What belongs to no room: the package's own names, and `python -m sc2bench`.
DOORS = {"__init__", "__main__", "configs", "weights"}


def rooms() -> list[str]:
    """The rooms of the README's table, from the bottom to the top."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = re.search(r"^\| place in `sc2bench/`.*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert table is not None
    cells = [line.split("|")[1] for line in table[0].strip().splitlines()[2:]]
    return [name.removesuffix("/").removesuffix(".py") for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


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


def test_readme_shows_every_room_once():
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(rooms()) == sorted(there - DOORS)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path):
    place = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if place in DOORS:
        return
    order = rooms()
    assert imported(path) <= set(order[: order.index(place) + 1])


def test_report_reads_records_only():
    for path in (PACKAGE / "report").rglob("*.py"):
        assert imported(path) <= {"core", "measures", "records", "report"}


def test_image_codecs_and_bottlenecks_know_nothing_of_each_other():
    for room, other in (("codecs", "bottlenecks"), ("bottlenecks", "codecs")):
        assert not any(other in imported(path) for path in (PACKAGE / room).rglob("*.py"))


def test_setup_names_every_package_and_its_files():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    named = setup["options"]["packages"].split()
    there = {".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in PACKAGE.rglob("__init__.py")}
    assert there <= set(named)
    assert len(named) == len(set(named))
    globs = {package: re.split(r"[,\s]+", found) for package, found in setup["options.package_data"].items()}
    for suffix in ("csv", "html", "css", "js"):
        for path in PACKAGE.rglob(f"*.{suffix}"):
            package = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
            assert f"*.{suffix}" in globs.get(package, []), path


def test_wire_needs_no_pytorch():
    """What a device would install: every module of it is imported in a process of its own."""
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.glob("wire/**/*.py")
    ]
    imports = "; ".join(f"import {module.removesuffix('.__init__')}" for module in sorted(modules))
    program = f"import sys; {imports}; assert not {{'torch', 'torchvision', 'compressai'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_tests_mirror_the_package():
    folders = {path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir() and path.name[0] not in "._"}
    there = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders - {"fixtures", "fuzz"} <= there
