"""
The journal: the latest events and how their runs ended, kept packed until somebody asks.

A worker that follows another one gets it whole, see worker.recovery.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from netevd.model.actions import Outcome
from netevd.model.event import Event
from netevd.model.history import DeliveryOutcome, RunOutcome
from netevd.model.verdict import Verdict
from netevd.report.packing import Packing, Unreadable
from privsep.protocol import Audited

LIMIT: Final = 4 << 20
"""Octets that are kept at most."""

_LEAST: Final = 8
"""Octets that the smallest entry has more than: of empty ones there could be millions within the limit."""


class EventEntry(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """An event happened."""

    event: Event
    verdict: Verdict | None = None
    """None: no filter matched it."""


class RunEntry(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A run, or an attempt of it, ended."""

    outcome: RunOutcome


class OutcomeEntry(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Something was decided about events that had waited."""

    outcome: Outcome


class AuditEntry(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Something was done or refused with privilege, as the supervisor has noted it."""

    noted: Audited


class LossEntry(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Kernel messages were lost, or may have been; all is read again."""

    time_ns: int
    """Nanoseconds since 1970."""
    sequence: int
    """Number of the next event."""
    reason: str
    """In a sentence."""


class RereadEntry(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """All was read again after a loss: what had changed, was told."""

    time_ns: int
    """Nanoseconds since 1970."""
    first: int
    """Number of the first event that was found so, or of the next one where none was."""
    count: int
    """How many events were found so."""
    reason: str
    """In a sentence."""


class DeliveryEntry(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """An event was posted to a webhook, or an attempt of it ended."""

    outcome: DeliveryOutcome


class ReloadEntry(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """A configuration was put in force, or was refused."""

    time_ns: int
    """Wall clock, nanoseconds since 1970."""
    generation: int
    """Of what is in force since."""
    problems: tuple[str, ...] = ()
    """Why it was refused; none: it was not."""


Entry: TypeAlias = (
    EventEntry
    | RunEntry
    | OutcomeEntry
    | AuditEntry
    | LossEntry
    | RereadEntry
    | DeliveryEntry
    | ReloadEntry
)

PACKING: Final = Packing[Entry](Entry)


class Journal:
    """Entries in the order in which they came; the oldest go when there are too many."""

    def __init__(self, limit: int = LIMIT) -> None:
        """limit: octets of all entries together."""
        self._limit = limit
        self._entries: deque[bytes] = deque()
        self._size = 0
        self.dropped = 0
        """Entries that had to go since this worker began."""

    def add(self, packed: Iterable[bytes]) -> None:
        """Add entries as `PACKING` packs them; what can be none, as another worker could have left, is passed over."""
        for entry in packed:
            if len(entry) < _LEAST:
                continue
            self._entries.append(entry)
            self._size += len(entry)
        while self._size > self._limit:
            self._size -= len(self._entries.popleft())
            self.dropped += 1

    def get_packed(self) -> list[bytes]:
        """Return every entry as it was added."""
        return list(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return self.scan()

    def scan(self, after: int = 0) -> Iterator[Entry]:
        """
        Yield entries as they are now, the oldest first.

        after: begin with the first event of a higher sequence number; 0: with the first entry. Each is
        unpacked when its turn comes, and the search looks at a few only.
        """
        entries = list(self._entries)
        begin = 0
        if after:
            places = range(len(entries))
            begin = bisect_left(places, True, key=lambda at: _is_after(entries, at, after))
        return _unpack(entries[begin:])

    def scan_back(self) -> Iterator[Entry]:
        """Yield entries as they are now, the latest first."""
        return _unpack(reversed(list(self._entries)))


def _unpack(entries: Iterable[bytes]) -> Iterator[Entry]:
    for packed in entries:
        try:
            yield PACKING.unpack(packed)
        except Unreadable:
            continue  # of another version of netevd


def _is_after(entries: list[bytes], at: int, sequence: int) -> bool:
    """Tell whether the next event, from a place on, has a higher sequence number."""
    for entry in _unpack(entries[place] for place in range(at, len(entries))):
        if isinstance(entry, EventEntry):
            return entry.event.sequence > sequence
    return True
