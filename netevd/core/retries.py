"""
Retries: how often a run was tried, when it is tried again, how it ended last.

Between two attempts a run keeps its place in its lane and holds nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from netevd.config.schema import Rule
from netevd.core.lanes import Run
from netevd.model.actions import EndRun
from netevd.model.inputs import Now
from netevd.model.memory import RESTING, Attempt, OpenRun

LONGEST_DELAY_S: Final = 300.0
"""Attempts are never further apart, unless the rule's first delay is longer."""


class Retries:
    """The runs that have failed and are not over."""

    def __init__(self) -> None:
        self._failed: dict[int, EndRun] = {}
        """How the last attempt ended, by run number."""
        self._due: dict[int, float] = {}
        """Run number to the time of its next attempt."""
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
        self._push(run, now.monotonic + delay)
        return delay

    def _push(self, run: Run, due: float) -> None:
        self._due[run.number] = due
        heappush(self._resting, (due, run.number, run))

    def wake(self, now: Now) -> Iterator[Run]:
        """Yield the runs whose next attempt is due."""
        while self._resting and self._resting[0][0] <= now.monotonic:
            run = heappop(self._resting)[2]
            del self._due[run.number]
            yield run

    def get_memory(self, run: Run) -> tuple[float | None, Attempt | None]:
        """Return when a run is tried again, if it waits for that, and how it ended last."""
        last = self._failed.get(run.number)
        if last is None:
            return None, None
        attempt = Attempt(
            last.attempt, last.result, last.status, last.duration_s, last.cpu_s, last.leftovers
        )
        return self._due.get(run.number), attempt

    def restore(self, run: Run, remembered: OpenRun) -> None:
        """Take what was remembered of a run that has failed."""
        last = remembered.failed
        if last is None:
            return
        self._failed[run.number] = EndRun(
            run.number, run.hook, run.event, last.result, last.status, last.duration_s, last.cpu_s,
            last.leftovers, runner=remembered.runner, attempt=last.number, final=False,
        )  # fmt: skip
        if remembered.stage == RESTING:
            self._push(run, remembered.due or 0.0)

    def forget(self, run: Run) -> None:
        """Take in that a run is over."""
        self._failed.pop(run.number, None)

    def deadline(self) -> float | None:
        """Return when the next attempt is due, in monotonic seconds; None for never."""
        return self._resting[0][0] if self._resting else None
