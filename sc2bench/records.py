"""One measured point is one JSON file; reading them all gives one DataFrame."""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from sc2bench.errors import DataError, OutputError
from sc2bench.files import visible_files, write_json

SCHEMA_VERSION = 1
_PACKAGES = ("sc2bench", "torch", "torchvision", "compressai", "numba", "pillow", "numpy")
# What records have had from the start; methods without a prior or a learned rate have null there.
_FIRST_FIELDS = (
    "schema_version", "task", "dataset", "split", "samples", "method", "codec", "prior", "teacher", "rate_knob", "rate",
    "seed", "config_hash", "quality", "bytes_mean", "bytes_p50", "bytes_p95", "payload_bytes_mean",
    "side_info_bytes_mean", "framing_bytes_mean", "session_bytes", "estimated_bits_mean", "device_params",
    "device_macs", "server_params", "server_macs", "encode_ms", "decode_ms", "environment", "config",
)  # fmt: skip
STATISTICS = ("p50", "p50_low", "p50_high", "p95")
# For each kind of exported device half, its spans and those of PyTorch's that they stand beside.
EXPORT_SPANS = {
    "onnx": {"device_onnx": "device", "device_onnx_network": "device_network"},
    "int8": {"device_int8": "device", "device_int8_network": "device_network"},
}
EXPORT_FIELDS = (
    "device_export_bytes",
    "device_int8_export_bytes",
    *(f"{span}_ms_{statistic}" for spans in EXPORT_SPANS.values() for span in spans for statistic in STATISTICS),
)
# What was added later, null in records that are older.
LATER_FIELDS = (
    "device_param_bits", "device_peak_activation_bytes", "server_param_bits", "server_peak_activation_bytes",
    *(
        f"{span}_ms_{statistic}"
        for span in ("device", "device_network", "device_coder", "server", "server_coder", "server_network")
        for statistic in STATISTICS
    ),
    "latency_repeats", "latency_threads", *EXPORT_FIELDS,
)  # fmt: skip
FIELDS = _FIRST_FIELDS + LATER_FIELDS


def record_path(output: str | Path, task: str, method: str, run_id: str) -> Path:
    """Where the record of a run lies: the path is its identity, so a run is done if the file exists."""
    return Path(output) / task / method / f"{run_id}.json"


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes one record atomically.

    Raises:
        OutputError: it can't be written.
        ValueError: fields are missing or unknown, or a number is not finite.
    """
    if record.keys() != set(FIELDS):
        raise ValueError(f"a record has exactly the known fields; these differ: {sorted(record.keys() ^ set(FIELDS))}")
    write_json(path, record)


def read_record(path: Path) -> dict[str, Any]:
    """Reads one record, with null for fields that it is too old to have.

    Raises:
        DataError: damaged or of another schema.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = record["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"record {path} can't be read ({error}); delete it to measure the point again") from error
    if found != SCHEMA_VERSION:
        raise DataError(
            f"record {path} has schema version {found} instead of {SCHEMA_VERSION}; measure the point again"
        )
    missing = sorted(set(_FIRST_FIELDS) - record.keys())
    if missing:
        raise DataError(f"record {path} lacks {', '.join(missing)}; delete it to measure the point again")
    return {**dict.fromkeys(LATER_FIELDS), **record}


def load_records(path: str | Path) -> pd.DataFrame:
    """Reads all records below a folder.

    Args:
        path: the folder; every JSON file in it that is not hidden is taken for a record.

    Returns:
        A row a record; `quality` becomes one column a metric ("top1", ...), `path` names the file.

    Raises:
        DataError: no such folder, one that can't be read, or a damaged record.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no records: folder {folder} does not exist; run a suite first")
    return read_records(visible_files(folder, ".json"))


def read_records(paths: Sequence[Path]) -> pd.DataFrame:
    """Reads the given records; see `load_records`."""
    rows = []
    for path in paths:
        record = read_record(path)
        rows.append({**record, **record["quality"], "path": str(path)})
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
    if not (tree / ".git").exists():
        return None, None
    try:
        commit = _git(tree, "rev-parse", "HEAD")
        return commit, bool(_git(tree, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(tree: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(tree), *arguments], check=True, capture_output=True, text=True, timeout=10
    ).stdout.strip()
