"""What an event says, in a few words for people."""

from __future__ import annotations

from netevd.model.backend import HostReport
from netevd.model.event import Event, EventType
from netevd.model.shape import describe_route, printable
from netevd.model.snapshot import Snapshot
from netevd.model.wireguard import WireguardFact


def describe(event: Event) -> str:
    """Return what changed; an event that tells how things are says so."""
    before, after = event.before, event.after
    if event.route is not None:
        words = describe_route(event.route, lambda ifindex: _name(after, ifindex))
        return f"{'del' if event.gone else 'new'} {words}"
    if event.routing is not None:
        return event.routing.describe()
    if event.host is not None:
        return _describe_host(event, event.host)
    if event.wireguard is not None:
        return _describe_wireguard(event.type, event.wireguard)
    if after is None:
        return event.type.value
    if event.lease is not None:
        lease = event.lease
        server = f" from {lease.server}" if lease.server else ""
        return f"{event.reason} {lease.address}/{lease.prefix}{server}"
    if event.address is not None:
        return f"{event.address.ip}/{event.address.prefix}"
    match event.type:
        case EventType.CARRIER:
            return "has carrier" if event.initial else "got carrier"
        case EventType.NO_CARRIER:
            return "has no carrier" if event.initial or before is None else "lost carrier"
        case EventType.GATEWAY_CHANGED:
            return _describe_gateway(event, before, after)
        case EventType.DNS_CHANGED:
            return f"DNS {' '.join([*after.dns, *after.domains]) or 'none'}"
        case EventType.SSID_CHANGED:
            return f"{printable(after.ssid) or 'none'}{_tell_before(None if before is None else before.ssid)}"
        case EventType.ROAMED:
            return f"{after.bssid}{_tell_before(None if before is None else before.bssid)}"
        case EventType.LINK_ADDED:
            kind = f", {after.link.kind}" if after.link.kind else ""
            return f"ifindex {after.link.ifindex}{kind}"
    manager = _find_managers_word(event)
    if manager is not None:
        was, word = manager
        told = event.initial or not was
        return f"is {word}" if told else f"{was} -> {word}"
    if before is None or event.initial:
        return f"is {after.state.value}"
    match event.type:
        case EventType.LINK_RENAMED:
            return f"was {before.link.name}"
        case EventType.LINK_REMOVED:
            return f"was {before.state.value}"
        case EventType.LINK_CHANGED:
            return _describe_link(before, after)
        case _:
            return f"{before.state.value} -> {after.state.value}"


def _tell_before(word: str | None) -> str:
    return f" (was {printable(word) or 'none'})" if word is not None else ""


def _find_managers_word(event: Event) -> tuple[str, str] | None:
    """Return a manager's state before and after its event; None for an event of anybody else's."""
    before, after = event.before, event.after
    if after is None:
        return None
    was, word = "", ""
    if event.backend == "systemd-networkd":
        was, word = "" if before is None else before.setup_state, after.setup_state
    elif event.backend == "NetworkManager":
        was, word = "" if before is None else before.device_state, after.device_state
    return (was, word) if word == event.type.value else None


def _describe_host(event: Event, host: HostReport) -> str:
    match event.type:
        case EventType.HOSTNAME_CHANGED:
            was = event.host_before
            return f"{host.hostname or 'none'} (was {(was and was.hostname) or 'none'})"
        case EventType.DNS_CHANGED:
            return f"DNS {' '.join([*host.dns, *host.domains]) or 'none'}"
        case _:
            return event.reason or ", ".join(f"{name} {word}" for name, word in host.states)


def _describe_wireguard(kind: EventType, fact: WireguardFact) -> str:
    peer = fact.peer
    if peer is None:
        return f"{fact.implementation}, {fact.connected} of {fact.peers} peers connected"
    words = f"peer {fact.name or peer.public_key}"
    if kind is EventType.WG_PEER_ENDPOINT_CHANGED:
        return f"{words} is at {peer.endpoint} (was at {fact.previous_endpoint or 'none'})"
    if kind in {EventType.WG_PEER_ADDED, EventType.WG_PEER_REMOVED}:
        return words
    was = f" (was {fact.previous_state})" if fact.previous_state else ""
    return f"{words} is {fact.state}{was}"


def _describe_gateway(event: Event, before: Snapshot | None, after: Snapshot) -> str:
    def find(snapshot: Snapshot | None) -> str:
        if snapshot is None:
            return "none"
        return (snapshot.gateway4 if event.family == 4 else snapshot.gateway6) or "none"

    return f"IPv{event.family} gateway {find(after)} (was {find(before)})"


def _describe_link(before: Snapshot, after: Snapshot) -> str:
    old, new = before.link, after.link
    found = []
    if new.up != old.up:
        found.append("up" if new.up else "down")
    if new.mtu != old.mtu:
        found.append(f"mtu {new.mtu} (was {old.mtu})")
    if new.mac != old.mac:
        found.append(f"MAC {new.mac or 'none'} (was {old.mac or 'none'})")
    if new.master != old.master:
        found.append(f"master {after.master_name or 'none'} (was {before.master_name or 'none'})")
    return ", ".join(found)


def _name(snapshot: Snapshot | None, ifindex: int) -> str:
    """Return the name of a link where it is the event's own, else its number as ip(8) writes it."""
    if snapshot is not None and snapshot.link.ifindex == ifindex:
        return snapshot.link.name
    return f"if{ifindex}"
