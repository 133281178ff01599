"""
From a change to event types, in the order in which they are told.

Pure; whether anybody runs something for an event is decided later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from netevd.core.observe import Change
from netevd.model.address import Address
from netevd.model.backend import BackendName, Lease
from netevd.model.event import EventType
from netevd.model.link import Link
from netevd.model.snapshot import OperationalState, Snapshot


class Finding(NamedTuple):
    """What a change means, and what it is about."""

    type: EventType
    address: Address | None = None
    """Subject of an address event."""
    family: int = 0
    """4 or 6 for an event of a gateway or lease."""
    backend: str = ""
    """Who alone can tell it, "" for whoever configures the link."""
    lease: Lease | None = None
    """Subject of a lease event."""
    reason: str = ""
    """Of a lease event."""
    initial: bool = False
    """It may have been so all along: its backend has just been found."""


_CORRECTION_NS: Final = 2 * 10**9
"""Times of a lease that differ by less are the same one."""

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

_WHOLE_SCALE: Final = _STATE_TYPES | {
    OperationalState.CARRIER: EventType.OPERATIONAL_CARRIER,
    OperationalState.NO_CARRIER: EventType.OPERATIONAL_NO_CARRIER,
}
"""The same where a tree of another dispatcher runs scripts for each state."""

_SETUP_TYPES: Final = {
    each.value: each
    for each in (
        EventType.PENDING, EventType.INITIALIZED, EventType.CONFIGURING, EventType.CONFIGURED,
        EventType.FAILED, EventType.UNMANAGED, EventType.LINGER,
    )
}  # fmt: skip
"""systemd-networkd's words; another one, of a version to come, is shown but is no event."""

_DEVICE_TYPES: Final = {
    each.value: each
    for each in (
        EventType.UNKNOWN, EventType.UNMANAGED, EventType.UNAVAILABLE, EventType.DISCONNECTED,
        EventType.PREPARE, EventType.CONFIG, EventType.NEED_AUTH, EventType.IP_CONFIG,
        EventType.IP_CHECK, EventType.SECONDARIES, EventType.ACTIVATED, EventType.DEACTIVATING,
        EventType.FAILED,
    )
}  # fmt: skip
"""NetworkManager's words. Source: NMDeviceState, its D-Bus reference."""


def classify(
    change: Change,
    now_ns: int = 0,
    found: BackendName | None = None,
    *,
    whole_scale: bool = False,
) -> list[Finding]:
    """
    Return what a change means.

    Order: link, carrier, addresses, gateways, leases, DNS, wireless network, operational state, setup state, device
    state; for a new link its states come first; for a vanished one there are only its addresses and the
    removal. now_ns: wall clock, to tell a lease that is over from one that was given back. found: the
    change is that this backend was found, so what it tells of a link for the first time is no news.
    whole_scale: every operational state is told.
    """
    before, after = change.before, change.after
    if change.gone:
        return [*_find_addresses(change), Finding(EventType.LINK_REMOVED)]
    if before is None:
        return [
            Finding(EventType.LINK_ADDED),
            Finding(_get_carrier(after.link)),
            *_find_state(after, whole_scale=whole_scale),
            *_find_addresses(change),
            *_find_gateways("", after.gateway4, "", after.gateway6),
            *_find_leases((), after.leases, now_ns),
            *([Finding(EventType.SSID_CHANGED)] if after.ssid else []),
            *_find_setup("", after.setup_state),
            *_find_device("", after.device_state),
        ]
    findings = list(_find_link(before.link, after.link))
    if change.addresses:
        findings += _find_addresses(change)
    if before.gateways is not after.gateways:
        findings += _find_gateways(before.gateway4, after.gateway4, before.gateway6, after.gateway6)
    told = before.reports is not after.reports
    is_new = told and found is not None and all(each.backend != found for each in before.reports)
    if told and not is_new:
        findings += _find_leases(before.leases, after.leases, now_ns)
        findings += _find_dns(before, after)
        findings += _find_network(before, after)
    if before.state is not after.state:
        findings += _find_state(after, whole_scale=whole_scale)
    if told:
        findings += _find_setup(before.setup_state, after.setup_state, initial=is_new)
        findings += _find_device(before.device_state, after.device_state, initial=is_new)
    return findings


def introduce(snapshot: Snapshot, *, whole_scale: bool = False) -> Iterator[Finding]:
    """Yield what is told of a link as it is: its carrier, and each of its states that is a type."""
    yield Finding(_get_carrier(snapshot.link))
    yield from _find_state(snapshot, whole_scale=whole_scale)
    yield from _find_setup("", snapshot.setup_state)
    yield from _find_device("", snapshot.device_state)


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


def _find_state(snapshot: Snapshot, *, whole_scale: bool) -> Iterator[Finding]:
    kind = (_WHOLE_SCALE if whole_scale else _STATE_TYPES).get(snapshot.state)
    if kind is not None:
        yield Finding(kind)


def _find_setup(before: str, after: str, *, initial: bool = False) -> Iterator[Finding]:
    kind = _SETUP_TYPES.get(after)
    if kind is not None and before != after:
        yield Finding(kind, backend="systemd-networkd", initial=initial)


def _find_device(before: str, after: str, *, initial: bool = False) -> Iterator[Finding]:
    kind = _DEVICE_TYPES.get(after)
    if kind is not None and before != after:
        yield Finding(kind, backend="NetworkManager", initial=initial)


def _find_network(before: Snapshot, after: Snapshot) -> Iterator[Finding]:
    """Yield what is different of the wireless network: it is another one, or its access point is."""
    if before.ssid != after.ssid:
        yield Finding(EventType.SSID_CHANGED)
    elif before.bssid and after.bssid and before.bssid != after.bssid:
        yield Finding(EventType.ROAMED)


def _find_dns(before: Snapshot, after: Snapshot) -> Iterator[Finding]:
    if (before.dns, before.domains) == (after.dns, after.domains):
        return
    old = {each.backend: (each.dns, each.domains) for each in before.reports}
    new = {each.backend: (each.dns, each.domains) for each in after.reports}
    source = next(
        (each for each in new if new[each] != old.get(each, ((), ()))),
        next((each for each in old if each not in new), ""),
    )
    yield Finding(EventType.DNS_CHANGED, backend=source)


def _find_leases(
    before: tuple[Lease, ...], after: tuple[Lease, ...], now_ns: int
) -> Iterator[Finding]:
    for family in (4, 6):
        old = next((each for each in before if each.family == f"ipv{family}"), None)
        new = next((each for each in after if each.family == f"ipv{family}"), None)
        reason = _find_reason(old, new, now_ns)
        if reason:
            told = new or old
            assert told is not None
            yield Finding(EventType.LEASE, None, family, told.backend, told, reason)


def _find_reason(old: Lease | None, new: Lease | None, now_ns: int) -> str:
    """
    Return what happened to a lease, "" for nothing.

    A client that was found to hold another one's lease has not got it anew; a time that is told only
    now is no renewal. Past T2 a client asks any server, so whichever answers, that is a rebind.
    """
    if new is None:
        if old is None:
            return ""
        return "expire" if old.is_over(now_ns) else "release"
    if old is None or (old.address, old.prefix) != (new.address, new.prefix):
        return "bound"
    if old.backend != new.backend:
        return ""
    if old.server and new.server and old.server != new.server:
        return "rebind"
    later = _is_later(old, new)
    if not later:
        return "renew" if later is None and old.content != new.content else ""
    return "rebind" if _has_asked_all(old, new) else "renew"


def _has_asked_all(old: Lease, new: Lease) -> bool:
    """Tell whether a lease was prolonged when its client asked any server already."""
    if old.obtained_ns is None or new.obtained_ns is None or not old.rebind_s:
        return False
    moment = old.obtained_ns + old.rebind_s * 10**9
    return moment <= new.obtained_ns and not old.is_over(new.obtained_ns)


def _is_later(old: Lease, new: Lease) -> bool | None:
    """
    Tell whether a lease was prolonged; None where no time tells.

    Times that are told anew may differ by a clock's correction. What is told of a lease a moment after
    its time was told is no renewal.
    """
    times = ((old.obtained_ns, new.obtained_ns), (old.end_ns, new.end_ns))
    for was, now in times:
        if was is not None and now is not None:
            return abs(now - was) >= _CORRECTION_NS
    return None


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
