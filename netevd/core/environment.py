"""
The variables of a script: what an event says, as text.

Names and types are those of `privsep.variables.VARIABLES`, which the runner checks again before it
starts anything. PATH, NETEVD_SCRIPT_PATH and the run's marker are the runner's.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import quote

import msgspec.json

from netevd.core.facts import find_group
from netevd.model.address import Address
from netevd.model.backend import Lease
from netevd.model.event import Event
from netevd.model.objects import ScriptObject
from netevd.model.route import Route, show_protocol
from netevd.model.shape import printable, shape_event, shape_interface, show_time
from netevd.model.snapshot import Snapshot
from netevd.model.wireguard import WireguardFact

LIMIT: Final = 96 * 1024 - 8 * 1024
"""
Bytes of all variables, names and separators included. A script gets 96 KiB at most, of which the
runner's own variables may take two paths of PATH_MAX (4096).
"""

_OTHERS: Final = 6144
"""Bytes of all variables but ADDRESSES and JSON, names included, at most: they are short words."""

_ALLOWED: Final = 4096
"""Bytes of a WireGuard peer's prefixes; JSON has all of them."""

_LEASE: Final = 3072
"""Characters of DHCP_LEASE; JSON has all of it."""

_LINK_LOCAL6: Final = ("fe8", "fe9", "fea", "feb")
"""Beginnings of fe80::/10 in canonical text. Source: RFC 4291 section 2.5.6."""

_LINK_LOCAL4: Final = "169.254."
"""Beginning of 169.254.0.0/16. Source: RFC 3927 section 1."""


def find_bad_name(name: str) -> str | None:
    """Return why this interface name can't be handed to a script, None if it can."""
    shown = printable(name)
    if shown == name and not any(map(str.isspace, name)):
        return None
    fault = "control characters or white space"
    if any("\udc80" <= each <= "\udcff" for each in name):
        fault = "bytes that are not UTF-8"
    name_it = f'the interface name "{shown}" has {fault}'
    return f"{name_it}; rename the link or leave it out by network.links"


def build_values(event: Event, *, emit_json: bool) -> tuple[tuple[str, str], ...]:
    """
    Return the variables of a script for this event, within `LIMIT`.

    What does not fit is left out: of JSON first `before`, then statistics, then addresses, which it then says by
    `"truncated": true`; then as many of ADDRESSES as have to.
    """
    after = event.after
    values = {
        "STATE": event.type,
        "BACKEND": event.backend,
        "EVENT": event.type if event.route is None else "del" if event.gone else "new",
        "NETEVD_SEQUENCE": str(event.sequence),
        "NETEVD_EVENT": event.type,
        "NETEVD_TIME": show_time(event.time_ns),
        "ADDRESSES": "" if after is None else " ".join(list_addresses(after.addresses)),
    }
    if event.coalesced:
        values["NETEVD_COALESCED"] = str(event.coalesced)
    if after is not None:
        values["LINK"] = after.link.name
        values["LINKINDEX"] = str(after.link.ifindex)
        if after.gateways:
            values |= _name_gateways(after)
        if after.reports:
            values |= _name_network(after)
    if event.initial:
        values["NETEVD_INITIAL"] = "1"
    previous = _find_previous_state(event)
    if previous:
        values["NETEVD_PREVIOUS_STATE"] = previous
    lease = event.lease or next(iter(() if after is None else after.leases), None)
    if lease is not None:
        values |= _name_lease(lease)
    if event.reason:
        values["NETEVD_REASON"] = event.reason
    if event.address is not None:
        values["NETEVD_ADDRESS"] = event.address.ip
    if event.family:
        values["NETEVD_FAMILY"] = f"ipv{event.family}"
    if event.route is not None:
        values |= _name_route(event.route)
    if event.wireguard is not None and after is not None:
        values |= _name_wireguard(event.wireguard, after.link.name)
    if emit_json:
        values["JSON"] = fit_json(event, LIMIT - _OTHERS - len(values["ADDRESSES"]))
    if len(values["ADDRESSES"]) + 4 * len(values.get("JSON", "")) < LIMIT - _OTHERS:
        return tuple(values.items())  # a character has 4 bytes at most: nothing to measure
    excess = _measure(values) - LIMIT
    if excess > 0:
        kept = values["ADDRESSES"][: max(len(values["ADDRESSES"]) - excess + 1, 0)]
        values["ADDRESSES"] = kept.rpartition(" ")[0]
    return tuple(values.items())


def _find_previous_state(event: Event) -> str:
    """Return the state before the event, on the scale that the event is about."""
    if event.before is None:
        return ""
    match find_group(event):
        case "setup":
            return event.before.setup_state
        case "NetworkManager":
            return event.before.device_state
        case _:
            return event.before.state


def _name_lease(lease: Lease) -> dict[str, str]:
    mask = ""
    if lease.family == "ipv4":
        mask = str(ipaddress.ip_network(f"0.0.0.0/{lease.prefix}").netmask)
    values = {
        "ADDRESS": lease.address,
        "SUBNET_MASK": mask,
        "GATEWAY": " ".join(lease.gateways),
        "DNS": " ".join(lease.dns),
        "DOMAIN": " ".join(lease.domains),
        "HOSTNAME": lease.hostname,
    }
    named = {name: value for name, value in values.items() if value}
    times = {
        "SERVER": lease.server,
        "LIFETIME": str(lease.lifetime_s or ""),
        "OBTAINED": "" if lease.obtained_ns is None else str(lease.obtained_ns // 10**9),
    }
    whole = {"FAMILY": lease.family, **named, **times} | {
        f"OPTION_{name}": value for name, value in lease.options
    }
    words = tuple(
        f"{quote(name, safe='')}={_quote(value)}" for name, value in whole.items() if value
    )
    named["LEASE"] = _fit_words(words, _LEASE).replace(" ", ",").replace("%20", " ")
    return {f"DHCP_{name}": value for name, value in named.items()}


def _quote(value: str) -> str:
    """Return text with all percent-encoded that could end a word or mean something to a shell."""
    return quote(value, safe="/:+", errors="surrogateescape")


def _name_gateways(after: Snapshot) -> dict[str, str]:
    named = {"NETEVD_GATEWAY4": after.gateway4, "NETEVD_GATEWAY6": after.gateway6}
    return {name: value for name, value in named.items() if value}


def _name_network(after: Snapshot) -> dict[str, str]:
    ssid = quote(after.ssid, safe="", errors="surrogateescape").replace("~", "%7E")
    named = {"NETEVD_SSID": ssid, "NETEVD_BSSID": after.bssid}
    return {name: value for name, value in named.items() if value}


def _name_route(route: Route) -> dict[str, str]:
    values = {
        "NETEVD_DESTINATION": route.destination,
        "NETEVD_TABLE": str(route.table),
        "NETEVD_METRIC": str(route.priority),
        "NETEVD_PROTOCOL": show_protocol(route.protocol),
    }
    gateway = next((hop.gateway for hop in route.nexthops if hop.gateway), "")
    return values | {"NETEVD_GATEWAY": gateway} if gateway else values


def _name_wireguard(fact: WireguardFact, interface: str) -> dict[str, str]:
    values = {
        "INTERFACE": interface,
        "IMPL": fact.implementation,
        "PUBLIC_KEY": fact.public_key,
        "LISTEN_PORT": str(fact.listen_port),
        "FWMARK": str(fact.fwmark),
        "PEERS_TOTAL": str(fact.peers),
        "PEERS_CONNECTED": str(fact.connected),
    }
    peer = fact.peer
    if peer is not None:
        values |= {
            "PEER": peer.public_key,
            "PEER_NAME": fact.name.replace(" ", "%20"),
            "PEER_ENDPOINT": peer.endpoint,
            "PEER_PREV_ENDPOINT": fact.previous_endpoint,
            "PEER_ALLOWED_IPS": _fit_words(peer.allowed_ips, _ALLOWED),
            "PEER_LAST_HANDSHAKE": str(peer.handshake_ns // 10**9) if peer.handshake_ns else "",
            "PEER_RX_BYTES": str(peer.rx_bytes),
            "PEER_TX_BYTES": str(peer.tx_bytes),
            "PEER_STATE": fact.state or "",
            "PEER_PREV_STATE": fact.previous_state or "",
            "PEER_EXPECT": fact.expected,
        }
    return {f"NETEVD_WG_{name}": value for name, value in values.items() if value}


def _fit_words(words: tuple[str, ...], limit: int) -> str:
    """Return as many of these words as have room in this many characters."""
    kept: list[str] = []
    for word in words:
        limit -= len(word) + 1
        if limit < 0:
            break
        kept.append(word)
    return " ".join(kept)


def list_addresses(addresses: tuple[Address, ...]) -> list[str]:
    """Return addresses without prefix length, link-local ones left out."""
    return [each.ip for each in addresses if not is_link_local(each)]


def is_link_local(address: Address) -> bool:
    """Return whether an address is for its link alone."""
    if address.family == 4:
        return address.ip.startswith(_LINK_LOCAL4)
    return address.ip.startswith(_LINK_LOCAL6)


def _measure(values: dict[str, str]) -> int:
    return sum(len(name) + len(value.encode()) + 2 for name, value in values.items())


def fit_json(event: Event, room: int) -> str:
    """Return the event and its link as one line of JSON, of at most `room` bytes if possible."""
    interface = None if event.after is None else shape_interface(event.after)
    shape: ScriptObject = {
        "event": shape_event(event),
        "interface": interface,
        "before": None if event.before is None else shape_interface(event.before),
    }
    text = msgspec.json.encode(shape)
    if len(text) > room:
        del shape["before"]
        shape["truncated"] = True
        text = msgspec.json.encode(shape)
    if len(text) > room and interface is not None:
        interface["statistics"] = None
        text = msgspec.json.encode(shape)
    if len(text) > room and interface is not None:
        interface["addresses"] = []
        text = msgspec.json.encode(shape)
    return text.decode()
