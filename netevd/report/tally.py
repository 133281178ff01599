"""
What is counted and kept for as long as the daemon lives, over all of its workers.

It is kept with what outlives the worker (worker.recovery): as of a snapshot, and then by the entries of
the journal that follow it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from netevd.report.journal import Entry, EventEntry, LossEntry, ReloadEntry, RunEntry

_FAILED: Final = frozenset(("failed", "timeout", "lost"))


class Tally(msgspec.Struct, array_like=True):
    """Counts since the daemon was started, and how its last reload ended."""

    started: float = 0.0
    """When that was, monotonic seconds: those of an earlier daemon count no more."""
    events: int = 0
    executed: int = 0
    """Attempts of runs that were started and have ended."""
    failed: int = 0
    """Those of them that failed, were timed out or lost."""
    results: dict[str, int] = {}
    """Runs that have ended, by result; retries are not counted."""
    generation: int = 0
    """Of the configuration in force, 0 for none yet."""
    loaded_ns: int = 0
    """When it was put in force, nanoseconds since 1970."""
    losses: int = 0
    """How often kernel messages were lost, or may have been."""
    reload: ReloadEntry | None = None
    """The last one, None for none."""

    def count(self, entry: Entry) -> None:
        """Take in an entry of the journal."""
        match entry:
            case EventEntry():
                self.events += 1
            case RunEntry(outcome=outcome):
                lost = outcome.result == "lost"
                self.executed += lost or outcome.status is not None
                self.failed += outcome.result in _FAILED
                if outcome.final:
                    self.results[outcome.result] = self.results.get(outcome.result, 0) + 1
            case LossEntry():
                self.losses += 1
            case ReloadEntry():
                if not entry.problems:
                    self.generation, self.loaded_ns = entry.generation, entry.time_ns
                if entry.problems or entry.generation > 1:
                    self.reload = entry
            case _:
                pass
