"""
From a change to event types, in the order in which they are told.

Pure; whether anybody runs something for an event is decided later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from netevd.core.observe import Change
from netevd.model.address import Address
from netevd.model.event import EventType
from netevd.model.link import Link
from netevd.model.snapshot import OperationalState, Snapshot

Finding: TypeAlias = tuple[EventType, Address | None]
"""An event type, and the address that an address event is about."""

_STATE_TYPES: Final = {
    OperationalState.OFF: EventType.OFF,
    OperationalState.DORMANT: EventType.DORMANT,
    OperationalState.DEGRADED_CARRIER: EventType.DEGRADED_CARRIER,
    OperationalState.DEGRADED: EventType.DEGRADED,
    OperationalState.ENSLAVED: EventType.ENSLAVED,
    OperationalState.ROUTABLE: EventType.ROUTABLE,
}
"""Operational states whose entry is an event. CARRIER and NO_CARRIER are not: the events of these
names tell of IFF_LOWER_UP."""


def classify(change: Change) -> list[Finding]:
    """
    Return what a change means.

    Order: link, carrier, addresses, operational state; for a new link its addresses come last; for
    a vanished one there are only its addresses and the removal.
    """
    before, after = change.before, change.after
    if change.gone:
        return [*_find_addresses(change), (EventType.LINK_REMOVED, None)]
    if before is None:
        return [
            (EventType.LINK_ADDED, None),
            *introduce(after),
            *_find_addresses(change),
        ]
    found = list(_find_link(before.link, after.link))
    if change.addresses:
        found += _find_addresses(change)
    if before.state is not after.state:
        found += _find_state(after)
    return found


def introduce(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield what is told of a link as it is: its carrier, and its state if that is a type."""
    yield _get_carrier(snapshot.link), None
    yield from _find_state(snapshot)


def _find_link(before: Link, after: Link) -> Iterator[Finding]:
    if before is after:
        return
    if before.name != after.name:
        yield EventType.LINK_RENAMED, None
    if (before.mtu, before.mac, before.master, before.up) != (
        after.mtu, after.mac, after.master, after.up,
    ):  # fmt: skip
        yield EventType.LINK_CHANGED, None
    if before.carrier != after.carrier:
        yield _get_carrier(after), None


def _get_carrier(link: Link) -> EventType:
    return EventType.CARRIER if link.carrier else EventType.NO_CARRIER


def _find_state(snapshot: Snapshot) -> Iterator[Finding]:
    kind = _STATE_TYPES.get(snapshot.state)
    if kind is not None:
        yield kind, None


def _find_addresses(change: Change) -> Iterator[Finding]:
    for old, new in change.addresses:
        if new is None:
            yield EventType.ADDRESS_REMOVED, old
            continue
        if old is None:
            yield EventType.ADDRESS_ADDED, new
        if new.usable and not (old is not None and old.usable):
            yield EventType.ADDRESS_USABLE, new
        if new.deprecated and not (old is not None and old.deprecated):
            yield EventType.ADDRESS_DEPRECATED, new
