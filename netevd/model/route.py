"""
The route: one entry of a routing table as rtnetlink describes it, and what the table's key is.

These are named tuples, other than the rest of the model: a table of 100,000 routes is made, compared
and kept, and that costs a third of the time here.
"""

from __future__ import annotations

from typing import Final, NamedTuple, NewType, TypeAlias

from netevd.model.link import IfIndex

Table = NewType("Table", int)
"""Number of a routing table."""

TABLE_DEFAULT: Final = Table(253)
TABLE_MAIN: Final = Table(254)
TABLE_LOCAL: Final = Table(255)
"""Source: enum rt_class_t, linux/rtnetlink.h."""

TABLE_NAMES: Final = {TABLE_DEFAULT: "default", TABLE_MAIN: "main", TABLE_LOCAL: "local"}

ROUTE_TYPES: Final = (
    "unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole",
    "unreachable", "prohibit", "throw", "nat", "xresolve",
)  # fmt: skip
"""Names of rtm_type by number. Source: RTN_*, linux/rtnetlink.h."""

PROTOCOLS: Final = {
    "unspec": 0, "redirect": 1, "kernel": 2, "boot": 3, "static": 4, "gated": 8, "ra": 9, "mrt": 10,
    "zebra": 11, "bird": 12, "dnrouted": 13, "xorp": 14, "ntk": 15, "dhcp": 16, "mrouted": 17,
    "keepalived": 18, "babel": 42, "ovn": 84, "openr": 99, "bgp": 186, "isis": 187, "ospf": 188,
    "rip": 189, "eigrp": 192,
}  # fmt: skip
"""Numbers of who installs routes, by name. Source: RTPROT_*, linux/rtnetlink.h."""

PROTOCOL_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}

PROTOCOL_RA: Final = 9
PROTOCOL_OURS: Final = 110
"""Protocol number of routes and rules that netevd itself makes: these are never told."""

STABLE_FLAGS: Final = 0x4
"""RTNH_F_ONLINK, the only flag of a nexthop that somebody has set; others tell its present use."""

ANYWHERE: Final = frozenset(("0.0.0.0/0", "::/0"))
"""Destinations of default routes."""


class Nexthop(NamedTuple):
    """One way that a route leads."""

    ifindex: IfIndex
    """Link it leaves by, 0 for none."""
    gateway: str = ""
    """Address of the next router, of either family (RTA_VIA), "" for a destination on the link."""
    weight: int = 1
    """Share of this way among several, 1 to 256."""
    flags: int = 0
    """RTNH_F_* bits of STABLE_FLAGS."""


RouteKey: TypeAlias = tuple[int, int, str, str, int, int]
"""Family, table, destination, source, TOS, priority: what the kernel replaces by."""


class Route(NamedTuple):
    """
    What one RTM_NEWROUTE message says of a route, without counters, ages and state of use.

    Source: rtnetlink(7), linux/rtnetlink.h.
    """

    family: int
    """4 or 6."""
    table: Table
    destination: str
    """Address with prefix length; 0.0.0.0/0 or ::/0 for a default route."""
    priority: int
    """Metric: the lowest is used."""
    type: int
    """RTN_*, an index into ROUTE_TYPES."""
    protocol: int
    """Who installed it, see PROTOCOLS."""
    scope: int
    """RT_SCOPE_* number."""
    nexthops: tuple[Nexthop, ...]
    """Where it leads; empty for blackhole, unreachable and the like."""
    preferred_source: str = ""
    """Address that local packets get as source, "" where the kernel chooses."""
    source: str = ""
    """Source prefix for which the route counts (IPv6), "" for any."""
    tos: int = 0
    metrics: tuple[tuple[int, int], ...] = ()
    """RTAX_* number and value: MTU, window, initial window and so on."""
    nexthop_id: int = 0
    """Number of the nexthop object that the route uses, 0 for none."""
    preference: int = 0
    """RFC 4191 router preference: 0 medium, 1 high, 3 low."""

    @property
    def key(self) -> RouteKey:
        """What makes the kernel take a route for a replacement of another."""
        return (self.family, self.table, self.destination, self.source, self.tos, self.priority)

    @property
    def refuses(self) -> bool:
        """Whether it leads nowhere: blackhole and the like, which IPv6 has stand on lo."""
        return 6 <= self.type <= 9

    @property
    def is_default(self) -> bool:
        """Whether it leads everywhere."""
        return self.destination in ANYWHERE and self.type == 1

    @property
    def balances(self) -> bool:
        """
        Whether IPv6 joins it with others of its key to one route of several ways.

        Source: rt6_qualify_for_ecmp(), include/net/ip6_route.h.
        """
        gateways = bool(self.nexthops) and all(hop.gateway for hop in self.nexthops)
        return (
            self.family == 6 and gateways and not self.nexthop_id and self.protocol != PROTOCOL_RA
        )


ALL_TABLES: Final = Table(0)
"""Stands for every table. Source: RT_TABLE_UNSPEC, linux/rtnetlink.h."""


def read_table(word: str) -> Table:
    """Return the number of a table by its name or number, `all` as ALL_TABLES. Raises: ValueError."""
    if word == "all":
        return ALL_TABLES
    for number, name in TABLE_NAMES.items():
        if word == name:
            return number
    if word.isascii() and word.isdigit() and 1 <= int(word) < 1 << 32:
        return Table(int(word))
    names = ", ".join(TABLE_NAMES.values())
    raise ValueError(f"expected all, {names} or a number from 1 to 4294967295, found {word[:80]!r}")


def read_protocol(word: str) -> int:
    """Return the number of who installs routes by its name or number. Raises: ValueError."""
    if word in PROTOCOLS:
        return PROTOCOLS[word]
    if word.isascii() and word.isdigit() and int(word) <= 255:
        return int(word)
    names = ", ".join(PROTOCOLS)
    raise ValueError(f"expected one of {names} or a number from 0 to 255, found {word[:80]!r}")


def show_table(table: int) -> str:
    """Return the name of a table, its number where it has none."""
    return TABLE_NAMES.get(Table(table), str(table))


def show_protocol(protocol: int) -> str:
    """Return the name of who installs routes, the number where it has none."""
    return PROTOCOL_NAMES.get(protocol, str(protocol))


_METRICS: Final = (
    "unspec", "lock", "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering",
    "hoplimit", "initcwnd", "features", "rto_min", "initrwnd", "quickack", "cc_algo",
    "fastopen_no_cookie",
)  # fmt: skip
"""Names of route metrics by number. Source: RTAX_*, linux/rtnetlink.h."""


def show_metric(number: int) -> str:
    """Return the name of a route metric such as mtu, its number where it has none."""
    return _METRICS[number] if number < len(_METRICS) else str(number)


def show_route_type(kind: int) -> str:
    """Return the name of a route type, its number where it has none."""
    return ROUTE_TYPES[kind] if kind < len(ROUTE_TYPES) else str(kind)
