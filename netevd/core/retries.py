"""
Retries: how often a run was tried, when it is tried again, how it ended last.

Between two attempts a run keeps its place in its lane and holds nothing else.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from heapq import heappop, heappush
from typing import Final

from attrs import evolve

from netevd.config.schema import Rule
from netevd.core.lanes import Run
from netevd.model.actions import EndRun
from netevd.model.inputs import Now

LONGEST_DELAY_S: Final = 300.0
"""Attempts are never further apart, unless the rule's first delay is longer."""


class Retries:
    """The runs that have failed and are not over."""

    def __init__(self) -> None:
        self._failed: dict[int, EndRun] = {}
        """How the last attempt ended, by run number."""
        self._resting: list[tuple[float, int, Run]] = []
        """Heap of the runs that wait, with the time of the next attempt in monotonic seconds."""

    def count_attempt(self, run: Run) -> int:
        """Return the number of a run's attempt of now; the first is 1."""
        last = self._failed.get(run.number)
        return 1 if last is None else last.attempt + 1

    def rest(self, run: Run, ended: EndRun, rule: Rule, now: Now) -> float:
        """Have a run wait that ended so; return how long, in seconds."""
        self._failed[run.number] = ended
        doubled = rule.retry_delay * 2.0 ** min(ended.attempt - 1, 40)
        delay = max(rule.retry_delay, min(doubled, LONGEST_DELAY_S))
        heappush(self._resting, (now.monotonic + delay, run.number, run))
        return delay

    def wake(self, now: Now) -> Iterator[Run]:
        """Yield the runs whose next attempt is due."""
        while self._resting and self._resting[0][0] <= now.monotonic:
            yield heappop(self._resting)[2]

    def forget(self, run: Run) -> None:
        """Take in that a run is over."""
        self._failed.pop(run.number, None)

    def stop(self, active: Container[int]) -> Iterator[EndRun]:
        """Yield the final end of each run that is not active now, and try none of them again."""
        self._resting = []
        for number, last in self._failed.items():
            if number not in active:
                reason = "netevd stopped before its next attempt"
                yield evolve(last, final=True, reason=reason)

    def deadline(self) -> float | None:
        """Return when the next attempt is due, in monotonic seconds; None for never."""
        return self._resting[0][0] if self._resting else None
