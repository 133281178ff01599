"""
In which order runs may start: strictly per lane, and per name across lanes.

A lane is one incarnation of an ifindex. A run may start when it is the oldest of its lane and the
oldest of its LINK name: a link that was removed and made again under its name has its scripts in
order although they are in two lanes. Both queues have the order of run numbers, so the oldest run
of all may always start, and nothing can wait for itself.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Final

from attrs import frozen

from netevd.config.hooktrees import NO_WAIT
from netevd.core.facts import find_group
from netevd.model.event import Event
from netevd.model.inputs import Hook

LIMIT: Final = 10_000
"""Runs that a lane holds at most, the one that is running included."""


@frozen(slots=True, eq=False)
class Run:
    """One script for one event."""

    number: int
    hook: Hook
    """As it was when the event happened."""
    event: Event
    action: str = ""
    """What a script of another dispatcher's tree is called for."""

    @property
    def name(self) -> str:
        """LINK of the script."""
        return self.event.name

    @property
    def lane(self) -> int:
        """Number of its lane: the link's, or one of its own for what is started beside everything else."""
        return -self.number if self._is_alone else self.event.lane

    @property
    def turn(self) -> str:
        """Name in whose order it comes: the link's, or one of its own that no link can have."""
        return f"/{self.number}" if self._is_alone else self.event.name

    @property
    def _is_alone(self) -> bool:
        return bool(self.hook.tree) and self.hook.event.endswith(NO_WAIT)


class Lanes:
    """All runs that have not ended."""

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Run]] = {}
        self._names: dict[str, deque[Run]] = {}
        self._ready: list[tuple[int, Run]] = []
        """Heap of the runs that may start."""
        self._latest: dict[int, dict[str, int]] = {}
        """Sequence of the latest event of each group of states in each lane."""
        self.size = 0
        """Runs that have not ended, started ones included."""

    @property
    def ready(self) -> bool:
        """Whether a run may start."""
        return bool(self._ready)

    def is_full(self, lane: int) -> bool:
        """Return whether this lane takes no more runs."""
        queue = self._lanes.get(lane)
        return queue is not None and len(queue) >= LIMIT

    def count_full(self) -> int:
        """Return how many lanes take no more runs."""
        if self.size < LIMIT:
            return 0
        return sum(len(each) >= LIMIT for each in self._lanes.values())

    def add(self, run: Run) -> None:
        """Append a run; its number is higher than that of every run before."""
        lane = self._lanes.setdefault(run.lane, deque())
        name = self._names.setdefault(run.turn, deque())
        lane.append(run)
        name.append(run)
        self.size += 1
        state = find_group(run.event)
        if state is not None:
            self._latest.setdefault(run.lane, {})[state] = run.event.sequence
        self._offer(run)

    def restore(self, run: Run, *, taken: bool) -> None:
        """
        Append a run that was remembered. `taken`: it is with its runner, or rests.

        Raises: ValueError for what no worker can have left: one that was taken before its turn.
        """
        self.add(run)
        first = self._lanes[run.lane][0] is run and self._names[run.turn][0] is run
        if taken and not first:
            raise ValueError(f"run {run.number} was taken before its turn")
        if taken and self._ready and (run.number, run) in self._ready:
            self._ready.remove((run.number, run))
            heapify(self._ready)

    def is_obsolete(self, run: Run) -> bool:
        """Tell whether a later state of the run's group is in its lane."""
        state = find_group(run.event)
        latest = self._latest.get(run.lane, {})
        return state is not None and latest.get(state, 0) > run.event.sequence

    def take(self) -> Run:
        """Return the oldest run that may start. What comes after it waits until `release`."""
        return heappop(self._ready)[1]

    def put_back(self, run: Run) -> None:
        """Let a run that was taken, and was not started or is to be started again, be taken again."""
        heappush(self._ready, (run.number, run))

    def release(self, run: Run) -> None:
        """Take out a run that was taken and has ended; its successors may start."""
        lane = self._lanes.get(run.lane)
        name = self._names.get(run.turn)
        if lane is None or name is None:
            return  # closed meanwhile
        lane.popleft()
        name.popleft()
        self.size -= 1
        if not lane:
            del self._lanes[run.lane]
            self._latest.pop(run.lane, None)
        if not name:
            del self._names[run.turn]
        for follower in {id(queue[0]): queue[0] for queue in (lane, name) if queue}.values():
            self._offer(follower)

    def _offer(self, run: Run) -> None:
        """Let a run start if it is the oldest of its lane and of its name."""
        if self._lanes[run.lane][0] is run and self._names[run.turn][0] is run:
            heappush(self._ready, (run.number, run))
