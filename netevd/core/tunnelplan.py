"""
Which routes the prefixes of WireGuard peers imply, what is missing of them, and how they are made. Pure.

Each tunnel has a table. Rules ask main and these tables in turns, the longest prefixes first, so that
all is as if tunnels' routes stood in main: the longest prefix decides, and of two equal ones main's.
Default routes come last, and not for what carries the device's mark, which are its own packets.
Source: suppress_prefixlength in ip-rule(8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_network
from typing import Final, NamedTuple

from attrs import frozen

from netevd.config.schema import Wireguard
from netevd.core.policyplan import find_hindrance
from netevd.core.tunnelowners import find_owner
from netevd.model.link import IfIndex, Link
from netevd.model.route import ANYWHERE, TABLE_LOCAL, TABLE_MAIN, Nexthop, Route, Table
from netevd.model.routing import LOOKUP, TUNNELS_ABOVE, Ours
from netevd.model.rule import Rule
from netevd.model.wireguard import Device

STEPS: Final = 24
"""Prefix lengths that are told apart in each family: two rules each, and two for default routes."""
_DEFAULTS_ABOVE: Final = TUNNELS_ABOVE + 2 * STEPS
JUST_FOUND: Final = "it was found just now"
_WHOLE: Final = 0xFFFFFFFF
_METRIC6: Final = 1024
"""What IPv6 makes of metric 0. Source: IP6_RT_PRIO_USER, linux/ipv6_route.h."""
_KERNEL: Final = 2
_SCOPE_LINK: Final = 253


@frozen(slots=True)
class Tunnel:
    """A WireGuard device with its link."""

    link: Link
    device: Device


@frozen(slots=True)
class TunnelState:
    """What the peers of one device imply, and how it is."""

    ifindex: IfIndex
    name: str
    table: int = 0
    """Where netevd writes its routes, 0 for nowhere."""
    fwmark: int = 0
    """Of the device."""
    prefixes: tuple[str, ...] = ()
    """Of all peers, each once."""
    missing: tuple[str, ...] = ()
    """Those that no route over the device covers."""
    strays: tuple[str, ...] = ()
    """Destinations of routes over the device that no peer takes."""
    reason: str = ""
    """Why nothing is written for it, "" if something is, or nothing should be."""
    advice: str = ""
    """Why some of it is not written, and what to do about it."""
    passing: bool = False
    """Whether the reason is one that goes by itself."""


@frozen(slots=True)
class TunnelPlan:
    """All that shall be there for tunnels."""

    rules: frozenset[Rule] = frozenset()
    routes: frozenset[Route] = frozenset()
    states: tuple[TunnelState, ...] = ()


class Around(NamedTuple):
    """What a plan is made beside of the tunnels."""

    routes: Sequence[Route]
    """Those that routing is made of, see core.wanted."""
    rules: Sequence[Rule]
    ours: Ours
    numbers: Mapping[IfIndex, int]
    """Of each tunnel's table, 0 for none that is left; without an entry it has to wait."""


class Prefix(NamedTuple):
    """A prefix as numbers."""

    family: int
    network: int
    length: int
    text: str

    @property
    def head(self) -> int:
        """The bits that count."""
        return self.network >> ((32 if self.family == 4 else 128) - self.length)


@lru_cache(maxsize=16384)
def read_prefix(text: str) -> Prefix | None:
    """Return a prefix without bits behind its length, None for what is none."""
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        return None
    return Prefix(found.version, int(found.network_address), found.prefixlen, str(found))


class Cover:
    """A set of prefixes that can tell whether one of them holds another one."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._heads: dict[tuple[int, int], set[int]] = {}
        for text in texts:
            prefix = read_prefix(text)
            if prefix is not None:
                self._heads.setdefault((prefix.family, prefix.length), set()).add(prefix.head)

    def holds(self, prefix: Prefix, longer_than: int = -1) -> bool:
        """Tell whether a prefix lies within one of these that is longer than this."""
        return any(
            family == prefix.family
            and longer_than < length <= prefix.length
            and prefix.head >> (prefix.length - length) in heads
            for (family, length), heads in self._heads.items()
        )


def list_prefixes(device: Device) -> tuple[Prefix, ...]:
    """Return what peers of a device take, each once."""
    found = (read_prefix(text) for peer in device.peers for text in peer.allowed_ips)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def make_tunnel_plan(settings: Wireguard, tunnels: Iterable[Tunnel], around: Around) -> TunnelPlan:
    """Return what the peers of all devices imply, and what shall be written for it."""
    routes: set[Route] = set()
    states: list[TunnelState] = []
    uses: list[_Use] = []
    by_link: dict[IfIndex, list[Route]] = {tunnel.link.ifindex: [] for tunnel in tunnels}
    for route in around.routes:
        for hop in route.nexthops:
            if hop.ifindex in by_link and route.table != TABLE_LOCAL and route.type == 1:
                by_link[hop.ifindex].append(route)
    for tunnel in sorted(tunnels, key=lambda each: each.link.name):
        part = _Part(settings, tunnel, around, by_link[tunnel.link.ifindex])
        written = part.choose() if settings.routes.mode == "manage" else []
        if written:
            use = _Use(
                part.table, part.mark, frozenset((each.family, each.length) for each in written)
            )
            uses.append(use)
            routes.update(part.make_route(each) for each in written)
        states.append(part.tell())
    rules = frozenset(rule for family in (4, 6) for rule in _make_rules(uses, family, around.ours))
    return TunnelPlan(rules, frozenset(routes), tuple(states))


class _Use(NamedTuple):
    """What rules have to know of a tunnel."""

    table: Table
    mark: int
    lengths: frozenset[tuple[int, int]]
    """Families and prefix lengths of its routes."""


def _make_rules(uses: Sequence[_Use], family: int, ours: Ours) -> Iterator[Rule]:
    lengths = {length for use in uses for of, length in use.lengths if of == family}
    steps = sorted(lengths - {0}, reverse=True)
    if len(steps) > STEPS:  # then main's routes of any of the last ones come before tunnels'
        steps = [*steps[: STEPS - 1], steps[-1]]
    above = 129
    for place, step in enumerate(steps):
        priority = ours.base + TUNNELS_ABOVE + 2 * place
        yield _make_rule(ours, family, priority, TABLE_MAIN, step - 1)
        for use in uses:
            if any(of == family and step <= length < above for of, length in use.lengths):
                yield _make_rule(ours, family, priority + 1, use.table, step - 1, mark=use.mark)
        above = step
    if 0 in lengths:
        priority = ours.base + _DEFAULTS_ABOVE
        yield _make_rule(ours, family, priority, TABLE_MAIN, 0)
        for use in uses:
            if (family, 0) in use.lengths:
                yield _make_rule(ours, family, priority + 1, use.table, -1, mark=use.mark)


def _make_rule(
    ours: Ours, family: int, priority: int, table: Table, suppress: int, *, mark: int = 0
) -> Rule:
    return Rule(
        family, priority, LOOKUP, table, invert=bool(mark), mark=mark, mask=_WHOLE if mark else 0,
        suppress_prefix_length=suppress, protocol=ours.protocol,
    )  # fmt: skip


class _Part:
    """The plan of one tunnel."""

    def __init__(
        self, settings: Wireguard, tunnel: Tunnel, around: Around, over: Sequence[Route]
    ) -> None:
        """over: routes that lead over it."""
        self._settings = settings.routes
        self._tunnel = tunnel
        self._around = around
        self._over = over
        self._prefixes = list_prefixes(tunnel.device)
        number = around.numbers.get(tunnel.link.ifindex, 0)
        self.table = around.ours.tunnel_table(number) if number else Table(0)
        self.mark = tunnel.device.fwmark
        self._reason = ""
        self._passing = False
        self._advice: list[str] = []
        self._inner: dict[Prefix, str] | None = None

    def choose(self) -> list[Prefix]:
        """Return the prefixes that routes of ours are to lead to."""
        link, ours = self._tunnel.link, self._around.ours
        foreign = [each for each in self._over if not ours.has_route(each)]
        waits = JUST_FOUND if link.ifindex not in self._around.numbers else ""
        self._reason = find_hindrance(link) or waits
        self._passing = bool(self._reason)
        if not self._reason and not self._settings.force:
            self._reason = self._find_owner(foreign)
        if not self._reason and not self.table:
            self._reason = "all tables of tunnels are taken"
        if self._reason:
            return []
        main = (each for each in foreign if each.table == TABLE_MAIN)
        there = Cover(each.destination for each in main if each.destination not in ANYWHERE)
        wanted = [each for each in self._prefixes if not there.holds(each)]
        return [each for each in wanted if self._is_safe(each)]

    def _is_safe(self, prefix: Prefix) -> bool:
        """Tell whether a route does not lead a device's own packets into itself; if not, advise."""
        expected = self._settings.mark_number or self.mark
        if self.mark and self.mark == expected:
            return True
        name = self._tunnel.link.name
        if not prefix.length:
            said = f"it has {self.mark:#x}" if self.mark else "it has none"
            self._advise(
                f"no default route: that needs a firewall mark on the device, and {said};"
                f" wg set {name} fwmark {expected or 51820:#x}, or FwMark in its file"
            )
            return False
        if self._inner is None:
            self._inner = self._find_inner_endpoints()
        endpoint = self._inner.get(prefix, "")
        if endpoint:
            self._advise(
                f"no route to {prefix.text}: the endpoint {endpoint} lies in it, so the tunnel would"
                f" lead into itself; wg set {name} fwmark {expected or 51820:#x} tells them apart"
            )
        return not endpoint

    def _advise(self, text: str) -> None:
        if text not in self._advice:
            self._advice.append(text)

    def _find_owner(self, foreign: Sequence[Route]) -> str:
        prefixes = {each.text for each in self._prefixes}
        return find_owner(self._tunnel.link, self.mark, prefixes, foreign, self._around.rules)

    def _find_inner_endpoints(self) -> dict[Prefix, str]:
        """Return the prefixes that hold a peer's endpoint to which nothing else leads, with that."""
        by_head = {(each.family, each.length, each.head): each for each in self._prefixes}
        lengths = {(each.family, each.length) for each in self._prefixes}
        ifindex = self._tunnel.link.ifindex
        beside = Cover(
            route.destination
            for route in self._around.routes
            if route.table == TABLE_MAIN and all(hop.ifindex != ifindex for hop in route.nexthops)
        )
        found: dict[Prefix, str] = {}
        for peer in self._tunnel.device.peers:
            host = peer.endpoint.rpartition(":")[0].strip("[]").partition("%")[0]
            address = read_prefix(host)
            if address is None:
                continue
            for family, length in lengths:
                head = (
                    address.network >> (address.length - length) if length <= address.length else 0
                )
                holder = by_head.get((family, length, head)) if family == address.family else None
                if holder is not None and not beside.holds(address, longer_than=length - 1):
                    found[holder] = host
        return found

    def make_route(self, prefix: Prefix) -> Route:
        """Return a route of ours."""
        metric = self._settings.metric or (_METRIC6 if prefix.family == 6 else 0)
        hop = Nexthop(self._tunnel.link.ifindex)
        return Route(
            prefix.family, self.table, prefix.text, metric, 1, self._around.ours.protocol,
            _SCOPE_LINK if prefix.family == 4 else 0, (hop,),
        )  # fmt: skip

    def tell(self) -> TunnelState:
        """Return what there is to say."""
        table = self._settings.table_number
        looked_at = [each for each in self._over if not table or each.table in {table, self.table}]
        there = Cover(each.destination for each in looked_at)
        link = self._tunnel.link
        missing = () if find_hindrance(link) else self._prefixes
        return TunnelState(
            link.ifindex, link.name, self.table if self._settings.mode == "manage" else 0, self.mark,
            tuple(each.text for each in self._prefixes),
            tuple(each.text for each in missing if not there.holds(each)),
            tuple(sorted(self._find_strays())), self._reason, "; ".join(self._advice),
            self._passing,
        )  # fmt: skip

    def _find_strays(self) -> set[str]:
        """Return where routes lead to that no peer takes; what the kernel makes of addresses is none."""
        inside = Cover(each.text for each in self._prefixes)
        found: set[str] = set()
        for route in self._over:
            prefix = read_prefix(route.destination)
            made = route.protocol == _KERNEL or self._around.ours.has_route(route)
            if prefix is None or made or _is_local(prefix):
                continue
            around = Cover([prefix.text])
            if not inside.holds(prefix) and not any(map(around.holds, self._prefixes)):
                found.add(prefix.text)
        return found


def _is_local(prefix: Prefix) -> bool:
    """Tell whether a prefix is for its link alone, or for groups."""
    return prefix.text.startswith(("fe80:", "ff", "169.254.", "224.", "239."))
