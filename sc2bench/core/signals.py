"""Signals that ask a program to end: it does so in order, and gives back what others would wait for."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# What schedulers and terminals send before they kill; Ctrl-C is Python's own matter.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end; whatever cleans up after Ctrl-C cleans up after it.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def end_in_order() -> None:
    """Lets SIGTERM and SIGHUP end the program as Ctrl-C does; ignored ones stay so, for that is what `nohup` wants."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


# The signal that asked for the end, for whoever sees but what Typer made of it.
_stopped: list[int] = []


def interruption() -> KeyboardInterrupt:
    """What ended the program, where that was a signal."""
    return Stopped(_stopped[0]) if _stopped else KeyboardInterrupt()


def _stop(number: int, frame: FrameType | None) -> None:
    # Schedulers send it to a job's steps and to its processes; a second one must not disturb the cleaning up.
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)
    _stopped.append(number)
    raise Stopped(number)


def end_at_once() -> None:
    """Lets signals end the program as they do by default, without a word; for when nothing is left to be cleaned up."""
    for number in (*_ENDING, signal.SIGINT):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keeps signals that would end the program until the block is done, so that nothing is made and then forgotten."""
    if threading.current_thread() is not threading.main_thread():
        # Python handles signals in the main thread alone.
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []
    before: dict[int, Any] = {}
    try:
        for number in (*_ENDING, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, lambda number, frame: caught.append((number, frame)))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            number, frame = caught[0]
            before[number](number, frame)


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """What is started in the block heeds SIGINT, also where this program ignores it, as in a shell's background."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
