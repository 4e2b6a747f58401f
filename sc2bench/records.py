"""One measured point is one JSON file; reading them all gives one DataFrame."""

import json
import os
import platform
import re
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from sc2bench.core.errors import DataError, OutputError
from sc2bench.core.files import visible_files, write_json
from sc2bench.core.repository import state_of
from sc2bench.measures import EXPORTED, FIRST, KINDS, LATER, SCHEMA_VERSION
from sc2bench.record_checks import problem

_PACKAGES = ("sc2bench", "torch", "torchvision", "compressai", "numba", "pillow", "numpy")
EXPORT_FIELDS = tuple(EXPORTED)
LATER_FIELDS = tuple(LATER)
FIELDS = tuple(KINDS)
# A run's file is named after it, with the hash of its configuration at the end, or before that of its surroundings.
_RUN_HASH = re.compile(r"-([0-9a-f]{12})(?:-x[0-9a-f]{8})?$")
# Both occur in every record, and together in no other file of a run.
_MARKS = ('"schema_version"', '"config_hash"')


def record_path(output: str | Path, task: str, method: str, experiment: str) -> Path:
    """Where an experiment's record lies: the path is its identity, so it is done if the file exists."""
    return Path(output) / task / method / f"{experiment}.json"


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes one record atomically.

    Raises:
        OutputError: it can't be written.
        DataError: a value that no record may have, such as a quality that is not a number.
        ValueError: fields are missing or unknown.
    """
    if record.keys() != set(FIELDS):
        raise ValueError(f"a record has exactly the known fields; these differ: {sorted(record.keys() ^ set(FIELDS))}")
    found = problem(record)
    if found is not None:
        raise DataError(f"what was measured can't be recorded as {path.name}: {found}; mend what measures it")
    write_json(path, record)


def read_record(path: Path) -> dict[str, Any]:
    """Reads one record, with null for fields that it is too old to have.

    Raises:
        DataError: missing, damaged, of another schema, or that of another run than its name says.
    """
    record = find_record(path)
    if record is None:
        raise DataError(f"record {path} can't be read (there is no such file); measure the point")
    return record


def find_record(path: Path) -> dict[str, Any] | None:
    """As `read_record`, but `None` where there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return parse_record(path, text)


def parse_record(path: Path, text: str) -> dict[str, Any]:
    """The record that a file's text is; raises `DataError` as `read_record` does."""
    try:
        record = json.loads(text, object_pairs_hook=_once)
        found = record["schema_version"]
    except KeyError as error:
        raise _unreadable(path, "it has no schema_version") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if isinstance(found, int) and found != SCHEMA_VERSION:
        raise DataError(
            f"record {path} has schema_version {found} instead of {SCHEMA_VERSION}; measure the point again"
        )
    missing = sorted(FIRST.keys() - record.keys())
    if missing:
        raise DataError(f"record {path} lacks {', '.join(missing)}; {_WAY_OUT}")
    record = {**dict.fromkeys(LATER_FIELDS), **record}
    wrong = problem(record)
    if wrong is not None:
        raise DataError(f"record {path} is damaged: {wrong}; {_WAY_OUT}")
    named = _RUN_HASH.search(path.stem)
    if named is not None and named[1] != record["config_hash"]:
        raise DataError(
            f"record {path} is of another run: its config_hash is {record['config_hash']}; give it its own name back, "
            "or delete it"
        )
    return record


_WAY_OUT = "delete it to measure the point again, or move it away"


def _unreadable(path: Path, why: object) -> DataError:
    return DataError(f"record {path} can't be read ({why}); {_WAY_OUT}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different; of two values JSON would keep the last one without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' stands in it twice")
    return found


def load_records(path: str | Path) -> pd.DataFrame:
    """Reads all records below a folder, also while others write there.

    A JSON file is taken for a record if its name ends as a run's does, or if it has the marks of one inside; other
    JSON files, hidden files and what hidden folders hold are none.

    Args:
        path: the folder.

    Returns:
        A row a record; `quality` becomes one column a metric ("top1", ...), `path` names the file.

    Raises:
        DataError: no such folder, one that can't be read, or a damaged record.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no records: folder {folder} does not exist; run a suite first")
    files = [file for file in visible_files(folder, ".json") if _meant(file)]
    # What is gone since it was listed was no record yet, or is none any more.
    return records_frame([(file, record) for file in files if (record := find_record(file)) is not None])


def _meant(path: Path) -> bool:
    """Whether a file means to be a record."""
    if _RUN_HASH.search(path.stem):
        return True
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from error
    return all(mark in text for mark in _MARKS)


def records_frame(records: Sequence[tuple[Path, dict[str, Any]]]) -> pd.DataFrame:
    """Records and where they lie as `load_records` gives them."""
    rows = [{**record, **record["quality"], "path": str(path)} for path, record in records]
    return pd.DataFrame(rows, columns=None if rows else [*FIELDS, "path"])


def ensure_writable(folder: str | Path, option: str = "output") -> None:
    """Makes `folder` and tries a file in it, before work whose result would be lost.

    Args:
        folder: where something will be written.
        option: of the configuration, which names it.

    Raises:
        OutputError: nothing can be written there.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # On a full disk files can be made, but not filled.
            file.write(bytes(1))
            file.flush()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"can't write to {folder}: {reason}; choose another folder with {option}=") from error


@cache
def environment() -> dict[str, Any]:
    """What a measurement depends on beyond its configuration: processor, versions, commit."""
    import torch

    packages: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    commit, dirty = _git_state()
    return {
        "processor": _processor(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": packages,
        "git_commit": commit,
        "git_dirty": dirty,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git_state() -> tuple[str | None, bool | None]:
    """The commit of the source tree and whether it has changes; (None, None) for an installed package."""
    tree = Path(__file__).resolve().parent.parent
    return state_of(tree, "--untracked-files=no") if (tree / ".git").exists() else (None, None)
