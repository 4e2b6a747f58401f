"""Working off the points of a suite, beside other runners on it, whatever becomes of single points."""

import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from sc2bench.core import processes
from sc2bench.core.errors import Sc2benchError
from sc2bench.core.progress import Work
from sc2bench.runs.claims import ClaimLost, Claims, holder

POLL_SECONDS = 2.0


class PointsFailed(Sc2benchError):
    """Some points of a suite could not be measured; the others were."""

    @classmethod
    def of(cls, sentences: Mapping[str, str], total: int) -> "PointsFailed":
        """Lists failed points by their reasons.

        Args:
            sentences: what went wrong, by the point's name.
            total: number of points, failed or not.
        """
        reasons: dict[str, list[str]] = {}
        for name, sentence in sentences.items():
            reasons.setdefault(sentence, []).append(name)
        lines = [f"{len(sentences)} of {total} points failed; the same command tries them again"]
        return cls("\n".join(lines + [f"  {', '.join(names)}: {sentence}" for sentence, names in reasons.items()]))


class Point(Protocol):
    """What can be claimed and measured."""

    @property
    def id(self) -> str:
        """Names it."""

    @property
    def sweep(self) -> str | None:
        """Neighbours that share it are measured in one pass."""

    def places(self) -> list[Path]:
        """What nobody else may write while the point is worked on."""


AnyPoint = TypeVar("AnyPoint", bound=Point)


class Sharing(Generic[AnyPoint]):
    """Works points off, shared with other runners by claims.

    Args:
        measure: trains and measures points in one pass. It calls its second argument with a point before it writes
            the point's record, and lets the `ClaimLost` that may come out through.
        is_done: whether a point needs nothing any more.
        passed_over: told of points that another runner has measured.
        work: progress.
        tells: says at once which point failed and why; not for a lone point, whose error the caller raises.
    """

    def __init__(
        self,
        measure: Callable[[list[AnyPoint], Callable[[AnyPoint], None]], None],
        is_done: Callable[[AnyPoint], bool],
        passed_over: Callable[[AnyPoint], None],
        work: Work,
        *,
        tells: bool = True,
    ):
        self.failures: dict[str, Exception] = {}
        self._measure = measure
        self._is_done = is_done
        self._passed_over = passed_over
        self._work = work
        self._claims = Claims()
        # A point's places may become fewer while it is worked on: trained weights need no claim any more.
        self._taken: dict[int, list[Path]] = {}
        self._tells = tells

    def work_off(self, points: Sequence[AnyPoint], *, wait: bool = True) -> list[AnyPoint]:
        """Measures the points that no other runner measures; what fails is kept in `failures`.

        Args:
            points: in the order in which they are tried.
            wait: in the end waits for the points of other runners, and measures what those leave; else returns when
                nothing else is left to do.

        Returns:
            The points that are left to other runners.

        Raises:
            Diverged: one of several processes failed where the others could not.
        """
        told = False
        with self._claims:
            while points:
                left = []
                for _, neighbours in groupby(points, key=lambda point: point.sweep or point.id):
                    left += self._work_off_group(list(neighbours))
                if len(left) == len(points):
                    if not wait:
                        return left
                    if not told:
                        self._tell(left)
                        told = True
                    time.sleep(POLL_SECONDS)
                points = left
        return []

    def _work_off_group(self, group: list[AnyPoint]) -> list[AnyPoint]:
        """Measures what can be claimed of points that are measured in one pass; returns those that another has."""
        try:
            try:
                mine, left = processes.from_main(lambda: self._choose(group))
            except Sc2benchError as error:
                for point in group:
                    self._fail(point, error)
                return []
            for number, point in enumerate(group):
                if number not in mine and number not in left:
                    self._passed_over(point)
            lost = self._attempt([group[number] for number in mine])
            return [group[number] for number in left] + lost
        finally:
            for point in group:
                self._release(point)

    def _choose(self, group: list[AnyPoint]) -> tuple[list[int], list[int]]:
        """Numbers of the points that are this runner's now, and of those that another has; the rest is done."""
        mine: list[int] = []
        left: list[int] = []
        for number, point in enumerate(group):
            if self._is_done(point):
                continue
            if not self._take(point):
                left.append(number)
            # Its last owner may have finished it since.
            elif self._is_done(point):
                self._release(point)
            else:
                mine.append(number)
        return mine, left

    def _take(self, point: AnyPoint) -> bool:
        taken = self._taken.setdefault(id(point), [])
        for path in point.places():
            if not self._claims.take(path):
                self._release(point)
                return False
            taken.append(path)
        return True

    def _release(self, point: AnyPoint) -> None:
        for path in self._taken.pop(id(point), []):
            self._claims.release(path)

    def _confirm(self, point: AnyPoint) -> None:
        for path in self._taken[id(point)]:
            self._claims.confirm(path)

    def _attempt(self, group: list[AnyPoint]) -> list[AnyPoint]:
        """Measures points together; if that fails, each alone. Returns those that were lost to another runner."""
        if not group:
            return []
        try:
            self._measure(group, self._confirm)
            return []
        except processes.Diverged:
            raise
        except Exception as error:
            failure = error
        if len(group) > 1:
            done = processes.from_main(lambda: [self._is_done(point) for point in group])
            unmeasured = [point for point, measured in zip(group, done, strict=True) if not measured]
            return [lost for point in unmeasured for lost in self._attempt([point])]
        if isinstance(failure, ClaimLost):
            self._work.say(f"{group[0].id}: {failure}")
            return group
        self._fail(group[0], failure)
        return []

    def _fail(self, point: AnyPoint, failure: Exception) -> None:
        self.failures[point.id] = failure
        if not self._tells:
            return
        self._work.say(f"{point.id} failed: {processes.describe(failure)}")
        if not isinstance(failure, Sc2benchError) and processes.is_main():
            # No user's mistake, so whoever mends it needs to see where.
            traceback.print_exception(failure, file=sys.stderr)

    def _tell(self, left: Sequence[AnyPoint]) -> None:
        owners = {str(owner) for point in left for path in point.places() if (owner := holder(path)) is not None}
        others = f" ({'; '.join(sorted(owners))})" if owners else ""
        self._work.say(f"waiting for {len(left)} points that another runner measures{others}")
