"""
When routes have to be dumped: at the start, after a loss, and where the kernel may have been silent.

The core.resync of routes. A dump that the kernel's silence calls for waits, after an earlier one,
for as long as that one took: links that flap beside a large table cost half of the time at most.
"""

from __future__ import annotations

from typing import Final

from netevd.core.backoff import TOLD_AFTER, Backoff
from netevd.core.routes import RouteTable
from netevd.model.actions import Action, Kind, Note, RequestRoutes
from netevd.model.inputs import RoutesDumpEnded

BOTH: Final = frozenset((4, 6))
NONE: Final[frozenset[int]] = frozenset()


class RouteSync:
    """The dump of routes that is under way, if any, and which one is wanted next."""

    def __init__(self, table: RouteTable) -> None:
        self._table = table
        self.number = 0
        """Number of the dump under way, 0 for none."""
        self.due: float | None = None
        """Monotonic seconds when the next dump has to be requested."""
        self.settled = False
        """Whether a first dump was tried: nobody waits for routes any longer."""
        self.known = False
        """Whether a dump has ever come to its end: what comes from here on is a change."""
        self.last_end: float | None = None
        """Monotonic seconds when a dump last came to its end."""
        self._last = 0
        self._backoff = Backoff()
        self._wanted: frozenset[int] = NONE
        self._began = 0.0
        self._earliest = 0.0
        self._doubts = 0
        """Dumps in a row that left something unsure: a storm must not become one of dumps."""
        self.catching_up = ""
        """Why everything is read again, "" where nobody has to hear of it."""
        self._twice = False
        """Another dump is wanted after this one."""

    @property
    def failures(self) -> int:
        """How many dumps in a row ended in nothing."""
        return self._backoff.failures

    def restart(self, now: float, reason: str = "") -> None:
        """
        Have everything dumped at once. `reason`: why, "" for one that nobody has to hear of.

        With a reason messages were lost, perhaps by a buffer that is still full, of which nobody
        will hear: then once more, after the first dump, before whose end it was empty.
        """
        self._table.void_dump()
        self.number = 0
        self._backoff.end()
        self._wanted = BOTH
        self.catching_up = reason
        self._twice = bool(reason)
        self.due = now

    def want(self, families: frozenset[int], now: float) -> None:
        """Have these families dumped, after the dump under way, which may be too old."""
        self._wanted |= families
        if not self.number and self._wanted and self.due is None:
            self.due = max(now, self._earliest)

    def lose(self, reason: str, now: float, actions: list[Action]) -> None:
        """Take in that messages were lost: a dump under way may lack what they said."""
        self._void(now)
        reason = reason or "the receive buffer was full"
        if self.catching_up != reason:
            self.catching_up = reason
            text = f"Kernel messages were lost: {reason}; reading all routes again"
            actions.append(Note("warn", text, {}, Kind.MESSAGES_LOST))

    def begin(self, now: float) -> RequestRoutes:
        """Return the request for what is wanted."""
        self._last += 1
        self.number = self._last
        families, self._wanted = self._wanted or BOTH, NONE
        self.due = None
        self._began = now
        self._table.begin_dump(families)
        return RequestRoutes(self.number, tuple(sorted(families)))

    def end(self, ended: RoutesDumpEnded, now: float, actions: list[Action]) -> str:
        """Take in the end of a dump; return the reason of the loss that it makes good, "" for none."""
        if ended.dump != self.number:
            return ""
        self.settled = True
        if not ended.consistent:
            self._void(now)
            if self._backoff.failures == TOLD_AFTER:
                text = f"The kernel's routes could not be read {TOLD_AFTER} times in a row"
                actions.append(Note("warn", f"{text}; still trying"))
            return ""
        self._table.merge(silently=not self.known)
        self.last_end = now
        self.number = 0
        self._backoff.end()
        self._doubts = self._doubts + 1 if self._table.unsure else 0
        self._earliest = now + (now - self._began) * 2 ** min(self._doubts, 6)
        self.known = True
        reason, self.catching_up = self.catching_up, ""
        self.want(BOTH if self._twice else frozenset(self._table.unsure), now)
        self._twice = False
        return reason

    def _void(self, now: float) -> None:
        self._table.void_dump()
        self.number = 0
        self._wanted = BOTH
        if self.due is None:
            self.due = now + self._backoff.fail()
