"""
What worker and courier say to each other. Neither has privilege, so it is no business of privsep's.

The rules are those of privsep.protocol: what is not exactly one of these types is a violation.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from privsep.protocol import PACKET_LIMIT, Codec, Id, Message, Small, Text, Word


class Deliver(Message, frozen=True, tag=131):
    """Post an event to a target, once; a target has one attempt under way at a time."""

    target: Small
    """Number in the sealed list of the courier's."""
    sequence: Id
    """Of the event."""
    attempt: Id
    event: Word
    """Event type."""
    time_ns: Id
    """Of the event; with the sequence it is unique among all machines."""
    body: Annotated[bytes, Meta(max_length=PACKET_LIMIT - 4096)]


class Delivered(Message, frozen=True, tag=132):
    """What came of it."""

    target: Small
    sequence: Id
    attempt: Id
    result: Annotated[str, Meta(pattern=r"^(ok|again|failed|refused)\Z")]
    status: Annotated[int, Meta(ge=0, le=999)]
    """Of the answer, 0 for none."""
    reason: Text
    duration: Annotated[float, Meta(ge=0)]
    """Seconds."""
    retry_after: Annotated[float, Meta(ge=0)]
    """Seconds that the target wants to be left alone, 0 for nothing said."""


class Resolve(Message, frozen=True, tag=133):
    """Look up the host name of a WireGuard peer's endpoint; one look-up of a host at a time."""

    host: Small
    """Number in the sealed list of the courier's."""


class Resolved(Message, frozen=True, tag=134):
    """What the name leads to now."""

    host: Small
    addresses: Annotated[list[Text], Meta(max_length=16)]
    """The one to be tried first in front."""
    reason: Text
    """Why there is none, "" for some."""


Errand: TypeAlias = Deliver | Resolve
Report: TypeAlias = Delivered | Resolved

ERRAND: Final = Codec[Errand](Errand)
REPORT: Final = Codec[Report](Report)
