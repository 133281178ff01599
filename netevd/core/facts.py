"""
Facts: what an event is about, so that later events can be held against earlier ones.

Pure. Which facts there are is written in docs/reference/configuration.md, below Debounce.
"""

from __future__ import annotations

from typing import Final, assert_never

from netevd.model.event import Event, EventType
from netevd.model.snapshot import OperationalState, Snapshot

STATE_GROUPS: Final = {
    EventType.CARRIER: "carrier",
    EventType.NO_CARRIER: "carrier",
    EventType.OFF: "operational",
    EventType.DORMANT: "operational",
    EventType.DEGRADED_CARRIER: "operational",
    EventType.DEGRADED: "operational",
    EventType.ENSLAVED: "operational",
    EventType.ROUTABLE: "operational",
    EventType.OPERATIONAL_CARRIER: "operational",
    EventType.OPERATIONAL_NO_CARRIER: "operational",
    EventType.PENDING: "setup",
    EventType.INITIALIZED: "setup",
    EventType.CONFIGURING: "setup",
    EventType.CONFIGURED: "setup",
    EventType.LINGER: "setup",
    EventType.UNKNOWN: "NetworkManager",
    EventType.UNAVAILABLE: "NetworkManager",
    EventType.DISCONNECTED: "NetworkManager",
    EventType.PREPARE: "NetworkManager",
    EventType.CONFIG: "NetworkManager",
    EventType.NEED_AUTH: "NetworkManager",
    EventType.IP_CONFIG: "NetworkManager",
    EventType.IP_CHECK: "NetworkManager",
    EventType.SECONDARIES: "NetworkManager",
    EventType.ACTIVATED: "NetworkManager",
    EventType.DEACTIVATING: "NetworkManager",
}
"""Groups of event types of which a later one makes an earlier one obsolete; see `find_group`."""

_SHARED: Final = frozenset({EventType.FAILED, EventType.UNMANAGED})
"""Words that both systemd-networkd and NetworkManager have."""


def find_group(event: Event) -> str | None:
    """Return of which group of states an event is, None for an event of no state."""
    if event.type in _SHARED:
        return "NetworkManager" if event.backend == "NetworkManager" else "setup"
    return STATE_GROUPS.get(event.type)


_OF_ADDRESSES: Final = {
    EventType.ADDRESS_ADDED: "address",
    EventType.ADDRESS_REMOVED: "address",
    EventType.ADDRESS_USABLE: "usability",
    EventType.ADDRESS_DEPRECATED: "usability",
}

_OF_TUNNELS: Final = {
    EventType.WG_UP: "wireguard",
    EventType.WG_DOWN: "wireguard",
    EventType.WG_PEER_ADDED: "peer",
    EventType.WG_PEER_REMOVED: "peer",
    EventType.WG_PEER_CONNECTED: "connection",
    EventType.WG_PEER_IDLE: "connection",
    EventType.WG_PEER_DISCONNECTED: "connection",
    EventType.WG_PEER_ENDPOINT_CHANGED: "endpoint",
}

_SCALE: Final = {state: rank for rank, state in enumerate(OperationalState)}
"""Ranks on networkctl(1)'s scale, lowest first."""


def find_fact(event: Event) -> tuple[str, str]:
    """Return group and subject of the fact that an event is about, see `Fact`."""
    if event.address is not None and event.type in _OF_ADDRESSES:
        address = event.address
        peer = f" peer {address.peer}" if address.peer and address.family == 4 else ""
        return _OF_ADDRESSES[event.type], f"{address.ip}/{address.prefix}{peer}"
    if event.route is not None:
        route = event.route
        return "route", f"{route.destination} table {route.table} metric {route.priority}"
    if event.wireguard is not None:
        subject = event.wireguard.peer
        return _OF_TUNNELS[event.type], "" if subject is None else subject.public_key
    if event.type is EventType.GATEWAY_CHANGED:
        return "gateway", f"ipv{event.family}"
    if event.type is EventType.LEASE:
        return "lease", f"ipv{event.family}"
    return find_group(event) or event.type.value, ""


def describe_fact(interface: str, group: str, subject: str) -> str:
    """Return in words what a fact is."""
    words = f"{group} {subject}" if subject else f"{group} state" if group in _STATES else group
    return f"{words} of {interface}" if interface else words


_STATES: Final = frozenset(STATE_GROUPS.values())


def is_back(first: Event, last: Event) -> bool:
    """
    Tell whether a fact is after the last event what it was before the first.

    Both are about the same fact. What was before an event that introduces a link is not known.
    """
    match last.type:
        case EventType.ADDRESS_ADDED | EventType.ADDRESS_REMOVED:
            return first.type is not last.type
        case EventType.ADDRESS_USABLE | EventType.ADDRESS_DEPRECATED:
            return _get_usability(first.before, last) == _get_usability(last.after, last)
        case EventType.ROUTES:
            was = first.route if first.gone else None
            return was == (None if last.gone else last.route)
        case (
            EventType.LINK_ADDED
            | EventType.LINK_REMOVED
            | EventType.WG_UP
            | EventType.WG_DOWN
            | EventType.WG_PEER_ADDED
            | EventType.WG_PEER_REMOVED
        ):
            return first.type is not last.type
        case (
            EventType.WG_PEER_CONNECTED
            | EventType.WG_PEER_IDLE
            | EventType.WG_PEER_DISCONNECTED
            | EventType.WG_PEER_ENDPOINT_CHANGED
        ):
            return _is_peer_back(first, last)
        case (
            EventType.ROUTING_APPLIED
            | EventType.ROUTING_DRIFT
            | EventType.ROUTING_CONTESTED
            | EventType.ROUTING_FAILED
        ):
            return False
    if last.host is not None:
        if last.reason:
            return False  # who has slept is not as before
        return last.host == first.host_before
    before, after = first.before, last.after
    if before is None or after is None:
        return False
    match last.type:
        case EventType.GATEWAY_CHANGED:
            return _get_gateway(before, last.family) == _get_gateway(after, last.family)
        case EventType.CARRIER | EventType.NO_CARRIER:
            return before.link.carrier == after.link.carrier
        case EventType.LINK_RENAMED:
            return before.link.name == after.link.name
        case EventType.LINK_CHANGED:
            old, new = before.link, after.link
            return (old.mtu, old.mac, old.master, old.up) == (new.mtu, new.mac, new.master, new.up)
        case (
            EventType.OFF
            | EventType.DORMANT
            | EventType.DEGRADED_CARRIER
            | EventType.DEGRADED
            | EventType.ENSLAVED
            | EventType.ROUTABLE
            | EventType.OPERATIONAL_CARRIER
            | EventType.OPERATIONAL_NO_CARRIER
        ):
            return before.state is after.state
        case EventType.LEASE:
            leases = [each.find_lease(last.family) for each in (before, after)]
            return len({each and each.content for each in leases}) == 1
        case EventType.SSID_CHANGED:
            return before.ssid == after.ssid
        case EventType.ROAMED:
            return before.bssid == after.bssid
        case EventType.DNS_CHANGED:
            return (before.dns, before.domains) == (after.dns, after.domains)
        case EventType.HOSTNAME_CHANGED | EventType.MANAGER:
            return False
        case (
            EventType.PENDING
            | EventType.INITIALIZED
            | EventType.CONFIGURING
            | EventType.CONFIGURED
            | EventType.FAILED
            | EventType.UNMANAGED
            | EventType.LINGER
            | EventType.UNKNOWN
            | EventType.UNAVAILABLE
            | EventType.DISCONNECTED
            | EventType.PREPARE
            | EventType.CONFIG
            | EventType.NEED_AUTH
            | EventType.IP_CONFIG
            | EventType.IP_CHECK
            | EventType.SECONDARIES
            | EventType.ACTIVATED
            | EventType.DEACTIVATING
        ):
            if find_group(last) == "setup":
                return before.setup_state == after.setup_state
            return before.device_state == after.device_state
        case _:
            assert_never(last.type)


def _is_peer_back(first: Event, last: Event) -> bool:
    """Tell whether a peer is in the state, or at the endpoint, that it was in before the first event."""
    was, now = first.wireguard, last.wireguard
    assert was is not None and now is not None and now.peer is not None
    if last.type is EventType.WG_PEER_ENDPOINT_CHANGED:
        return was.previous_endpoint == now.peer.endpoint
    return was.previous_state is now.state


def _get_usability(snapshot: Snapshot | None, event: Event) -> tuple[bool, bool] | None:
    """Return whether the event's address is usable and deprecated, None where it is not there."""
    assert event.address is not None
    key = event.address.key
    for each in () if snapshot is None else snapshot.addresses:
        if each.key == key:
            return (each.usable, each.usable and each.deprecated)
    return None


def _get_gateway(snapshot: Snapshot, family: int) -> str:
    return snapshot.gateway4 if family == 4 else snapshot.gateway6


def is_upward(event: Event) -> bool | None:
    """Tell whether something came or got better, or went or got worse; None where neither is so."""
    match event.type:
        case EventType.LEASE:
            return event.reason not in {"expire", "release"}
        case EventType.LINK_RENAMED | EventType.LINK_CHANGED | EventType.WG_PEER_ENDPOINT_CHANGED:
            return None
        case EventType.DNS_CHANGED | EventType.HOSTNAME_CHANGED | EventType.MANAGER:
            return None
        case EventType.SSID_CHANGED:
            return bool(event.after and event.after.ssid)
        case EventType.ROAMED:
            return None
        case (
            EventType.PENDING
            | EventType.INITIALIZED
            | EventType.CONFIGURING
            | EventType.PREPARE
            | EventType.CONFIG
            | EventType.NEED_AUTH
            | EventType.IP_CONFIG
            | EventType.IP_CHECK
            | EventType.SECONDARIES
        ):
            return None
        case EventType.CONFIGURED | EventType.ACTIVATED:
            return True
        case (
            EventType.FAILED
            | EventType.UNMANAGED
            | EventType.LINGER
            | EventType.UNKNOWN
            | EventType.UNAVAILABLE
            | EventType.DISCONNECTED
            | EventType.DEACTIVATING
        ):
            return False
        case EventType.ROUTING_APPLIED:
            return True
        case EventType.ROUTING_DRIFT | EventType.ROUTING_CONTESTED | EventType.ROUTING_FAILED:
            return False
        case (
            EventType.LINK_ADDED
            | EventType.CARRIER
            | EventType.ADDRESS_ADDED
            | EventType.ADDRESS_USABLE
            | EventType.WG_UP
            | EventType.WG_PEER_ADDED
            | EventType.WG_PEER_CONNECTED
        ):
            return True
        case (
            EventType.LINK_REMOVED
            | EventType.NO_CARRIER
            | EventType.ADDRESS_REMOVED
            | EventType.ADDRESS_DEPRECATED
            | EventType.WG_DOWN
            | EventType.WG_PEER_REMOVED
            | EventType.WG_PEER_IDLE
            | EventType.WG_PEER_DISCONNECTED
        ):
            return False
        case EventType.ROUTES:
            return not event.gone
        case EventType.GATEWAY_CHANGED:
            return event.after is not None and bool(_get_gateway(event.after, event.family))
        case (
            EventType.OFF
            | EventType.DORMANT
            | EventType.DEGRADED_CARRIER
            | EventType.DEGRADED
            | EventType.ENSLAVED
            | EventType.ROUTABLE
            | EventType.OPERATIONAL_CARRIER
            | EventType.OPERATIONAL_NO_CARRIER
        ):
            if event.after is None or event.before is None:
                return event.type is not EventType.OFF
            return _SCALE[event.after.state] > _SCALE[event.before.state]
        case _:
            assert_never(event.type)
