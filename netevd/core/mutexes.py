"""
Mutexes: of the scripts whose rules name the same word one runs at a time.

A run takes its mutex and its slot in one step, when nothing else holds it back, and gives both back
when it ends. So a run that waits holds nothing that another could wait for.
"""

from __future__ import annotations

from heapq import heappop, heappush

from netevd.core.lanes import Run


class Mutexes:
    """Who holds which mutex, and who waits for it."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._waiting: dict[str, list[tuple[int, Run]]] = {}
        """Heaps, the lowest run number first."""

    def take(self, name: str, run: Run) -> bool:
        """Tell whether the run has the mutex now; if not, it waits until `wake` returns it."""
        if name in self._held:
            heappush(self._waiting.setdefault(name, []), (run.number, run))
            return False
        self._held.add(name)
        return True

    def hold(self, name: str) -> None:
        """Take in that a run that was remembered has this mutex."""
        self._held.add(name)

    def release(self, name: str) -> None:
        """Give a mutex back."""
        self._held.discard(name)

    def wake(self, name: str) -> Run | None:
        """
        Return the oldest run that waits for a mutex that nobody holds, None for no such run.

        To be called whenever a mutex was given back, and whenever a run that was returned here, or
        had not waited yet, did not take it after all: else those behind it would wait for ever.
        """
        waiting = self._waiting.get(name)
        if name in self._held or not waiting:
            return None
        _, run = heappop(waiting)
        if not waiting:
            del self._waiting[name]
        return run
