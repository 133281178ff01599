"""
The variables of a condition: what an event says, in the types of `netevd.config.condition`.

Each is there for every event. What is not known of it is "", 0, false or empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from netevd.core.environment import list_addresses
from netevd.model.event import Event
from netevd.model.shape import printable
from netevd.model.wireguard import WireguardFact


def make_variables(event: Event, names: Iterable[str]) -> dict[str, object]:
    """Return these variables with their values for an event."""
    return {name: _VALUES[name](event) for name in names}


def _tell_time(event: Event) -> datetime:
    return datetime.fromtimestamp(event.time_ns // 1000 / 1e6, UTC)


def _tell_wireguard(fact: WireguardFact) -> dict[str, object]:
    peer = fact.peer
    return {
        "implementation": fact.implementation,
        "peers": fact.peers,
        "connected": fact.connected,
        "peer": "" if peer is None else peer.public_key,
        "name": fact.name,
        "endpoint": "" if peer is None else peer.endpoint,
        "state": fact.state or "",
        "expected": fact.expected,
    }


def _list_servers(event: Event) -> list[str]:
    if event.after is not None:
        return list(event.after.dns)
    return [] if event.host is None else list(event.host.dns)


def _list_domains(event: Event) -> list[str]:
    if event.after is not None:
        return list(event.after.domains)
    return [] if event.host is None else list(event.host.domains)


def _find_hostname(event: Event) -> str:
    """Return the host's name as the event tells it: by a backend, or by a lease of its link."""
    if event.host is not None:
        return event.host.hostname
    if event.lease is not None:
        return event.lease.hostname
    return "" if event.after is None else event.after.hostname


_VALUES: Final[dict[str, Callable[[Event], object]]] = {
    "interface": lambda event: printable(event.name),
    "ifindex": lambda event: event.after.link.ifindex if event.after else 0,
    "kind": lambda event: printable(event.after.link.kind) if event.after else "",
    "event": lambda event: event.type.value,
    "state": lambda event: event.after.state.value if event.after else "",
    "previous_state": lambda event: event.before.state.value if event.before else "",
    "backend": lambda event: event.backend,
    "family": lambda event: f"ipv{event.family}" if event.family else "",
    "address": lambda event: event.address.ip if event.address else "",
    "addresses": lambda event: list_addresses(event.after.addresses) if event.after else [],
    "has_gateway": lambda event: bool(event.after and event.after.gateways),
    "gateways": lambda event: list(event.after.gateways) if event.after else [],
    "dns": _list_servers,
    "dns_count": lambda event: len(_list_servers(event)),
    "domains": _list_domains,
    "mtu": lambda event: event.after.link.mtu if event.after else 0,
    "mac": lambda event: event.after.link.mac if event.after else "",
    "carrier": lambda event: bool(event.after and event.after.link.carrier),
    "up": lambda event: bool(event.after and event.after.link.up),
    "master": lambda event: printable(event.after.master_name) if event.after else "",
    "initial": lambda event: event.initial,
    "hostname": _find_hostname,
    "wireguard": lambda event: _tell_wireguard(event.wireguard) if event.wireguard else {},
    "pod": lambda _: {},
    "now": _tell_time,
}
"""pod is what no source tells yet."""
