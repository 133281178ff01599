"""
What the worker has to say for the audit log: who asked for what, and was refused or not.

The supervisor writes it down as the worker's word, and takes 100 notes at once and one a second; so
each kind of note has a smaller share here, and a flood of one leaves room for the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from netevd.model.answers import AuditRecordObject
from netevd.model.shape import show_time
from privsep.protocol import Audit, Audited, Message, escape

BURST: Final = 20.0
"""Notes of one kind that may be sent at once."""

RATE: Final = 0.2
"""How many more of a kind a second."""

KINDS: Final = 32
"""Kinds of notes; those after them share one allowance."""


class Note(Protocol):
    """Notes something for the audit log."""

    def __call__(self, what: str, outcome: str, *, by: str = "", detail: str = "") -> None:
        """
        Note what was asked for and what came of it. Never waits, never fails.

        what, outcome: words of lower-case letters, digits and hyphens, such as `reload` and `refused`;
        a constant each, since every `what` has an allowance. by: on whose behalf, such as `uid 1000`.
        detail: whatever else; both are cut at 512 characters, and may hold what a client has sent.
        """


class AuditNotes:
    """A `Note` that sends to the supervisor."""

    def __init__(
        self, send: Callable[[Message], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._clock = clock
        self._allowed: dict[str, tuple[float, float]] = {}
        self._lost = 0

    def __call__(self, what: str, outcome: str, *, by: str = "", detail: str = "") -> None:
        """Send a note; one too many is counted by the next."""
        now = self._clock()
        kind = what if what in self._allowed or len(self._allowed) < KINDS else ""
        allowed, since = self._allowed.get(kind, (BURST, now))
        allowed = min(BURST, allowed + (now - since) * RATE)
        if allowed < 1:
            self._allowed[kind] = (allowed, now)
            self._lost += 1
            return
        self._allowed[kind] = (allowed - 1, now)
        self._send(Audit(what, outcome, escape(by)[:512], escape(detail)[:512], self._lost))
        self._lost = 0


def shape_audited(noted: Audited) -> AuditRecordObject:
    """Return a record as the file has it."""
    record = noted.record
    return {
        "time": show_time(noted.time_ns),
        "source": noted.source,
        "what": record.what,
        "outcome": record.outcome,
        "by": record.by,
        "detail": record.detail,
        "lost": record.lost,
    }
