"""
Flap damping: scripts of a fact that flaps are held back until it has been quiet for a while.

Each event that would run scripts adds to a penalty, which decays by half in `half_life`. Above
`suppress` nothing runs for the fact; once the penalty has decayed to `reuse`, the scripts of the
latest event run, unless the fact is then where it was. Source: RFC 2439, sections 4.2 and 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from math import log2
from math import pow as power
from typing import Final, NamedTuple

from attrs import evolve

from netevd.config import schema
from netevd.core.facts import find_fact
from netevd.core.tracked import Tracked
from netevd.model.event import Event
from netevd.model.waiting import Flap, FlapKey
from netevd.model.webhook import Target

LIMIT: Final = 4096
"""Facts whose penalty is known at most; one more forgets the oldest that is not suppressed."""

STEP: Final = 1000.0
"""Penalty of one event. Source: what RFC 2439 calls 1 is 1000 in every router."""


class Released(NamedTuple):
    """A fact whose scripts run again."""

    key: FlapKey
    flap: Flap


class Damping:
    """Penalties of all facts that had events lately."""

    def __init__(
        self, settings: schema.Damping, flaps: Iterable[tuple[FlapKey, Flap]] = ()
    ) -> None:
        """
        flaps: what an earlier worker's `state` has returned. If nothing is damped any more, what is
        suppressed is released at once, so that it is not behind a later event.
        """
        self._settings = settings
        self._ceiling = schema.find_ceiling(settings)
        self._flaps: Tracked[FlapKey, Flap] = Tracked()
        self._due: list[tuple[float, int, FlapKey]] = []
        """Heap of when to look again whether a fact is to be reused."""
        self._number = 0
        for key, flap in flaps:
            self._flaps[key] = flap
            if flap.until is not None:
                until = flap.until if settings.enabled else flap.at
                self._flaps[key] = evolve(flap, until=until)
                self._push(until, key)

    def state(self) -> tuple[tuple[FlapKey, Flap], ...]:
        """Return the penalties."""
        return tuple(self._flaps.items())

    def take_changes(self) -> tuple[tuple[FlapKey, Flap | None], ...]:
        """Return what `state` tells otherwise since the last call."""
        return self._flaps.take()

    def _take(self, key: FlapKey) -> Flap | None:
        flap = self._flaps.get(key)
        if flap is not None:
            del self._flaps[key]
        return flap

    def admit(
        self,
        event: Event,
        scripts: tuple[str, ...] | None,
        now: float,
        webhooks: tuple[Target, ...] = (),
    ) -> tuple[Flap, bool] | None:
        """
        Take in an event that is about to run scripts; None: it may.

        Else it is kept until it may. Return its fact's flapping, and whether that was not
        suppressed until now.
        """
        if not self._settings.enabled:
            return None
        key = FlapKey(event.name, *find_fact(event))
        known = self._take(key)  # and to the end of the order, below
        penalty = STEP if known is None else min(self._decay(known, now) + STEP, self._ceiling)
        is_new = known is None or known.until is None
        if is_new and penalty <= self._settings.suppress:
            if self._has_room():
                self._flaps[key] = Flap(penalty, now)
            return None
        if known is None or is_new:
            known = Flap(penalty, now)
        until = now + self._settings.half_life * log2(penalty / self._settings.reuse)
        count = known.count + max(1, event.coalesced)
        flap = Flap(penalty, now, until, count, known.first or event, event, scripts, webhooks)
        self._flaps[key] = flap
        if is_new:
            self._push(until, key)
        return flap, is_new

    def release_due(self, now: float) -> list[Released]:
        """Return what may run again, in the order of the events that are to run."""
        released = []
        while self._due and self._due[0][0] <= now:
            _, _, key = heappop(self._due)
            flap = self._flaps.get(key)
            if flap is None or flap.until is None:
                continue
            if flap.until > now:  # more events have come since
                self._push(flap.until, key)
                continue
            penalty = self._decay(flap, now)
            self._flaps[key] = Flap(penalty, now)
            released.append(Released(key, flap))
        return _order(released)

    def clear(self, interface: str) -> list[Released]:
        """Forget the penalties of a link, "" for all; return what may run again."""
        wanted = [key for key in self._flaps if interface in {"", key.interface}]
        flaps = [Released(key, self._flaps[key]) for key in wanted]
        for key in wanted:
            del self._flaps[key]
        return _order([each for each in flaps if each.flap.until is not None])

    def deadline(self) -> float | None:
        """Return when something may be released, in monotonic seconds; None for never."""
        while self._due:
            due, _, key = self._due[0]
            flap = self._flaps.get(key)
            if flap is not None and flap.until is not None and flap.until <= due:
                return due
            heappop(self._due)
            if flap is not None and flap.until is not None:
                self._push(flap.until, key)
        return None

    def _decay(self, flap: Flap, now: float) -> float:
        return flap.penalty * power(2.0, (flap.at - now) / self._settings.half_life)

    def _has_room(self) -> bool:
        """Make room for one more fact; tell whether there is some."""
        if len(self._flaps) < LIMIT:
            return True
        quiet = next((key for key, flap in self._flaps.items() if flap.until is None), None)
        if quiet is None:
            return False
        del self._flaps[quiet]
        return True

    def _push(self, until: float, key: FlapKey) -> None:
        self._number += 1
        heappush(self._due, (until, self._number, key))


def _order(released: list[Released]) -> list[Released]:
    return sorted(released, key=lambda each: each.flap.last.sequence if each.flap.last else 0)
