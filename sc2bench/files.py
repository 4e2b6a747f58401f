"""Writing files so that a reader never sees half of one."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sc2bench.errors import OutputError


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, then renames it to `path`.

    Args:
        path: the file to make or replace; missing folders are made.
        write: writes the content to the path it is given.

    Raises:
        OutputError: the folder is read-only, the disk is full, or any other failure of the operating
            system. An older file at `path` is then as it was, and no temporary file is left.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because some writers choose their format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"can't write {path}: {reason}; free space or choose another folder with output=") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_folder_atomic(folder: Path, fill: Callable[[Path], object]) -> None:
    """Lets `fill` write files to a temporary folder beside `folder`, then renames it to `folder`.

    Several processes may do so at once: the first one's folder stays, and what the others made is removed.

    Args:
        folder: the folder to make; it may be there already if it is empty.
        fill: writes the files into the folder it is given.

    Raises:
        OutputError: the place is read-only, the disk is full, or any other failure of the operating system. No
            temporary folder is left.
    """
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
        fill(temporary)
        temporary.chmod(0o777 & ~_umask())
        try:
            temporary.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"can't make {folder}: {reason}; free space or choose another place") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def at_home(text: str) -> str:
    """A path with its leading `~` or `~user` spelt out, where that is known; any other text as it is."""
    # That of pathlib raises an error where there is no home.
    return os.path.expanduser(text) if text.startswith("~") else text  # noqa: PTH111


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically; raises `OutputError`."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically; raises `OutputError`, and `ValueError` for NaN and infinities."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
