"""The second opinion on rtnetlink messages: what pyroute2 reads in them, as our values."""

from __future__ import annotations

from typing import Any

from pyroute2.netlink.rtnl.marshal import MarshalRtnl  # type: ignore[import-untyped]

from netevd.model.address import FOREVER, Address
from netevd.model.inputs import (
    AddressGone,
    AddressSeen,
    Input,
    LinkGone,
    LinkSeen,
    RouteGone,
    RouteSeen,
    RuleGone,
    RuleSeen,
)
from netevd.model.link import IfIndex, Link, Statistics
from netevd.model.neighbour import Neighbour
from netevd.model.route import Nexthop, Route, Table
from netevd.model.rule import Rule

_AF_INET, _AF_INET6 = 2, 10
_FAMILIES = {_AF_INET: 4, _AF_INET6: 6}
_METRICS = {
    "RTAX_LOCK": 1, "RTAX_MTU": 2, "RTAX_WINDOW": 3, "RTAX_RTT": 4, "RTAX_RTTVAR": 5,
    "RTAX_SSTHRESH": 6, "RTAX_CWND": 7, "RTAX_ADVMSS": 8, "RTAX_REORDERING": 9,
    "RTAX_HOPLIMIT": 10, "RTAX_INITCWND": 11, "RTAX_FEATURES": 12, "RTAX_RTO_MIN": 13,
    "RTAX_INITRWND": 14, "RTAX_QUICKACK": 15,
}  # fmt: skip


def decode_slowly(datagram: bytes) -> list[Input]:
    """Return the inputs of a datagram by way of pyroute2."""
    found: list[Input] = []
    for message in MarshalRtnl().parse(datagram):
        kind = _find_event(message)
        if kind in ("RTM_NEWLINK", "RTM_DELLINK") and message["family"] == 0:
            if kind == "RTM_DELLINK":
                found.append(LinkGone(IfIndex(message["index"])))
            elif message.get_attr("IFLA_IFNAME") is not None:
                found.append(LinkSeen(_make_link(message)))
        elif kind in ("RTM_NEWADDR", "RTM_DELADDR") and message["family"] in (_AF_INET, _AF_INET6):
            address = _make_address(message)
            found.append(AddressSeen(address) if kind == "RTM_NEWADDR" else AddressGone(address))
        elif kind in ("RTM_NEWROUTE", "RTM_DELROUTE") and message["family"] in (
            _AF_INET,
            _AF_INET6,
        ):
            route = _make_route(message)
            replace = bool(message["header"]["flags"] & 0x100)
            found.append(RouteGone(route) if kind == "RTM_DELROUTE" else RouteSeen(route, replace))
        elif kind in ("RTM_NEWRULE", "RTM_DELRULE") and message["family"] in (_AF_INET, _AF_INET6):
            rule = _make_rule(message)
            found.append(RuleSeen(rule) if kind == "RTM_NEWRULE" else RuleGone(rule))
    return found


def _find_event(message: Any) -> str:
    """Return the name of a message's type, "" for one that pyroute2 does not know: a nexthop's."""
    try:
        return str(message["event"])  # get() would not decode it
    except KeyError:
        return ""


def count_slowly(datagram: bytes) -> list[Statistics | None]:
    """Return the counters of each link that is seen in a datagram by way of pyroute2."""
    found: list[Statistics | None] = []
    for message in MarshalRtnl().parse(datagram):
        if _find_event(message) == "RTM_NEWLINK" and message["family"] == 0:
            counters = message.get_attr("IFLA_STATS64")
            if message.get_attr("IFLA_IFNAME") is not None:
                found.append(counters and Statistics(*(counters[k] for k in Statistics._fields)))
    return found


def find_neighbours_slowly(datagram: bytes) -> list[tuple[bool, Neighbour]]:
    """Return the neighbours of a datagram by way of pyroute2."""
    return [
        (
            _find_event(message) == "RTM_NEWNEIGH",
            Neighbour(
                IfIndex(message["ifindex"]),
                _FAMILIES[message["family"]],
                message.get_attr("NDA_DST"),
                message.get_attr("NDA_LLADDR") or "",
                message["state"],
                message["flags"],
            ),
        )
        for message in MarshalRtnl().parse(datagram)
        if _find_event(message) in ("RTM_NEWNEIGH", "RTM_DELNEIGH")
        and message["family"] in _FAMILIES
    ]


def find_namespaces_slowly(datagram: bytes) -> list[tuple[bool, int]]:
    """Return the namespace numbers of a datagram by way of pyroute2."""
    return [
        (_find_event(message) == "RTM_NEWNSID", message.get_attr("NETNSA_NSID"))
        for message in MarshalRtnl().parse(datagram)
        if _find_event(message) in ("RTM_NEWNSID", "RTM_DELNSID")
    ]


def _make_route(message: Any) -> Route:
    get = message.get_attr
    everywhere = "0.0.0.0" if message["family"] == _AF_INET else "::"
    several = get("RTA_MULTIPATH")
    if several:
        hops = [
            Nexthop(IfIndex(each["oif"]), _find_gateway(each), each["hops"] + 1, each["flags"] & 4)
            for each in several
        ]
        hops = sorted(hops) if message["family"] == _AF_INET6 else hops
    elif get("RTA_OIF") or _find_gateway(message):
        hops = [
            Nexthop(IfIndex(get("RTA_OIF") or 0), _find_gateway(message), 1, message["flags"] & 4)
        ]
    else:
        hops = []
    metrics = get("RTA_METRICS")
    source = get("RTA_SRC")
    return Route(
        _FAMILIES[message["family"]],
        Table(get("RTA_TABLE")),
        f"{get('RTA_DST') or everywhere}/{message['dst_len']}",
        get("RTA_PRIORITY") or 0,
        message["type"],
        message["proto"],
        message["scope"],
        tuple(hops),
        get("RTA_PREFSRC") or "",
        f"{source}/{message['src_len']}" if source else "",
        message["tos"],
        tuple((_METRICS[k], v) for k, v in metrics["attrs"] if k in _METRICS) if metrics else (),
        get("RTA_NH_ID") or 0,
        int(get("RTA_PREF") or 0),
    )


def _find_gateway(message: Any) -> str:
    via = message.get_attr("RTA_VIA")
    return str(message.get_attr("RTA_GATEWAY") or (via["addr"] if via else ""))


def _make_rule(message: Any) -> Rule:
    get = message.get_attr

    def prefix(name: str, length: int) -> str:
        return f"{get(name)}/{length}" if get(name) else ""

    def pair(name: str) -> tuple[int, int] | None:
        found = get(name)
        if found is None:
            return None
        if isinstance(found, str):
            first, _, last = found.partition(":")
            return int(first), int(last or first)
        return found["start"], found["end"]

    def optional(name: str) -> int:
        return -1 if get(name) in (None, 0xFFFFFFFF) else int(get(name))

    return Rule(
        _FAMILIES[message["family"]],
        get("FRA_PRIORITY") or 0,
        message["action"],
        Table(message["table"] if get("FRA_TABLE") is None else get("FRA_TABLE")),
        prefix("FRA_SRC", message["src_len"]),
        prefix("FRA_DST", message["dst_len"]),
        bool(message["flags"] & 2),
        _keep(get("FRA_IIFNAME") or ""),
        _keep(get("FRA_OIFNAME") or ""),
        get("FRA_FWMARK") or 0,
        get("FRA_FWMASK") or 0,
        message["tos"],
        get("FRA_GOTO") or 0,
        pair("FRA_UID_RANGE"),
        get("FRA_IP_PROTO") or 0,
        pair("FRA_SPORT_RANGE"),
        pair("FRA_DPORT_RANGE"),
        optional("FRA_SUPPRESS_PREFIXLEN"),
        optional("FRA_SUPPRESS_IFGROUP"),
        get("FRA_TUN_ID") or 0,
        bool(get("FRA_L3MDEV")),
        get("FRA_PROTOCOL") or 0,
    )


def _make_link(message: Any) -> Link:
    get = message.get_attr
    properties = get("IFLA_PROP_LIST")
    altnames = properties.get_attrs("IFLA_ALT_IFNAME") if properties is not None else []
    return Link(
        IfIndex(message["index"]),
        _keep(get("IFLA_IFNAME")),
        message["flags"],
        # pyroute2 gives the word of linux/if.h
        ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP").index(
            get("IFLA_OPERSTATE")
        ),
        get("IFLA_MTU"),
        get("IFLA_ADDRESS") or "",
        get("IFLA_PERM_ADDRESS") or "",
        message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
        IfIndex(get("IFLA_MASTER") or 0),
        tuple(altnames),
        IfIndex(get("IFLA_LINK") or 0),
        get("IFLA_LINK_NETNSID"),
    )


def _make_address(message: Any) -> Address:
    get = message.get_attr
    local, remote = get("IFA_LOCAL"), get("IFA_ADDRESS")
    lifetimes = get("IFA_CACHEINFO") or {}
    return Address(
        IfIndex(message["index"]),
        4 if message["family"] == _AF_INET else 6,
        local or remote,
        message["prefixlen"],
        message["scope"],
        get("IFA_FLAGS"),
        remote if local and remote != local else "",
        _keep(get("IFA_LABEL") or ""),
        lifetimes.get("ifa_preferred", FOREVER),
        lifetimes.get("ifa_valid", FOREVER),
    )


def _keep(text: str | bytes) -> str:
    """Return a name that pyroute2 leaves as bytes where they are not UTF-8."""
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
