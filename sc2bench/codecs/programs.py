"""Running encoders and decoders that come as programs: found, checked, bounded in time, and leaving nothing behind."""

import atexit
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sc2bench.core.errors import ConfigError, Sc2benchError

_PREFIX, _NEW_PREFIX = "sc2bench-codec-", "sc2bench-new-"
_VERSION = re.compile(r"ver(?:sion|\.)?\s*[nv]?(\d+(?:\.\d+)+)", re.IGNORECASE)
_VERSION_SECONDS = 30.0


class ProgramError(Sc2benchError):
    """A program failed, or took longer than it may."""


@dataclass(frozen=True)
class Program:
    """What is known of an external program before it is run.

    Attributes:
        name: of the executable.
        least_version: the oldest version that takes the arguments that it will get.
        version_arguments: make it print its version, whatever its exit status.
        version_mark: stands in what it prints, and in no other program's output.
        source: where to get it.
    """

    name: str
    least_version: tuple[int, ...]
    version_arguments: tuple[str, ...]
    version_mark: str
    source: str

    def find(self, codec: str, option: str, path: str = "") -> str:
        """Finds the program and checks its version.

        Args:
            codec: the codec that needs it, for the error's sentence.
            option: the option of the codec by which a path can be given.
            path: that path; empty to search PATH.

        Returns:
            The executable's absolute path.

        Raises:
            ConfigError: it is missing, is another program, or too old.
        """
        found = shutil.which(path or self.name)
        if found is None:
            where = f"at '{path}'" if path else "on PATH"
            raise ConfigError(
                f"codec '{codec}' needs the program '{self.name}', but none is {where}; get it from {self.source}, "
                f"or give its path with method.options.{option}=PATH"
            )
        executable = str(Path(found).resolve())
        printed = _printed(executable, self.version_arguments)
        match = _VERSION.search(printed)
        if self.version_mark.lower() not in printed.lower() or match is None:
            first = next(iter(printed.strip().splitlines()), "nothing")
            raise ConfigError(
                f"codec '{codec}': {executable} is no '{self.name}', for it says '{first[:80]}'; "
                f"get one from {self.source}"
            )
        if tuple(map(int, match[1].split("."))) < self.least_version:
            needed = ".".join(map(str, self.least_version))
            raise ConfigError(
                f"codec '{codec}': {executable} is version {match[1]}, but {needed} or newer is needed; "
                f"get it from {self.source}"
            )
        return executable


@cache
def _printed(executable: str, arguments: tuple[str, ...]) -> str:
    """What a program prints when it is asked for its version; asked once a process."""
    try:
        with workspace() as folder:
            try:
                done = _finish([executable, *arguments], folder, _VERSION_SECONDS)
            except OSError as error:
                return str(error)
    except ProgramError as error:
        return str(error)
    return (done.stdout + done.stderr).decode(errors="replace")


def run(command: Sequence[str], folder: Path, *, seconds: float) -> bytes:
    """Runs a program to its end.

    Args:
        command: the executable and its arguments.
        folder: where it runs.
        seconds: after which it is killed.

    Returns:
        What it wrote to standard output.

    Raises:
        ProgramError: it can't be started, fails, or is too slow.
    """
    try:
        done = _finish(command, folder, seconds)
    except OSError as error:
        raise ProgramError(f"'{command[0]}' can't be run: {error.strerror or error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise ProgramError(f"'{command[0]}' failed with status {done.returncode}: {said[-1] if said else 'no message'}")
    return done.stdout


def _finish(command: Sequence[str], folder: Path, seconds: float) -> subprocess.CompletedProcess[bytes]:
    # A process group of its own lets its children be killed with it.
    with subprocess.Popen(
        [*_dying_with_us(), *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        _running.add(process)
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise ProgramError(
                f"'{command[0]}' did not finish within {seconds:g} s and was killed; "
                "give it more with method.options.timeout"
            ) from error
        finally:
            # Also after an interruption.
            _running.discard(process)
            _kill(process)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


_running: set[subprocess.Popen[bytes]] = set()


def kill_running() -> None:
    """Kills the programs that other threads wait for; to those they seem to have failed."""
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@cache
def _dying_with_us() -> tuple[str, ...]:
    """What is put before a command so that the kernel kills it when this process dies; nothing where impossible."""
    found = shutil.which("setpriv")
    if found is None or subprocess.run([found, "--pdeathsig", "KILL", "true"], capture_output=True).returncode:
        return ()
    return (found, "--pdeathsig", "KILL")


@contextmanager
def workspace() -> Iterator[Path]:
    """A private folder for one run of a program, removed afterwards whatever happens.

    Raises:
        ProgramError: it can't be made or written to, as on a full disk.

    Should this very process be killed, the next one that uses programs removes what was left: each holds a lock on
    its folder, which the kernel frees when it dies.
    """
    try:
        with tempfile.TemporaryDirectory(dir=_process_folder(os.getpid()), ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        place = error.filename or "temporary files"
        raise ProgramError(
            f"a program's files can't be written or read: {place}: {error.strerror or error}; free space, or set "
            "TMPDIR to a folder that can be written to"
        ) from error


@cache
def _process_folder(pid: int) -> Path:
    """This process's own folder; the number keeps a forked child from using its parent's."""
    _sweep()
    # Locked before it gets the name that others look for. The lock is held until this process ends.
    made = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX))
    fcntl.flock(os.open(made, os.O_RDONLY), fcntl.LOCK_EX)
    folder = made.rename(made.with_name(made.name.replace(_NEW_PREFIX, _PREFIX)))
    atexit.register(_remove_own, folder, pid)
    return folder


def _remove_own(folder: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Removes the folders of processes that are dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            handle = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
