"""
The plan: which rules and routes there shall be, a pure function of what is configured and known.

Three tiers for each address of a link with slot n, base 21000: 21000+n looks up what is connected to
the link, 21400 what main says but for default routes, so that containers and tunnels stay reachable,
21500+n the link's own default routes. Sources: ip-rule(8), and how the kernel treats each of these,
docs/decisions/0013.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_network
from typing import Final, NamedTuple

from attrs import frozen

from netevd.config.schema import Policy, Routing
from netevd.core.environment import find_bad_name, is_link_local
from netevd.model.address import IFA_F_DADFAILED, IFA_F_PERMANENT, RT_SCOPE_UNIVERSE, Address
from netevd.model.link import IfIndex, Link
from netevd.model.route import ANYWHERE, STABLE_FLAGS, TABLE_MAIN, Nexthop, Route, Table
from netevd.model.routing import LOOKUP, MARKS_BELOW, SUPPRESS_ABOVE, UNREACHABLE, Ours
from netevd.model.rule import Rule
from netevd.model.snapshot import Snapshot

_PHYSICAL: Final = frozenset(("", "veth"))
"""Kinds of links that a glob may mean; veth is what a container has for hardware."""

STATIC: Final = frozenset((3, 4, 9, 16))
"""Whose routes by way of a gateway are copied: boot (by hand), static, ra, dhcp. Those of routing daemons
are many, and main's. Source: RTPROT_*, linux/rtnetlink.h."""
STATIC_LIMIT: Final = 500
"""Destinations of these for each link at most."""
_METRIC6: Final = 1024
"""What IPv6 makes of metric 0. Source: IP6_RT_PRIO_USER, linux/ipv6_route.h."""
_LAST: Final = 0xFFFFFFFF
"""The highest metric: what comes after every other route."""
_SCOPE_LINK: Final = 253
_WIDEST: Final = {32: 8, 128: 16}
"""Shortest prefix that rules of a link select, by the length of an address: as privsep.policy has it."""
_RANKS: Final = {1: 0, 0: 1, 3: 2}
"""RFC 4191 preference to its order: high, medium, low."""


@frozen(slots=True)
class Planned:
    """What is planned for one link in one family, or why nothing is."""

    ifindex: IfIndex
    name: str
    family: int
    slot: int = 0
    """0: none."""
    sources: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    reason: str = ""
    """Why nothing is planned, "" if something is."""


@frozen(slots=True)
class Plan:
    """All that shall be there."""

    rules: frozenset[Rule] = frozenset()
    routes: frozenset[Route] = frozenset()
    """Each has one way."""
    links: tuple[Planned, ...] = ()

    def join(self, rules: frozenset[Rule], routes: frozenset[Route]) -> Plan:
        """Return this plan with more rules and routes."""
        return Plan(self.rules | rules, self.routes | routes, self.links)


class Known(NamedTuple):
    """What a plan is made of."""

    snapshots: Sequence[Snapshot]
    routes: Sequence[Route]
    """Default routes of every table; of main those without a gateway, and those that are STATIC."""
    numbers: Mapping[IfIndex, int]
    """Slot of each link."""


def get_ours(routing: Routing) -> Ours:
    """Return what marks rules and routes as ours."""
    return Ours(routing.policy.protocol, routing.policy.base)


def matches(policy: Policy, link: Link) -> bool:
    """
    Tell whether the policy is for a link: the last pattern that fits decides.

    A glob means hardware; a name written out means that link, whatever it is.
    """
    found = False
    for pattern in policy.interfaces:
        word = pattern.removeprefix("!")
        names = (link.name, *link.altnames)
        if not any(fnmatchcase(name, word) for name in names):
            continue
        excludes = pattern.startswith("!")
        if excludes or word in names or link.kind in _PHYSICAL:
            found = not excludes
    return found and not link.loopback


def find_hindrance(link: Link) -> str:
    """Return why a link can't carry traffic of its own, "" if it can."""
    if not link.up:
        return "it is down"
    if link.master:
        return "it is enslaved"
    if not (link.carrier or link.operstate == 0):
        return "it has no carrier"
    return ""


def make_plan(routing: Routing, known: Known) -> Plan:
    """Return the rules and routes that shall be there."""
    ours = get_ours(routing)
    rules = set(_make_fixed_rules(routing, ours))
    routes: set[Route] = set()
    links: list[Planned] = []
    if routing.policy.enabled:
        for family in (4, 6):
            if f"ipv{family}" in routing.policy.families:
                part = _Family(routing.policy, ours, known, family)
                part.plan(rules, routes, links)
    return Plan(frozenset(rules), frozenset(routes), tuple(links))


def _make_fixed_rules(routing: Routing, ours: Ours) -> Iterable[Rule]:
    for each in routing.rules:
        mark, mask = each.fwmark or (0, 0)
        words = {each.from_, each.to} - {""}
        families = {6 if ":" in word else 4 for word in words} or {4, 6}
        if each.family is not None:
            families = {int(each.family[-1])}
        for family in families:
            yield Rule(
                family, each.priority, LOOKUP, Table(each.table), each.from_, each.to,
                iifname=each.iif or "", oifname=each.oif or "", mark=mark, mask=mask,
                protocol=ours.protocol,
            )  # fmt: skip


class _Family:
    """The plan of one family."""

    def __init__(self, policy: Policy, ours: Ours, known: Known, family: int) -> None:
        self._policy = policy
        self._ours = ours
        self._family = family
        self._known = known
        self._defaults: dict[IfIndex, list[Route]] = {}
        self._connected: dict[IfIndex, dict[str, None]] = {}
        self._static: dict[IfIndex, dict[str, list[Route]]] = {}
        """Routes of main by way of a gateway, by link and destination."""
        self._best: list[Route] = []
        for route in known.routes:
            if route.family == family and route.type == 1 and not ours.has_table(route.table):
                self._sort(route)
        self._prefixes = _count_prefixes(known.snapshots) if family == 6 else Counter()

    def _sort(self, route: Route) -> None:
        if route.destination in ANYWHERE:
            for hop in route.nexthops:
                found = self._defaults.setdefault(hop.ifindex, [])
                if route not in found:
                    found.append(route)
            if route.table == TABLE_MAIN and route.nexthops:
                self._best.append(route)
        elif route.table == TABLE_MAIN and not _is_local(route.destination):
            if len(route.nexthops) == 1 and not route.nexthops[0].gateway:
                links = self._connected.setdefault(route.nexthops[0].ifindex, {})
                links[route.destination] = None
            elif route.protocol in STATIC:
                for hop in route.nexthops:
                    by_prefix = self._static.setdefault(hop.ifindex, {})
                    by_prefix.setdefault(route.destination, []).append(route)

    def _find_primary(self) -> IfIndex | None:
        """Return the one link that has the best default routes of main, None for no single one."""
        if self._policy.primary != "skip" or not self._best:
            return None
        best = min(map(_rank, self._best))
        links = {hop.ifindex for each in self._best if _rank(each) == best for hop in each.nexthops}
        return links.pop() if len(links) == 1 else None

    def plan(self, rules: set[Rule], routes: set[Route], links: list[Planned]) -> None:
        """Add what this family needs."""
        eligible: list[tuple[Snapshot, list[Address]]] = []
        for snapshot in self._known.snapshots:
            link = snapshot.link
            if not matches(self._policy, link):
                continue
            addresses = _find_addresses(snapshot, self._family)
            reason = find_hindrance(link)
            if not reason and not any(each.usable for each in addresses):
                reason = "it has no usable address"
            if not reason and link.ifindex not in self._known.numbers:
                reason = "no slot is left"
            if reason:
                links.append(Planned(link.ifindex, link.name, self._family, reason=reason))
            else:
                eligible.append((snapshot, addresses))
        primary = self._find_primary()
        alone = len(eligible) == 1 and self._policy.primary == "skip"
        for snapshot, addresses in eligible:
            ifindex = snapshot.link.ifindex
            reason = ""
            if ifindex == primary:
                reason = "it is the primary: main has its default route"
            elif alone:
                reason = "no other link needs to be told from it"
            links.append(self._plan_link(snapshot, addresses, reason, rules, routes))
        if any(each.sources and not each.reason for each in links if each.family == self._family):
            rules.add(self._rule(SUPPRESS_ABOVE, TABLE_MAIN, suppress=0))

    def _plan_link(
        self,
        snapshot: Snapshot,
        addresses: list[Address],
        reason: str,
        rules: set[Rule],
        routes: set[Route],
    ) -> Planned:
        link, ours, policy = snapshot.link, self._ours, self._policy
        slot = self._known.numbers[link.ifindex]
        marks = policy.return_path == "conntrack-mark"
        mark = find_mark(policy.mark_mask, slot) if marks else 0
        planned = Planned(link.ifindex, link.name, self._family, slot, reason=reason)
        if reason and not mark:
            return planned
        defaults = list(self._make_defaults(link.ifindex, slot))
        routes.update(defaults)
        routes.update(self._make_static(link.ifindex, slot))
        if mark:
            table = ours.default_table(slot)
            rules.add(self._rule(slot - MARKS_BELOW, table, mark=mark, mask=policy.mark_mask))
        if reason:
            return planned
        sources = self._find_sources(link.ifindex, addresses)
        for place, table in enumerate((ours.connected_table(slot), ours.default_table(slot))):
            above = table - ours.base
            rules.update(self._rule(above, table, source=source) for source in sources)
            if place and policy.bind_device and find_bad_name(link.name) is None:
                rules.add(self._rule(above, table, oif=link.name))
        routes.update(self._make_connected(link.ifindex, slot))
        gateways = tuple(hop.gateway for each in defaults for hop in each.nexthops)
        return Planned(link.ifindex, link.name, self._family, slot, tuple(sources), gateways)

    def _rule(
        self, above: int, table: int, *, source: str = "", oif: str = "", mark: int = 0,
        mask: int = 0, suppress: int = -1,
    ) -> Rule:  # fmt: skip
        return Rule(
            self._family, self._ours.base + above, LOOKUP, Table(table), source, oifname=oif,
            mark=mark, mask=mask, suppress_prefix_length=suppress, protocol=self._ours.protocol,
        )  # fmt: skip

    def _find_sources(self, ifindex: IfIndex, addresses: list[Address]) -> list[str]:
        """Return what rules of a link select, each once."""
        whole = {4: 32, 6: 128}[self._family]
        connected = self._connected.get(ifindex, {})
        found: dict[str, None] = {}
        for address in addresses:
            source = f"{address.ip}/{whole}"
            if self._policy.sources != "address" and _WIDEST[whole] <= address.prefix < whole:
                prefix = _find_network(address.ip, address.prefix)
                made_itself = (
                    self._family == 6
                    and address.prefix == 64  # RFC 4862, with identifiers of RFC 4291 2.5.1
                    and not address.flags & IFA_F_PERMANENT
                    and prefix in connected
                    and self._prefixes[prefix] == 1
                )
                if made_itself or self._policy.sources == "prefix":
                    source = prefix
            found[source] = None
        return list(found)

    def _make_connected(self, ifindex: IfIndex, slot: int) -> Iterable[Route]:
        table = self._ours.connected_table(slot)
        for destination in self._connected.get(ifindex, ()):
            yield self._route(table, destination, 0, (Nexthop(ifindex),))

    def _make_defaults(self, ifindex: IfIndex, slot: int) -> Iterable[Route]:
        """Yield a default route for each way of this link."""
        table = self._ours.default_table(slot)
        anywhere = "0.0.0.0/0" if self._family == 4 else "::/0"
        found = list(self._make_ways(table, anywhere, self._defaults.get(ifindex, ()), ifindex))
        if not found and self._policy.strict:
            found = [self._route(table, anywhere, _LAST, (), UNREACHABLE)]
        return found

    def _make_static(self, ifindex: IfIndex, slot: int) -> Iterable[Route]:
        """Yield what main has by way of gateways of this link, for those that come here before main."""
        table = self._ours.default_table(slot)
        for destination, routes in sorted(self._static.get(ifindex, {}).items())[:STATIC_LIMIT]:
            yield from self._make_ways(table, destination, routes, ifindex)

    def _make_ways(
        self, table: Table, destination: str, routes: Iterable[Route], ifindex: IfIndex
    ) -> Iterable[Route]:
        """Yield a route for each way over this link, the best first, each metric once."""
        told: set[str] = set()
        least = 0
        for route in sorted(routes, key=_order):
            for hop in route.nexthops:
                if hop.ifindex != ifindex or hop.gateway in told:
                    continue
                told.add(hop.gateway)
                metric = max(least, route.priority)
                if metric >= _LAST:
                    continue
                least = metric + 1
                flags = hop.flags
                if hop.gateway and not hop.gateway.startswith("fe80"):
                    flags |= STABLE_FLAGS  # whatever main says of the way to it by then
                yield self._route(
                    table, destination, metric, (Nexthop(ifindex, hop.gateway, 1, flags),)
                )

    def _route(
        self, table: Table, destination: str, metric: int, hops: tuple[Nexthop, ...], kind: int = 1
    ) -> Route:
        on_link = self._family == 4 and bool(hops) and not hops[0].gateway
        return Route(
            self._family, table, destination, metric or (_METRIC6 if self._family == 6 else 0),
            kind, self._ours.protocol, _SCOPE_LINK if on_link else 0, hops,
        )  # fmt: skip


def find_mark(mask: int, slot: int) -> int:
    """Return the firewall mark of a slot: its number in the bits of the mask; 0 if it does not fit."""
    if not mask or slot >= MARKS_BELOW:
        return 0
    mark = slot * (mask & -mask)
    return mark if mark & mask == mark and mark <= mask else 0


def _find_addresses(snapshot: Snapshot, family: int) -> list[Address]:
    """Return the addresses of a link that traffic of other links may have as its source."""
    found = [
        each
        for each in snapshot.addresses
        if each.family == family
        and each.scope == RT_SCOPE_UNIVERSE
        and not each.flags & IFA_F_DADFAILED
        and not each.ip.startswith("127.")
    ]
    wide = [each for each in found if not is_link_local(each)]
    return wide or (found if family == 4 else [])


def _count_prefixes(snapshots: Iterable[Snapshot]) -> Counter[str]:
    """Return how many links have addresses in each /64."""
    counts: Counter[str] = Counter()
    for snapshot in snapshots:
        counts.update(
            {_find_network(each.ip, 64) for each in snapshot.addresses if each.family == 6}
        )
    return counts


@lru_cache(maxsize=8192)
def _find_network(ip: str, length: int) -> str:
    return str(ip_network(f"{ip}/{length}", strict=False))


def _is_local(destination: str) -> bool:
    """Tell whether a prefix is for its link alone, or for groups."""
    return destination.startswith(("fe80:", "ff", "169.254.", "127."))


def _rank(route: Route) -> tuple[int, int]:
    return route.priority, _RANKS.get(route.preference, 1)


def _order(route: Route) -> tuple[bool, int, int, Route]:
    return route.table != TABLE_MAIN, *_rank(route), route
