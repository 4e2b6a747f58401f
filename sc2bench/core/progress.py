"""Progress bars with an estimate of the time left, on a terminal or, sparsely, in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

LOG_EVERY_SECONDS = 30.0
# Measuring a sample costs about this share of training on one: there is no backward pass.
EVALUATION_WORK = 0.4


def plain_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A terminal on which text stands as it is: no `[markup]`, no `:emoji:`, no colours by guess."""
    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)


class _TimeLeft(ProgressColumn):
    """Time left, from the mean speed so far: honest for work whose units take alike."""

    def render(self, task: Task) -> Text:
        left = time_left(task.elapsed or 0.0, task.completed, task.total or 0.0)
        return Text("time left -:--" if left is None else f"time left {clock(left)}", style="cyan")


def time_left(elapsed: float, done: float, total: float) -> float | None:
    """Seconds left at the mean speed so far; `None` before there is one."""
    if elapsed < 1 or done <= 0:
        return None
    return max(total - done, 0.0) * elapsed / done


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class Work:
    """A known amount of work that is done bit by bit.

    Args:
        total: units of work; a unit is about what training on one sample costs.
        label: what is done.
        quiet: shows nothing.
    """

    def __init__(self, total: float, label: str = "", quiet: bool = False):
        self.total = total
        self.done = 0.0
        self._label = label
        self._started = time.monotonic()
        self._logged = self._started
        self._console = plain_console(stderr=True, quiet=quiet)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
        self._bars = Progress(*columns, TimeElapsedColumn(), _TimeLeft(), console=self._console)
        self._bar = self._bars.add_task(label, total=total)

    def __enter__(self) -> "Work":
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def advance(self, units: float) -> None:
        """Says that some more work is done."""
        self.done += units
        self._bars.update(self._bar, completed=self.done)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._logged > LOG_EVERY_SECONDS:
            self._logged = now
            left = time_left(now - self._started, self.done, self.total)
            self._console.print(f"{self._label}: {100 * self.done / self.total:.0f} %, time left {clock(left or 0)}")

    def skip(self, units: float) -> None:
        """Says that work planned for is not needed: it counts neither as done nor as left."""
        self.total = max(self.total - units, self.done)
        self._bars.update(self._bar, total=self.total)

    def describe(self, label: str) -> None:
        """Says what is done now."""
        self._label = label
        self._bars.update(self._bar, description=label)

    def say(self, text: str) -> None:
        """Prints a line above the bars."""
        self._bars.console.print(text)
