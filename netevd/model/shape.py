"""
Links and events as plain dictionaries: the one schema that API, log, stream and scripts share.

Only what JSON knows comes out, and only text that can be encoded: bytes of a name that are not
UTF-8 are escaped, and the object says so. What is absent is null or an empty list, never missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, TypeAlias

from netevd.model.address import IFA_F_DADFAILED, RT_SCOPE_HOST, RT_SCOPE_LINK, Address
from netevd.model.event import Event
from netevd.model.link import OPERSTATES, Link
from netevd.model.route import (
    ANYWHERE,
    TABLE_MAIN,
    Route,
    show_metric,
    show_protocol,
    show_route_type,
    show_table,
)
from netevd.model.snapshot import Snapshot

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_FLAG_WORDS: Final = (
    "UP", "BROADCAST", "DEBUG", "LOOPBACK", "POINTOPOINT", "NOTRAILERS", "RUNNING", "NOARP",
    "PROMISC", "ALLMULTI", "MASTER", "SLAVE", "MULTICAST", "PORTSEL", "AUTOMEDIA", "DYNAMIC",
    "LOWER_UP", "DORMANT", "ECHO",
)  # fmt: skip
"""Words of the IFF_* bits, lowest first. Source: enum net_device_flags, linux/if.h."""

_SCOPE_WORDS: Final = {0: "global", 200: "site", RT_SCOPE_LINK: "link", RT_SCOPE_HOST: "host"}
"""Source: ip-address(8)."""

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


def show_flags(flags: int) -> list[Json]:
    """Return the words of IFF_* bits as ip-link(8) writes them."""
    return [word for bit, word in enumerate(_FLAG_WORDS) if flags & 1 << bit]


def show_address_state(address: Address) -> str:
    """Return the one word that says most about an address's use."""
    if address.flags & IFA_F_DADFAILED:
        return "duplicate"
    if not address.usable:
        return "tentative"
    return "deprecated" if address.deprecated else "usable"


def shape_address(address: Address) -> dict[str, Json]:
    """Return the object of an address."""
    return {
        "ip": address.ip,
        "prefix": address.prefix,
        "family": f"ipv{address.family}",
        "scope": _SCOPE_WORDS.get(address.scope, str(address.scope)),
        "state": show_address_state(address),
        "peer": address.peer or None,
    }


def shape_route(route: Route) -> dict[str, Json]:
    """Return the object of a route."""
    return {
        "destination": route.destination,
        "family": f"ipv{route.family}",
        "table": route.table,
        "metric": route.priority,
        "type": show_route_type(route.type),
        "protocol": show_protocol(route.protocol),
        "scope": _SCOPE_WORDS.get(route.scope, str(route.scope)),
        "nexthops": [
            {"index": hop.ifindex or None, "gateway": hop.gateway or None, "weight": hop.weight}
            for hop in route.nexthops
        ],
        "preferred_source": route.preferred_source or None,
        "source": route.source or None,
        "nexthop_id": route.nexthop_id or None,
        "metrics": {show_metric(number): value for number, value in route.metrics},
    }


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


def _shape_statistics(link: Link) -> Json:
    counters = link.statistics
    return None if counters is None else dict(counters._asdict())


def shape_interface(snapshot: Snapshot) -> dict[str, Json]:
    """Return the object of a link with its addresses."""
    link = snapshot.link
    shape: dict[str, Json] = {
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
        "statistics": _shape_statistics(link),
    }
    if shape["name"] != link.name:
        shape["name_is_escaped"] = True
    return shape


def shape_event(event: Event) -> dict[str, Json]:
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
        "family": f"ipv{event.family}" if event.family else None,
        "address": None if event.address is None else shape_address(event.address),
        "route": None if event.route is None else shape_route(event.route),
        "change": None if event.route is None else "del" if event.gone else "new",
        "coalesced": event.coalesced or None,
    }


def _show_operstate(link: Link) -> str:
    number = link.operstate
    return OPERSTATES[number] if number < len(OPERSTATES) else str(number)
