"""Who made a file: a process, told apart from all others that ever had its number, on this machine or another."""

import hashlib
import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# "1f0c9a52-4711-88214": the machine, the process and when it was started.
_MARK = re.compile(r"([0-9a-f]{8})-(\d{1,10})-(\d*)")


@dataclass(frozen=True)
class Maker:
    """What a name says of who made it.

    Attributes:
        machine: digest of `machine()`.
        pid: process on it.
        started: see `started`.
    """

    machine: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.machine}-{self.pid}-{self.started}"

    @classmethod
    def own(cls) -> "Maker":
        """This process."""
        return cls(_digest(), os.getpid(), started(os.getpid()) or "")

    @classmethod
    def parse(cls, text: str) -> "Maker | None":
        """What `str` made of a maker, or `None` if it did not make this."""
        match = _MARK.fullmatch(text)
        return None if match is None else cls(match[1], int(match[2]), match[3])

    @property
    def alive(self) -> bool | None:
        """Whether the process still runs; `None` if it ran on another machine, of which nothing is known here."""
        if self.machine != _digest():
            return None
        return started(self.pid) == self.started


@cache
def machine() -> str:
    """Tells boots and process namespaces apart, which may share a host name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


@cache
def _digest() -> str:
    return hashlib.blake2b(machine().encode(), digest_size=4).hexdigest()


def started(pid: int) -> str | None:
    """When a process of this machine was started, in the kernel's own unit; `None` if it is gone."""
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
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        return ""
    return ""
