"""
Links, routes, rules and events as plain dictionaries, whose types are model.objects.

Only what JSON knows comes out, and only text that can be encoded: bytes of a name that are not
UTF-8 are escaped, and the object says so. What is absent is null or an empty list, never missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from netevd.model.address import IFA_F_DADFAILED, RT_SCOPE_HOST, RT_SCOPE_LINK, Address
from netevd.model.backend import HostReport, Lease, LinkReport
from netevd.model.event import Event
from netevd.model.link import OPERSTATES, Link
from netevd.model.objects import (
    AddressObject,
    ConnectionObject,
    EventObject,
    Family,
    HostObject,
    InterfaceObject,
    LeaseObject,
    NexthopObject,
    PeerObject,
    RouteObject,
    RoutingObject,
    RuleObject,
    StatisticsObject,
    WireguardObject,
)
from netevd.model.route import (
    ANYWHERE,
    TABLE_MAIN,
    Nexthop,
    Route,
    show_metric,
    show_protocol,
    show_route_type,
    show_table,
)
from netevd.model.routing import Ours, RoutingOutcome
from netevd.model.rule import RULE_ACTIONS, Rule
from netevd.model.snapshot import Snapshot
from netevd.model.wireguard import Peer, WireguardFact

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_FLAG_WORDS: Final = (
    "UP", "BROADCAST", "DEBUG", "LOOPBACK", "POINTOPOINT", "NOTRAILERS", "RUNNING", "NOARP",
    "PROMISC", "ALLMULTI", "MASTER", "SLAVE", "MULTICAST", "PORTSEL", "AUTOMEDIA", "DYNAMIC",
    "LOWER_UP", "DORMANT", "ECHO",
)  # fmt: skip
"""Words of the IFF_* bits, lowest first. Source: enum net_device_flags, linux/if.h."""

_SCOPE_WORDS: Final = {0: "global", 200: "site", RT_SCOPE_LINK: "link", RT_SCOPE_HOST: "host"}
"""Source: ip-address(8)."""

_FAMILIES: Final[dict[int, Family]] = {4: "ipv4", 6: "ipv6"}

_OURS: Final = Ours()
"""By default."""

_EPOCH: Final = date(1970, 1, 1)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(text: str) -> str:
    """Return text that can be shown and encoded: control and undecodable bytes are escaped."""
    if text.isascii() and text.isprintable():
        return text
    raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", raw)


def show_time(time_ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339 time in UTC with milliseconds."""
    day, rest = divmod(time_ns // 1_000_000, 86_400_000)
    minutes, milliseconds = divmod(rest, 60_000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    clock = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{milliseconds:03}"
    return f"{_show_day(day)}T{clock}Z"


@lru_cache(maxsize=2)
def _show_day(day: int) -> str:
    """Return days since 1970 as a date: made once a day, since the calendar is slow."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def show_flags(flags: int) -> list[str]:
    """Return the words of IFF_* bits as ip-link(8) writes them."""
    return [word for bit, word in enumerate(_FLAG_WORDS) if flags & 1 << bit]


def show_address_state(
    address: Address,
) -> Literal["duplicate", "tentative", "deprecated", "usable"]:
    """Return the one word that says most about an address's use."""
    if address.flags & IFA_F_DADFAILED:
        return "duplicate"
    if not address.usable:
        return "tentative"
    return "deprecated" if address.deprecated else "usable"


def shape_address(address: Address) -> AddressObject:
    """Return the object of an address."""
    return {
        "ip": address.ip,
        "prefix": address.prefix,
        "family": _FAMILIES[address.family],
        "scope": _show_scope(address.scope),
        "state": show_address_state(address),
        "peer": address.peer or None,
    }


def _name_nothing(_: int) -> str | None:
    return None


def shape_route(
    route: Route, names: Callable[[int], str | None] = _name_nothing, ours: Ours = _OURS
) -> RouteObject:
    """Return the object of a route. names: name of an ifindex, None where it is not known."""
    return {
        "destination": route.destination,
        "family": _FAMILIES[route.family],
        "table": route.table,
        "metric": route.priority,
        "type": show_route_type(route.type),
        "protocol": show_protocol(route.protocol),
        "scope": _show_scope(route.scope),
        "nexthops": [_shape_nexthop(hop, names) for hop in route.nexthops],
        "preferred_source": route.preferred_source or None,
        "source": route.source or None,
        "nexthop_id": route.nexthop_id or None,
        "metrics": {show_metric(number): value for number, value in route.metrics},
        "owned": ours.made(route),
    }


def _shape_nexthop(hop: Nexthop, names: Callable[[int], str | None]) -> NexthopObject:
    return {
        "index": hop.ifindex or None,
        "interface": names(hop.ifindex) if hop.ifindex else None,
        "gateway": hop.gateway or None,
        "weight": hop.weight,
    }


def shape_rule(rule: Rule, ours: Ours = _OURS) -> RuleObject:
    """Return the object of a rule."""
    action = rule.action
    marked = bool(rule.mark or rule.mask)
    return {
        "family": _FAMILIES[rule.family],
        "priority": rule.priority,
        "action": RULE_ACTIONS[action] if action < len(RULE_ACTIONS) else str(action),
        "table": rule.table or None,
        "source": rule.source or None,
        "destination": rule.destination or None,
        "invert": rule.invert,
        "input_interface": printable(rule.iifname) or None,
        "output_interface": printable(rule.oifname) or None,
        "mark": rule.mark if marked else None,
        "mask": rule.mask if marked else None,
        "tos": rule.tos or None,
        "goto": rule.goto or None,
        "uids": _list(rule.uids),
        "ip_protocol": rule.ip_protocol or None,
        "source_ports": _list(rule.source_ports),
        "destination_ports": _list(rule.destination_ports),
        "suppress_prefix_length": _drop_minus_one(rule.suppress_prefix_length),
        "suppress_group": _drop_minus_one(rule.suppress_group),
        "tunnel_id": rule.tunnel_id or None,
        "l3mdev": rule.l3mdev,
        "protocol": show_protocol(rule.protocol),
        "owned": ours.has_rule(rule),
    }


def _list(numbers: tuple[int, int] | None) -> list[int] | None:
    return None if numbers is None else list(numbers)


def _drop_minus_one(number: int) -> int | None:
    return None if number < 0 else number


def _show_scope(scope: int) -> str:
    return _SCOPE_WORDS.get(scope, str(scope))


def describe_route(route: Route, names: Callable[[int], str] = str) -> str:
    """Return a route in one line, as ip-route(8) writes it. names: name of an ifindex."""
    words = [] if route.type == 1 else [show_route_type(route.type)]
    words.append("default" if route.destination in ANYWHERE else route.destination)
    if route.source:
        words.append(f"from {route.source}")
    hops = [
        (f"via {hop.gateway} " if hop.gateway else "")
        + (f"dev {names(hop.ifindex)}" if hop.ifindex else "")
        for hop in route.nexthops
    ]
    words += hops if len(hops) < 2 else [f"nexthop {hop}" for hop in hops]
    if route.table != TABLE_MAIN:
        words.append(f"table {show_table(route.table)}")
    words.append(f"proto {show_protocol(route.protocol)}")
    if route.preferred_source:
        words.append(f"src {route.preferred_source}")
    if route.priority:
        words.append(f"metric {route.priority}")
    return " ".join(words)


def _shape_statistics(link: Link) -> StatisticsObject | None:
    counters = link.statistics
    if counters is None:
        return None
    return {
        "rx_packets": counters.rx_packets,
        "tx_packets": counters.tx_packets,
        "rx_bytes": counters.rx_bytes,
        "tx_bytes": counters.tx_bytes,
        "rx_errors": counters.rx_errors,
        "tx_errors": counters.tx_errors,
        "rx_dropped": counters.rx_dropped,
        "tx_dropped": counters.tx_dropped,
        "multicast": counters.multicast,
        "collisions": counters.collisions,
    }


def shape_interface(snapshot: Snapshot) -> InterfaceObject:
    """Return the object of a link with its addresses."""
    link = snapshot.link
    shape: InterfaceObject = {
        "name": printable(link.name),
        "index": link.ifindex,
        "state": snapshot.state,
        "kind": link.kind or None,
        "mac_address": link.mac or None,
        "permanent_mac_address": link.permanent_mac or None,
        "mtu": link.mtu,
        "flags": show_flags(link.flags),
        "operstate": _show_operstate(link),
        "carrier": link.carrier,
        "master": printable(snapshot.master_name) or None,
        "altnames": [printable(name) for name in link.altnames],
        "addresses": [shape_address(address) for address in snapshot.addresses],
        "gateways": list(snapshot.gateways),
        "backend": snapshot.backend,
        "setup_state": snapshot.setup_state or None,
        "device_state": snapshot.device_state or None,
        "connection": _shape_connection(snapshot.reports),
        "ssid": printable(snapshot.ssid) or None,
        "bssid": snapshot.bssid or None,
        "leases": [shape_lease(lease) for lease in snapshot.leases],
        "dns": list(snapshot.dns),
        "domains": list(snapshot.domains),
        "ntp": list(dict.fromkeys(name for each in snapshot.reports for name in each.ntp)),
        "statistics": _shape_statistics(link),
    }
    if shape["name"] != link.name:
        shape["name_is_escaped"] = True
    return shape


def _shape_connection(reports: tuple[LinkReport, ...]) -> ConnectionObject | None:
    for each in reports:
        if each.connection_uuid:
            return {
                "id": printable(each.connection_id),
                "uuid": each.connection_uuid,
                "external": each.external,
            }
    return None


def shape_lease(lease: Lease) -> LeaseObject:
    """Return the object of a lease."""
    return {
        "backend": lease.backend,
        "family": lease.family,
        "address": lease.address,
        "prefix": lease.prefix,
        "gateways": list(lease.gateways),
        "dns": list(lease.dns),
        "domains": list(lease.domains),
        "hostname": lease.hostname or None,
        "server": lease.server or None,
        "lifetime_seconds": lease.lifetime_s or None,
        "expires": None if lease.end_ns is None else show_time(lease.end_ns),
        "obtained": None if lease.obtained_ns is None else show_time(lease.obtained_ns),
        "options": {printable(name): printable(value) for name, value in lease.options},
    }


def shape_host(report: HostReport) -> HostObject:
    """Return the object of what a backend says of the host."""
    return {
        "backend": report.backend,
        "states": dict(report.states),
        "hostname": report.hostname or None,
        "dns": list(report.dns),
        "domains": list(report.domains),
    }


def shape_routing(outcome: RoutingOutcome) -> RoutingObject:
    """Return the object of what an event of policy routing tells."""
    return {
        "rules_added": outcome.rules_added,
        "rules_removed": outcome.rules_removed,
        "routes_added": outcome.routes_added,
        "routes_removed": outcome.routes_removed,
        "reason": outcome.reason or None,
    }


def shape_event(event: Event) -> EventObject:
    """Return the object of an event, without the link's snapshots."""
    after = event.after
    return {
        "sequence": event.sequence,
        "type": event.type,
        "time": show_time(event.time_ns),
        "interface": None if after is None else printable(after.link.name),
        "index": None if after is None else after.link.ifindex,
        "backend": event.backend,
        "initial": event.initial,
        "state": None if after is None else after.state,
        "previous_state": None if event.before is None else event.before.state,
        "family": _FAMILIES.get(event.family),
        "address": None if event.address is None else shape_address(event.address),
        "route": None if event.route is None else _shape_event_route(event.route, after),
        "change": None if event.route is None else "del" if event.gone else "new",
        "wireguard": None if event.wireguard is None else shape_wireguard(event.wireguard),
        "routing": None if event.routing is None else shape_routing(event.routing),
        "lease": None if event.lease is None else shape_lease(event.lease),
        "reason": event.reason or None,
        "host": None if event.host is None else shape_host(event.host),
        "coalesced": event.coalesced or None,
    }


def _shape_event_route(route: Route, after: Snapshot | None) -> RouteObject:
    """Return a route's object with the name of the one link that its event knows."""

    def name(ifindex: int) -> str | None:
        return printable(after.link.name) if after and after.link.ifindex == ifindex else None

    return shape_route(route, name)


def shape_wireguard(fact: WireguardFact) -> WireguardObject:
    """Return the object of what a WireGuard event is about."""
    return {
        "implementation": fact.implementation,
        "public_key": fact.public_key or None,
        "listen_port": fact.listen_port or None,
        "fwmark": fact.fwmark or None,
        "peers": fact.peers,
        "connected": fact.connected,
        "peer": None if fact.peer is None else shape_peer(fact.peer),
        "name": fact.name or None,
        "state": fact.state,
        "previous_state": fact.previous_state,
        "previous_endpoint": fact.previous_endpoint or None,
        "expected": fact.expected or None,
    }


def shape_peer(peer: Peer) -> PeerObject:
    """Return the object of a WireGuard peer as its device tells it."""
    return {
        "public_key": peer.public_key,
        "endpoint": peer.endpoint or None,
        "allowed_ips": list(peer.allowed_ips),
        "latest_handshake": show_time(peer.handshake_ns) if peer.handshake_ns else None,
        "rx_bytes": peer.rx_bytes,
        "tx_bytes": peer.tx_bytes,
        "keepalive_seconds": peer.keepalive_s or None,
    }


def _show_operstate(link: Link) -> str:
    number = link.operstate
    return OPERSTATES[number] if number < len(OPERSTATES) else str(number)
