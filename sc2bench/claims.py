"""Claims: small files by which runners on one or several machines share out work without talking to each other.

The claim on `X` is a file `X.claim-N` beside it, made with O_CREAT | O_EXCL, so that the file system itself lets one
runner alone make each. Its content names host, process and time. Nothing is ever renamed or overwritten: who takes over
the claim of a dead runner makes the next number. Afterwards it looks around again, and gives way if any other living
claim is there. Of two runners that look after they have made theirs, at least one sees the other's, so two never hold
the same claim; at worst both give way and come again.

A claim's owner on the same machine (same boot, same process namespace) is alive while its process is. Of an owner
elsewhere only the file's time is known: its runner renews it every minute, and after ten without that it counts as
dead. That time is compared with the clock of the file system, not of this machine.

On NFS: exclusive creation is atomic since version 3; making a file in a folder and opening a file both drop what a
client had cached of it. Who claims must therefore look for a result after claiming, not only before.
"""

import json
import os
import socket
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

from sc2bench.errors import OutputError, Sc2benchError

REFRESH_SECONDS = 60.0
STALE_SECONDS = 600.0


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
        self._held: dict[Path, Path] = {}
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
            OutputError: the folder can't be written to.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            others = _files(path)
            if any(_living(file) for file in others.values()):
                return False
            number = max(others, default=0) + 1
            mine = path.with_name(f"{path.name}.claim-{number}")
            handle = _make(mine)
        except OSError as error:
            raise OutputError(
                f"can't claim {path}: {error.strerror or error}; choose another folder with output="
            ) from error
        if handle is None:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(_myself()), file)
        others = _files(path)
        others.pop(number, None)
        if any(_living(file) for file in others.values()):
            mine.unlink(missing_ok=True)
            return False
        for dead in others.values():
            dead.unlink(missing_ok=True)
        self._held[path] = mine
        return True

    def confirm(self, path: Path) -> None:
        """Raises `ClaimLost` if another runner has taken over the claim on `path`, as after a long sleep."""
        mine = self._held[path]
        if not mine.exists() or max(_files(path).values(), key=_number) != mine:
            raise ClaimLost(
                f"the claim on {path} was not renewed for {STALE_SECONDS / 60:.0f} minutes, and another runner has "
                "taken it over; its result counts"
            )

    def release(self, path: Path) -> None:
        """Gives a claim back; nothing to do if it is not held."""
        mine = self._held.pop(path, None)
        if mine is not None:
            mine.unlink(missing_ok=True)

    def _refresh(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            for mine in list(self._held.values()):
                try:
                    os.utime(mine)
                except OSError:
                    # Lost, or a network that is away for a while: `confirm` tells which before anything is written.
                    continue


def holder(path: Path) -> Owner | None:
    """The living owner of the claim on `path`, if there is one that has written its name already."""
    for file in reversed(_files(path).values()):
        owner = _owner(file)
        if owner is not None and _living(file):
            return owner
    return None


def _make(file: Path) -> int | None:
    """A handle of a new file, or `None` if another runner has made it."""
    try:
        return os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return None


def _files(path: Path) -> dict[int, Path]:
    """The claims on `path`, dead and alive, by number."""
    prefix = f"{path.name}.claim-"
    try:
        names = [file.name for file in path.parent.iterdir()]
    except FileNotFoundError:
        return {}
    files = [path.parent / name for name in names if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    return {_number(file): file for file in sorted(files, key=_number)}


def _number(file: Path) -> int:
    return int(file.name.rpartition("-")[2])


def _owner(file: Path) -> Owner | None:
    """`None` while the file is being written, or if it is gone."""
    try:
        return Owner(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _living(file: Path) -> bool:
    owner = _owner(file)
    if owner is not None and owner.machine == _machine():
        return _started(owner.pid) == owner.started
    try:
        with file.open("rb") as opened:
            renewed = os.fstat(opened.fileno()).st_mtime
    except FileNotFoundError:
        return False
    return _file_system_time(file.parent) - renewed < STALE_SECONDS


def _file_system_time(folder: Path) -> float:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b".")
        file.flush()
        return os.fstat(file.fileno()).st_mtime


def _myself() -> Owner:
    return Owner(socket.gethostname(), os.getpid(), time.time(), _machine(), _started(os.getpid()) or "")


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """When a process of this machine was started; `None` if it is gone."""
    try:
        # The name of the program stands in brackets and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        return _started_without_proc(pid)
    # A killed process that its parent has not asked for yet is a zombie.
    return None if fields[0] in "ZX" else fields[19]


def _started_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""
