"""
From a change to event types, in the order in which they are told.

Pure; whether anybody runs something for an event is decided later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from netevd.core.observe import Change
from netevd.model.address import Address
from netevd.model.event import EventType
from netevd.model.link import Link
from netevd.model.snapshot import OperationalState, Snapshot


class Finding(NamedTuple):
    """What a change means, and what it is about."""

    type: EventType
    address: Address | None = None
    """Subject of an address event."""
    family: int = 0
    """4 or 6 for an event of a gateway."""


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

    Order: link, carrier, addresses, gateways, operational state; for a new link its addresses and
    gateways come last; for a vanished one there are only its addresses and the removal.
    """
    before, after = change.before, change.after
    if change.gone:
        return [*_find_addresses(change), Finding(EventType.LINK_REMOVED)]
    if before is None:
        return [
            Finding(EventType.LINK_ADDED),
            *introduce(after),
            *_find_addresses(change),
            *_find_gateways("", after.gateway4, "", after.gateway6),
        ]
    found = list(_find_link(before.link, after.link))
    if change.addresses:
        found += _find_addresses(change)
    if before.gateways is not after.gateways:
        found += _find_gateways(before.gateway4, after.gateway4, before.gateway6, after.gateway6)
    if before.state is not after.state:
        found += _find_state(after)
    return found


def introduce(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield what is told of a link as it is: its carrier, and its state if that is a type."""
    yield Finding(_get_carrier(snapshot.link))
    yield from _find_state(snapshot)


def _find_link(before: Link, after: Link) -> Iterator[Finding]:
    if before is after:
        return
    if before.name != after.name:
        yield Finding(EventType.LINK_RENAMED)
    if (before.mtu, before.mac, before.master, before.up) != (
        after.mtu, after.mac, after.master, after.up,
    ):  # fmt: skip
        yield Finding(EventType.LINK_CHANGED)
    if before.carrier != after.carrier:
        yield Finding(_get_carrier(after))


def _get_carrier(link: Link) -> EventType:
    return EventType.CARRIER if link.carrier else EventType.NO_CARRIER


def _find_state(snapshot: Snapshot) -> Iterator[Finding]:
    kind = _STATE_TYPES.get(snapshot.state)
    if kind is not None:
        yield Finding(kind)


def _find_gateways(before4: str, after4: str, before6: str, after6: str) -> Iterator[Finding]:
    if before4 != after4:
        yield Finding(EventType.GATEWAY_CHANGED, None, 4)
    if before6 != after6:
        yield Finding(EventType.GATEWAY_CHANGED, None, 6)


def _find_addresses(change: Change) -> Iterator[Finding]:
    for old, new in change.addresses:
        if new is None:
            yield Finding(EventType.ADDRESS_REMOVED, old)
            continue
        if old is None:
            yield Finding(EventType.ADDRESS_ADDED, new)
        if new.usable and not (old is not None and old.usable):
            yield Finding(EventType.ADDRESS_USABLE, new)
        if new.deprecated and not (old is not None and old.deprecated):
            yield Finding(EventType.ADDRESS_DEPRECATED, new)
