"""
Messages of routes, rules and nexthop objects: their layout, and what it says.

Pure. Source: rtnetlink(7), linux/rtnetlink.h, linux/fib_rules.h, linux/nexthop.h.
"""

from __future__ import annotations

import struct
import sys
from functools import lru_cache
from socket import AF_INET, inet_ntop
from typing import Final

from netevd.kernel.attributes import (
    FAMILIES,
    DecodeError,
    read_attributes,
    read_number,
    read_text,
    walk_attributes,
)
from netevd.model.inputs import NexthopChanged, RouteGone, RouteSeen, RuleGone, RuleSeen
from netevd.model.link import IfIndex
from netevd.model.route import STABLE_FLAGS, Nexthop, Route, Table
from netevd.model.rule import Rule

RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
RTM_NEWRULE: Final = 32
RTM_DELRULE: Final = 33
RTM_NEWNEXTHOP: Final = 104
RTM_DELNEXTHOP: Final = 105
"""Message types. Source: linux/rtnetlink.h."""

_NLM_F_REPLACE: Final = 0x100
"""Source: linux/netlink.h."""

_RTM_F_CLONED: Final = 0x200
"""A cached exception of a route, no route."""

_RTA_DST: Final = 1
_RTA_SRC: Final = 2
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_PREFSRC: Final = 7
_RTA_METRICS: Final = 8
_RTA_MULTIPATH: Final = 9
_RTA_TABLE: Final = 15
_RTA_VIA: Final = 18
_RTA_PREF: Final = 20
_RTA_NH_ID: Final = 30
_ROUTE_ATTRIBUTES: Final = frozenset(
    (
        _RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_METRICS,
        _RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA, _RTA_PREF, _RTA_NH_ID,
    )
)  # fmt: skip
_HOP_ATTRIBUTES: Final = frozenset((_RTA_GATEWAY, _RTA_VIA))
"""Source: enum rtattr_type_t, linux/rtnetlink.h."""

_RTAX_CC_ALGO: Final = 16
"""The one metric that is text. Source: linux/rtnetlink.h."""

_FRA_DST: Final = 1
_FRA_SRC: Final = 2
_FRA_IIFNAME: Final = 3
_FRA_GOTO: Final = 4
_FRA_PRIORITY: Final = 6
_FRA_FWMARK: Final = 10
_FRA_TUN_ID: Final = 12
_FRA_SUPPRESS_IFGROUP: Final = 13
_FRA_SUPPRESS_PREFIXLEN: Final = 14
_FRA_TABLE: Final = 15
_FRA_FWMASK: Final = 16
_FRA_OIFNAME: Final = 17
_FRA_L3MDEV: Final = 19
_FRA_UID_RANGE: Final = 20
_FRA_PROTOCOL: Final = 21
_FRA_IP_PROTO: Final = 22
_FRA_SPORT_RANGE: Final = 23
_FRA_DPORT_RANGE: Final = 24
_RULE_ATTRIBUTES: Final = frozenset(
    (
        _FRA_DST, _FRA_SRC, _FRA_IIFNAME, _FRA_GOTO, _FRA_PRIORITY, _FRA_FWMARK, _FRA_TUN_ID,
        _FRA_SUPPRESS_IFGROUP, _FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE, _FRA_FWMASK, _FRA_OIFNAME,
        _FRA_L3MDEV, _FRA_UID_RANGE, _FRA_PROTOCOL, _FRA_IP_PROTO, _FRA_SPORT_RANGE,
        _FRA_DPORT_RANGE,
    )
)  # fmt: skip
_FIB_RULE_INVERT: Final = 0x2
"""Source: linux/fib_rules.h."""

_NHA_ID: Final = 1
"""Source: linux/nexthop.h."""

_RTMSG: Final = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, destination and source length, TOS, table, protocol, scope, type, flags."""
_PLAIN: Final = struct.Struct("=BBBBBBBBI4sI4s4s4s4s4s4s")
"""struct rtmsg, then the attributes of _PLAIN_HEADS, each of four octets."""
_PLAIN_HEADS: Final = tuple(
    struct.pack("=HH", 8, kind) for kind in (_RTA_TABLE, _RTA_DST, _RTA_GATEWAY, _RTA_OIF)
)
_RULE: Final = struct.Struct("=BBBBBxxBI")
"""struct fib_rule_hdr: family, destination and source length, TOS, table, action, flags."""
_HOP: Final = struct.Struct("=HBBi")
"""struct rtnexthop: length with its attributes, flags, weight - 1, ifindex."""


def decode_route_seen(
    datagram: bytes, start: int, limit: int, flags: int, _dump: int
) -> RouteSeen | None:
    """Return what an RTM_NEWROUTE says, or None where it is no IPv4 or IPv6 route."""
    route = decode_route(datagram, start, limit)
    return None if route is None else RouteSeen(route, bool(flags & _NLM_F_REPLACE))


def decode_route_gone(
    datagram: bytes, start: int, limit: int, _flags: int, _dump: int
) -> RouteGone | None:
    """Return what an RTM_DELROUTE says, or None where it is no IPv4 or IPv6 route."""
    route = decode_route(datagram, start, limit)
    return None if route is None else RouteGone(route)


def decode_route(datagram: bytes, start: int, limit: int) -> Route | None:
    """Return the route of a message, or None where it is no IPv4 or IPv6 route."""
    if limit - start == 60:
        plain = _decode_plain(datagram, start)
        if plain is not None:
            return plain
    if limit - start < 28:
        raise DecodeError(f"route message of {limit - start} bytes, expected 28 or more", start)
    family, length, source_length, tos, table, protocol, scope, kind, flags = _RTMSG.unpack_from(
        datagram, start + 16
    )
    known = FAMILIES.get(family)
    if known is None or flags & _RTM_F_CLONED:
        return None
    version, size = known
    get = read_attributes(datagram, start + 28, limit, _ROUTE_ATTRIBUTES).get
    wide = get(_RTA_TABLE)
    preferred, metrics, source = get(_RTA_PREFSRC), get(_RTA_METRICS), get(_RTA_SRC)
    several = get(_RTA_MULTIPATH)
    if several is not None:
        hops = _read_hops(several, family, start)
    else:
        link = get(_RTA_OIF, b"")
        try:
            hops = _make_hops(link, get(_RTA_GATEWAY), get(_RTA_VIA), family, flags & STABLE_FLAGS)
        except DecodeError as error:
            raise DecodeError(error.problem, start) from None
    return Route(
        version,
        Table(table if wide is None else read_number(wide, 4, "table", start)),
        _read_prefix(get(_RTA_DST), length, family, size, start),
        read_number(get(_RTA_PRIORITY), 4, "metric", start),
        kind,
        protocol,
        scope,
        hops,
        "" if preferred is None else _read_ip(preferred, family, size, start),
        "" if source is None else _read_prefix(source, source_length, family, size, start),
        tos,
        () if metrics is None else _read_metrics(metrics, start),
        read_number(get(_RTA_NH_ID), 4, "nexthop number", start),
        read_number(get(_RTA_PREF), 1, "preference", start),
    )


def _decode_plain(datagram: bytes, start: int) -> Route | None:
    """
    Return an IPv4 route of nothing but table, destination, gateway and link; None for another.

    Nearly all routes of a large table have this form, and are read in half of the time.
    """
    (
        family, length, _, tos, _, protocol, scope, kind, flags,
        head0, table, head1, destination, head2, gateway, head3, link,
    ) = _PLAIN.unpack_from(datagram, start + 16)  # fmt: skip
    if (head0, head1, head2, head3) != _PLAIN_HEADS or family != AF_INET or length > 32:
        return None
    if flags & _RTM_F_CLONED:
        return None
    hops = _make_hops(link, gateway, None, family, flags & STABLE_FLAGS)
    place = f"{inet_ntop(AF_INET, destination)}/{length}"
    found = (4, table, place, 0, kind, protocol, scope, hops, "", "", tos, (), 0, 0)
    return tuple.__new__(Route, found)


def _read_prefix(value: bytes | None, length: int, family: int, size: int, where: int) -> str:
    if length > size * 8:
        raise DecodeError(f"prefix length {length} of an address with {size} bytes", where)
    return f"{_read_ip(bytes(size) if value is None else value, family, size, where)}/{length}"


def _read_ip(value: bytes, family: int, size: int, where: int) -> str:
    if len(value) != size:
        raise DecodeError(f"address of {len(value)} bytes, expected {size}", where)
    return inet_ntop(family, value)


@lru_cache(maxsize=4096)
def _make_hops(
    link: bytes, gateway: bytes | None, via: bytes | None, family: int, flags: int
) -> tuple[Nexthop, ...]:
    """Return the one way of a route; kept, since thousands of routes share a gateway."""
    if not link and gateway is None and via is None:
        return ()
    ifindex = IfIndex(read_number(link or None, 4, "outgoing link", 0))
    return (Nexthop(ifindex, _read_gateway(gateway, via, family, 0), 1, flags),)


def _read_gateway(gateway: bytes | None, via: bytes | None, family: int, where: int) -> str:
    """Return the next router; RTA_VIA names one of another family than the route's."""
    if via is not None:
        if len(via) < 2:
            raise DecodeError(f"gateway (RTA_VIA) of {len(via)} bytes", where)
        family = int.from_bytes(via[:2], sys.byteorder)
        gateway = via[2:]
        if family not in FAMILIES:
            raise DecodeError(f"gateway (RTA_VIA) of address family {family}", where)
    if gateway is None:
        return ""
    return _read_ip(gateway, family, FAMILIES[family][1], where)


def _read_hops(value: bytes, family: int, where: int) -> tuple[Nexthop, ...]:
    """
    Return the ways of a multipath route.

    IPv6 sorts by its own use, which a message and a dump show in different order: so do we.
    """
    hops: list[Nexthop] = []
    offset = 0
    while offset < len(value):
        if len(value) - offset < 8:
            raise DecodeError(f"{len(value) - offset} bytes left, a nexthop needs 8", where)
        length, flags, weight, ifindex = _HOP.unpack_from(value, offset)
        end = offset + length
        if length < 8 or end > len(value):
            raise DecodeError(f"nexthop of {length} bytes, {len(value) - offset} left", where)
        get = read_attributes(value, offset + 8, end, _HOP_ATTRIBUTES).get
        gateway = _read_gateway(get(_RTA_GATEWAY), get(_RTA_VIA), family, where)
        hops.append(Nexthop(IfIndex(ifindex), gateway, weight + 1, flags & STABLE_FLAGS))
        offset = (end + 3) & ~3
    return tuple(sorted(hops) if FAMILIES[family][0] == 6 else hops)


def _read_metrics(value: bytes, where: int) -> tuple[tuple[int, int], ...]:
    """Return number and value of each metric, without the name of a congestion control."""
    return tuple(
        (kind, read_number(inner, 4, f"route metric {kind}", where))
        for kind, inner in walk_attributes(value, where)
        if kind != _RTAX_CC_ALGO
    )


def decode_rule_seen(
    datagram: bytes, start: int, limit: int, _flags: int, dump: int
) -> RuleSeen | None:
    """Return what an RTM_NEWRULE says, or None where it is no IPv4 or IPv6 rule."""
    rule = _decode_rule(datagram, start, limit)
    return None if rule is None else RuleSeen(rule, dump)


def decode_rule_gone(
    datagram: bytes, start: int, limit: int, _flags: int, _dump: int
) -> RuleGone | None:
    """Return what an RTM_DELRULE says, or None where it is no IPv4 or IPv6 rule."""
    rule = _decode_rule(datagram, start, limit)
    return None if rule is None else RuleGone(rule)


def _decode_rule(datagram: bytes, start: int, limit: int) -> Rule | None:
    if limit - start < 28:
        raise DecodeError(f"rule message of {limit - start} bytes, expected 28 or more", start)
    family, length, source_length, tos, table, action, flags = _RULE.unpack_from(
        datagram, start + 16
    )
    known = FAMILIES.get(family)
    if known is None:
        return None
    version, size = known
    get = read_attributes(datagram, start + 28, limit, _RULE_ATTRIBUTES).get

    def number(kind: int, octets: int = 4) -> int:
        return read_number(get(kind), octets, f"rule attribute {kind}", start)

    def prefix(kind: int, bits: int) -> str:
        value = get(kind)
        return "" if value is None else _read_prefix(value, bits, family, size, start)

    return Rule(
        version,
        number(_FRA_PRIORITY),
        action,
        Table(number(_FRA_TABLE) if get(_FRA_TABLE) is not None else table),
        prefix(_FRA_SRC, source_length),
        prefix(_FRA_DST, length),
        bool(flags & _FIB_RULE_INVERT),
        read_text(get(_FRA_IIFNAME, b"")),
        read_text(get(_FRA_OIFNAME, b"")),
        number(_FRA_FWMARK),
        number(_FRA_FWMASK),
        tos,
        number(_FRA_GOTO),
        _read_pair(get(_FRA_UID_RANGE), "=II", start),
        number(_FRA_IP_PROTO, 1),
        _read_pair(get(_FRA_SPORT_RANGE), "=HH", start),
        _read_pair(get(_FRA_DPORT_RANGE), "=HH", start),
        _read_optional(get(_FRA_SUPPRESS_PREFIXLEN), start),
        _read_optional(get(_FRA_SUPPRESS_IFGROUP), start),
        int.from_bytes(get(_FRA_TUN_ID, b""), "big"),
        bool(number(_FRA_L3MDEV, 1)),
        number(_FRA_PROTOCOL, 1),
    )


def _read_pair(value: bytes | None, layout: str, where: int) -> tuple[int, int] | None:
    if value is None:
        return None
    if len(value) != struct.calcsize(layout):
        raise DecodeError(f"range of {len(value)} bytes", where)
    first, last = struct.unpack(layout, value)
    return first, last


def _read_optional(value: bytes | None, where: int) -> int:
    """Return a number for which the kernel writes -1 where it is not set."""
    if value is None:
        return -1
    number = read_number(value, 4, "suppressor", where)
    return -1 if number == 0xFFFFFFFF else number


def decode_nexthop_changed(
    datagram: bytes, start: int, limit: int, _flags: int, _dump: int
) -> NexthopChanged:
    """Return which nexthop object a message speaks of."""
    if limit - start < 24:
        raise DecodeError(f"nexthop message of {limit - start} bytes, expected 24 or more", start)
    found = read_attributes(datagram, start + 24, limit, frozenset((_NHA_ID,)))
    return NexthopChanged(read_number(found.get(_NHA_ID), 4, "nexthop number", start))
