"""
Debounce: scripts wait a while, so that of several events of one fact only the last one runs them.

Belongs here: the windows. What a fact is is core.facts'; what becomes of a closed window is
core.gate's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase, translate
from heapq import heappop, heappush
from typing import Final, NamedTuple

from attrs import evolve, frozen

from netevd.config import schema
from netevd.core.facts import find_fact, is_upward
from netevd.core.tracked import Tracked
from netevd.model.event import Event, EventType
from netevd.model.waiting import Fact, Window
from netevd.model.webhook import Target

LIMIT: Final = 10_000
"""Windows that are open at most; one more closes the oldest."""


class Closed(NamedTuple):
    """A window that is over."""

    window: Window
    why: str
    """In words for who asks what became of its events."""


@frozen(slots=True)
class _Terms:
    """How an event waits."""

    window: float
    max_events: int
    net_effect: bool
    up: float
    down: float

    def find_hold(self, event: Event) -> float:
        """Return how many seconds an event waits at most."""
        upward = is_upward(event)
        return self.window if upward is None else self.up if upward else self.down


@frozen(slots=True, eq=False)
class _Override:
    types: frozenset[EventType] | None
    fits: Callable[[str], object] | None
    """Tells of a name whether the glob is like it."""
    terms: _Terms

    def matches(self, event: Event) -> bool:
        if self.types is not None and event.type not in self.types:
            return False
        if self.fits is None:
            return True
        names = () if event.after is None else (event.name, *event.after.link.altnames)
        return any(self.fits(name) for name in names)


class Debounce:
    """All windows that are open."""

    def __init__(
        self, settings: schema.Debounce, windows: Iterable[tuple[Fact, Window]] = ()
    ) -> None:
        """
        windows: what an earlier worker's `state` has returned. They close as they were to; at once
        if nothing is to wait any more, so that none closes behind a later event.
        """
        self._enabled = settings.enabled
        window = settings.window
        self._terms = _Terms(window, settings.max_events, settings.net_effect, window, window)
        self._overrides = [_prepare(each, self._terms) for each in settings.overrides]
        self._windows: Tracked[Fact, Window] = Tracked()
        """In the order in which they were opened."""
        self._due: list[tuple[float, int, Fact]] = []
        """Heap of the times when windows close; one may be there for a window that is no more."""
        self._number = 0
        for fact, each in windows:
            restored = each if self._enabled else evolve(each, due=each.opened)
            self._windows[fact] = restored
            self._push(fact, restored)

    def state(self) -> tuple[tuple[Fact, Window], ...]:
        """Return every open window."""
        return tuple(self._windows.items())

    def take_changes(self) -> tuple[tuple[Fact, Window | None], ...]:
        """Return what `state` tells otherwise since the last call."""
        return self._windows.take()

    def admit(
        self,
        event: Event,
        scripts: tuple[str, ...] | None,
        now: float,
        webhooks: tuple[Target, ...] = (),
    ) -> list[Closed] | None:
        """
        Have an event wait; return the windows that it closes. None: it does not wait.

        Windows that were due before now have to be closed already, see `close_due`.
        """
        if not self._enabled:
            return None
        fact = Fact(event.lane, *find_fact(event))
        terms = self._find_terms(event)
        hold = terms.find_hold(event)
        window = self._windows.get(fact)
        if window is None:
            if not hold:
                return None
            fresh = Window(
                event, event, scripts, (event.sequence,), now, now + hold, terms.max_events,
                terms.net_effect, webhooks,
            )  # fmt: skip
            return self._open(fact, fresh, now)
        due = min(window.due, now + hold)
        joined = evolve(
            window, last=event, scripts=scripts, due=due, sequences=(*window.sequences, event.sequence),
            webhooks=webhooks,
        )  # fmt: skip
        self._windows[fact] = joined
        if len(joined.sequences) >= joined.max_events or not hold:
            return [self._close(fact, now)]
        if due < window.due:
            self._push(fact, joined)
        return []

    def _open(self, fact: Fact, window: Window, now: float) -> list[Closed]:
        closed = []
        if len(self._windows) >= LIMIT:
            closed.append(self._close(next(iter(self._windows)), now))
        self._windows[fact] = window
        if window.max_events == 1:
            closed.append(self._close(fact, now))
        else:
            self._push(fact, window)
        return closed

    def close_due(self, now: float) -> list[Closed]:
        """Close what is due; return it in the order of the last events."""
        closed = []
        while self._due and self._due[0][0] <= now:
            due, _, fact = heappop(self._due)
            window = self._windows.get(fact)
            if window is not None and window.due == due:
                closed.append(self._close(fact, now))
        return sorted(closed, key=lambda each: each.window.last.sequence)

    def deadline(self) -> float | None:
        """Return when a window is due, in monotonic seconds; None for never."""
        while self._due:
            due, _, fact = self._due[0]
            window = self._windows.get(fact)
            if window is not None and window.due == due:
                return due
            heappop(self._due)
        return None

    def __len__(self) -> int:
        return len(self._windows)

    def _close(self, fact: Fact, now: float) -> Closed:
        window = self._windows[fact]
        del self._windows[fact]
        seconds = round(now - window.opened, 3)
        return Closed(window, f"{len(window.sequences)} events within {seconds:g} s")

    def _push(self, fact: Fact, window: Window) -> None:
        self._number += 1
        heappush(self._due, (window.due, self._number, fact))

    def _find_terms(self, event: Event) -> _Terms:
        for override in self._overrides:
            if override.matches(event):
                return override.terms
        return self._terms


def _prepare(override: schema.Override, common: _Terms) -> _Override:
    def choose(given: float | None, otherwise: float) -> float:
        return otherwise if given is None else given

    types = None
    if override.event_type is not None:
        types = frozenset(
            kind for kind in EventType for word in override.event_type if fnmatchcase(kind.value, word)
        )  # fmt: skip
    pattern = override.interface_pattern
    window = choose(override.window, common.window)
    terms = _Terms(
        window,
        common.max_events if override.max_events is None else override.max_events,
        common.net_effect if override.net_effect is None else override.net_effect,
        choose(override.up, window),
        choose(override.down, window),
    )
    return _Override(
        types, None if pattern is None else re.compile(translate(pattern)).match, terms
    )
