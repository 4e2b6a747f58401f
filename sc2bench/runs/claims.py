"""Claims: small files by which runners on one or several machines share out work without talking to each other.

The claim on `X` is a file `X.claim-N` beside it, made with O_CREAT | O_EXCL, so that the file system itself lets one
runner alone make each. Its content names host, process and time. Nothing is ever renamed or overwritten: who takes over
the claim of a dead runner makes the next number. Afterwards it looks around again, and gives way if any other living
claim is there. Of two runners that look after they have made theirs, at least one sees the other's, so two never hold
the same claim; at worst both give way and come again.

A claim's owner on the same machine (same boot, same process namespace) is alive while its process is. Of an owner
elsewhere only the file's time is known: its runner renews it every minute, and after ten without that it counts as
dead. That time is compared with the clock of the file system, not of this machine. A time that lies as far ahead of
that clock is one of a clock that was set back since, and counts as dead, too: else nobody could ever take over.

On NFS: exclusive creation is atomic since version 3; making a file in a folder and opening a file both drop what a
client had cached of it. Who claims must therefore look for a result after claiming, not only before.
"""

import json
import os
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from sc2bench.core.errors import OutputError, Sc2benchError
from sc2bench.core.files import file_system_time
from sc2bench.core.owners import machine, started
from sc2bench.core.signals import undisturbed

REFRESH_SECONDS = 60.0
STALE_SECONDS = 600.0
_NAME = re.compile(r"(?P<claimed>.+)\.claim-\d+")


class ClaimLost(Sc2benchError):
    """The claim was taken over, because this runner seemed to be dead."""


@dataclass(frozen=True)
class Owner:
    """Who holds a claim.

    Attributes:
        host: name of the machine.
        pid: process on it.
        since: when it was claimed, seconds since 1970.
        machine: tells boots and process namespaces apart, which may share a host name.
        started: when the process was started, in the kernel's own unit: process numbers are used again.
    """

    host: str
    pid: int
    since: float
    machine: str
    started: str

    def __str__(self) -> str:
        return (
            f"{self.host}, process {self.pid}, since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.since))}"
        )


class Claims:
    """The claims that this runner holds, kept fresh by a thread and given back at the end."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[Path, Owner]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="claims", daemon=True)

    def __enter__(self) -> "Claims":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for path in list(self._held):
            self.release(path)

    def take(self, path: Path) -> bool:
        """Claims `path`; tells whether it is this runner's now.

        Raises:
            OutputError: the folder can't be written to, or the disk is full; no claim is left.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A claim that is made but not noted would outlive an interrupted runner.
            with undisturbed():
                mine = _take(path)
                if mine is not None:
                    self._held[path] = mine
        except OSError as error:
            raise OutputError(
                f"can't claim {path}: {error.strerror or error}; free space or choose another folder with output="
            ) from error
        return mine is not None

    def confirm(self, path: Path) -> None:
        """Raises `ClaimLost` if another runner has taken over the claim on `path`, as after a long sleep."""
        mine, owner = self._held[path]
        # Once a claim that seemed dead is removed, its number may be another's.
        if _owner(mine) != owner or max(_files(path).values(), key=_number) != mine:
            raise ClaimLost(
                f"the claim on {path} was not renewed for {STALE_SECONDS / 60:.0f} minutes, and another runner has "
                "taken it over; its result counts"
            )

    def release(self, path: Path) -> None:
        """Gives a claim back; nothing to do if it is not held."""
        with undisturbed():
            mine, owner = self._held.pop(path, (None, None))
            # Where it can't be removed any more, as on a file system that became read-only, it is dead with its owner.
            with suppress(OSError):
                if mine is not None and _owner(mine) == owner:
                    mine.unlink(missing_ok=True)

    def _refresh(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            for mine, _ in list(self._held.values()):
                try:
                    os.utime(mine)
                except OSError:
                    # Lost, or a network that is away for a while: `confirm` tells which before anything is written.
                    continue


def holder(path: Path) -> Owner | None:
    """The living owner of the claim on `path`, if there is one that has written its name already.

    Raises:
        OutputError: the folder can't be looked into.
    """
    try:
        for file in reversed(_files(path).values()):
            owner = _owner(file)
            if owner is not None and _living(file):
                return owner
    except OSError as error:
        raise OutputError(f"can't look for claims on {path}: {error.strerror or error}; mend its rights") from error
    return None


def remove_dead(folder: Path) -> None:
    """Removes the claims in a folder whose owners are dead, such as those on what another runner has finished since.

    What can't be removed stays: who claims the same makes the next number.
    """
    with suppress(OSError):
        for file in [Path(entry.path) for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]:
            if not _living(file):
                file.unlink(missing_ok=True)


def _take(path: Path) -> tuple[Path, Owner] | None:
    """The claim that was made, or `None` if another runner has one."""
    others = _files(path)
    if any(_living(file) for file in others.values()):
        return None
    number = max(others, default=0) + 1
    mine, owner = path.with_name(f"{path.name}.claim-{number}"), _myself()
    if not _make(mine, owner):
        return None
    try:
        others = _files(path)
        others.pop(number, None)
        if any(_living(file) for file in others.values()):
            mine.unlink(missing_ok=True)
            return None
    except OSError:
        mine.unlink(missing_ok=True)
        raise
    for dead in others.values():
        # One of another user may have to stay; the highest number counts.
        with suppress(OSError):
            dead.unlink(missing_ok=True)
    return mine, owner


def _make(file: Path, owner: Owner) -> bool:
    """Makes a claim, or tells that another runner has made it; on a full disk none is left."""
    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            json.dump(asdict(owner), opened)
    except OSError:
        # An empty one would look like one that is being written.
        file.unlink(missing_ok=True)
        raise
    return True


def _files(path: Path) -> dict[int, Path]:
    """The claims on `path`, dead and alive, by number."""
    try:
        names = [file.name for file in path.parent.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    files = [path.parent / name for name in names if name.startswith(f"{path.name}.claim-") and _NAME.fullmatch(name)]
    return {_number(file): file for file in sorted(files, key=_number)}


def _number(file: Path) -> int:
    return int(file.name.rpartition("-")[2])


def _owner(file: Path) -> Owner | None:
    """`None` while the file is being written, or if it is gone or damaged."""
    try:
        owner = Owner(**json.loads(file.read_text(encoding="utf-8")))
        # Also tells whether the time is one.
        str(owner)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    names = (owner.host, owner.machine, owner.started)
    # What can't be printed is no name of a host.
    sound = isinstance(owner.pid, int) and all(isinstance(name, str) and name.isprintable() for name in names)
    return owner if sound else None


def _living(file: Path) -> bool:
    owner = _owner(file)
    if owner is not None and owner.machine == machine():
        return started(owner.pid) == owner.started
    try:
        with file.open("rb") as opened:
            renewed = os.fstat(opened.fileno()).st_mtime
    except FileNotFoundError:
        return False
    except PermissionError:
        # Another user's; opening it would only have been for what a client of NFS remembers of it.
        renewed = file.stat().st_mtime
    return abs(file_system_time(file.parent) - renewed) < STALE_SECONDS


def _myself() -> Owner:
    return Owner(socket.gethostname(), os.getpid(), time.time(), machine(), started(os.getpid()) or "")
