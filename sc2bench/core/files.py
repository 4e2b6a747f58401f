"""Writing files so that a reader never sees half of one, and removing what killed writers left."""

import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sc2bench.core.errors import DataError, OutputError
from sc2bench.core.owners import Maker
from sc2bench.core.signals import undisturbed

# Of a writer on another machine nothing is known but when it wrote last; a network may be away for some minutes.
LEFTOVER_SECONDS = 3600.0
# `.writing-<maker>-<random>`. Without a maker they are of older versions, or of the library of safetensors.
_TEMPORARY = re.compile(r"\.(?:writing|making)-(?:(?P<maker>.+)-)?[a-z0-9_]{8}(?:\..*)?|\.tmp[A-Za-z0-9]{6}")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, then renames it to `path`.

    Args:
        path: the file to make or replace; missing folders are made.
        write: writes the content to the path it is given, which does not exist yet.

    Raises:
        OutputError: the folder is read-only, the disk is full, or any other failure of the operating
            system. An older file at `path` is then as it was, and no temporary file is left.
    """
    folder: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with undisturbed():
            # A folder, for writers make temporary files of their own, beside the one that they are told to write.
            folder = _temporary_folder(path.parent, "writing")
        # The name is kept because some writers choose their format by it.
        temporary = folder / path.name
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"can't write {path}: {reason}; free space or choose another folder with output=") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


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
        remove_leftovers(folder.parent)
        with undisturbed():
            temporary = _temporary_folder(folder.parent, "making")
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


def _temporary_folder(parent: Path, purpose: str) -> Path:
    return Path(tempfile.mkdtemp(dir=parent, prefix=f".{purpose}-{Maker.own()}-"))


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files that killed writers left in a folder; those of writers that may live are kept.

    What can't be removed stays: it is in nobody's way.
    """
    now: float | None = None
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            match = _TEMPORARY.fullmatch(entry.name)
            if match is None:
                continue
            maker = Maker.parse(match["maker"] or "")
            alive = None if maker is None else maker.alive
            if alive is None:
                now = file_system_time(folder) if now is None else now
                # A time far ahead of the clock is that of a clock that was set back since: long ago, too.
                alive = abs(now - _last_written(Path(entry.path))) < LEFTOVER_SECONDS
            if not alive and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif not alive:
                Path(entry.path).unlink(missing_ok=True)


def is_there(path: Path) -> bool:
    """Whether a file or folder exists; raises `DataError` where that can't be told."""
    try:
        return path.exists()
    except OSError as error:
        raise DataError(f"{path} can't be looked for: {error.strerror}; mend its folder's place or rights") from error


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none if it does not exist, `DataError` if it can't be read."""
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"folder {folder} can't be read: {error.strerror}; mend its place or rights") from error


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder, removed afterwards; in the block nothing else may fail as an `OSError`.

    Raises:
        OutputError: it can't be made, or something in it can't be written.
    """
    way_out = "free space, or set TMPDIR to a folder that can be written to"
    try:
        made = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"no temporary folder can be made: {error.strerror or error}; {way_out}") from error
    try:
        with made as name:
            yield Path(name)
    except OSError as error:
        raise OutputError(
            f"temporary folder {made.name} can't be used: {error.strerror or error}; {way_out}"
        ) from error


def visible_files(folder: Path, suffix: str) -> list[Path]:
    """The files below a folder with a suffix such as ".json", sorted; hidden ones, and hidden folders, are none.

    Others may write there at the same time: what they make while they write is hidden, and what vanishes is no file.

    Raises:
        DataError: a folder that can't be read; what is in it would be missing without a word.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise DataError(f"folder {error.filename} can't be read: {error.strerror}; mend its rights") from error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if name.endswith(suffix) and not name.startswith(".")]
    return sorted(found)


def _last_written(path: Path) -> float:
    """When anything in a file or folder was written last; seconds since 1970."""
    places = [path, *(Path(folder, name) for folder, _, names in os.walk(path) for name in names)]
    times = [0.0]
    for place in places:
        with suppress(FileNotFoundError):
            times.append(place.lstat().st_mtime)
    return max(times)


def file_system_time(folder: Path) -> float:
    """What a folder's file system takes for now, in seconds since 1970; this machine where nothing can be written."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b".")
            file.flush()
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


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
