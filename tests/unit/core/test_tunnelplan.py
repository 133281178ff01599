"""What prefixes of peers imply: rules and routes that shall be, what is missing, and who is in the way."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from netevd.config.kinds import Metric, TunnelMark, TunnelTable
from netevd.config.schema import Wireguard, WireguardRoutes
from netevd.core.policydifference import find_difference
from netevd.core.policyplan import Plan
from netevd.core.tunnelplan import (
    JUST_FOUND,
    STEPS,
    Around,
    Cover,
    Tunnel,
    TunnelPlan,
    make_tunnel_plan,
    read_prefix,
)
from netevd.kernel.changes import make_request
from netevd.model.link import IFF_LOWER_UP, IFF_UP, IfIndex, Link
from netevd.model.route import Nexthop, Route, Table
from netevd.model.routing import Ours
from netevd.model.rule import Rule
from netevd.model.wireguard import Device, Peer
from privsep.launch import WritePolicy
from privsep.policy import Grant, State, judge
from privsep.protocol import REQUEST, Write, pack

MARK = 0xCA6C
MAIN = 254
KEYS = [letter * 42 + "E=" for letter in "abcdefgh"]


def settings(**fields: object) -> Wireguard:
    """Return a section that manages routes."""
    return Wireguard(routes=WireguardRoutes(**{"mode": "manage", **fields}))


def tunnel(
    *prefixes: str, ifindex: int = 7, name: str = "wg0", mark: int = 0, endpoint: str = "",
    flags: int = IFF_UP | IFF_LOWER_UP,
) -> Tunnel:  # fmt: skip
    """Return a device with one peer for each prefix."""
    link = Link(IfIndex(ifindex), name, flags, 0, 1420, "", kind="wireguard")
    peers = tuple(
        Peer(key, endpoint, (prefix,)) for key, prefix in zip(KEYS, prefixes, strict=False)
    )
    return Tunnel(link, Device("kernel", "", 51820, mark, peers))


def route(
    destination: str, *, over: int = 7, table: int = MAIN, protocol: int = 3, via: str = ""
) -> Route:
    """Return a route of somebody else."""
    family = 6 if ":" in destination else 4
    return Route(
        family, Table(table), destination, 0, 1, protocol, 0, (Nexthop(IfIndex(over), via),)
    )


def plan(
    *tunnels: Tunnel, routes: tuple[Route, ...] = (), rules: tuple[Rule, ...] = (),
    wanted: Wireguard | None = None, numbers: dict[int, int] | None = None,
) -> TunnelPlan:  # fmt: skip
    """Return the plan, with a table for each device."""
    found = {each.link.ifindex: place for place, each in enumerate(tunnels, 1)}
    given_numbers = found if numbers is None else {IfIndex(k): v for k, v in numbers.items()}
    return make_tunnel_plan(
        wanted or settings(), tunnels, Around(routes, rules, Ours(), given_numbers)
    )


def show(found: TunnelPlan) -> list[str]:
    """Return routes and rules of a plan in a few words each."""
    rules = sorted(found.rules, key=lambda each: (each.family, each.priority, each.table))
    return [f"{each.destination} {each.table}" for each in sorted(found.routes)] + [
        f"{each.priority} {'!' if each.invert else ''}{each.mark:x} {each.table} {each.suppress_prefix_length}"
        for each in rules
    ]


def test_each_length_has_main_asked_before_tunnels() -> None:
    assert show(plan(tunnel("10.77.0.0/16", "10.9.0.2/32"))) == [
        "10.77.0.0/16 21901", "10.9.0.2/32 21901",
        "21900 0 254 31", "21901 0 21901 31", "21902 0 254 15", "21903 0 21901 15",
    ]  # fmt: skip


def test_two_devices_share_rules_of_main() -> None:
    """Each has a table; a length that only one has needs the other's table not to be asked."""
    found = plan(
        tunnel("10.1.0.0/16", "10.9.0.2/32"),
        tunnel("10.2.0.0/16", ifindex=8, name="wg1", mark=MARK),
    )

    assert show(found)[3:] == [
        "21900 0 254 31", "21901 0 21901 31",
        "21902 0 254 15", "21903 0 21901 15", "21903 !ca6c 21902 15",
    ]  # fmt: skip


def test_a_default_route_is_for_what_has_not_the_mark() -> None:
    found = plan(tunnel("0.0.0.0/0", "::/0", mark=MARK))

    assert show(found) == [
        "0.0.0.0/0 21901", "::/0 21901",
        "21948 0 254 0", "21949 !ca6c 21901 -1", "21948 0 254 0", "21949 !ca6c 21901 -1",
    ]  # fmt: skip
    assert found.states[0].advice == ""


@pytest.mark.parametrize(("mark", "expected"), [(0, "auto"), (0, "0xca6c"), (5, "0xca6c")])
def test_without_the_mark_there_is_no_default_route(mark: int, expected: str) -> None:
    """What is missing is said; other prefixes are routed all the same."""
    found = plan(
        tunnel("0.0.0.0/0", "10.77.0.0/16", mark=mark), wanted=settings(fwmark=TunnelMark(expected))
    )

    assert [each.destination for each in found.routes] == ["10.77.0.0/16"]
    assert "wg set wg0 fwmark 0xca6c" in found.states[0].advice


def test_a_route_into_the_tunnel_of_its_own_packets_is_not_made() -> None:
    """Unless main has a longer way to the endpoint, or the device a mark."""
    inner = tunnel("192.0.0.0/16", endpoint="192.0.2.1:51820")

    assert plan(inner).routes == frozenset()
    assert "the endpoint 192.0.2.1 lies in it" in plan(inner).states[0].advice
    assert len(plan(inner, routes=(route("192.0.2.0/24", over=2),)).routes) == 1
    assert len(plan(inner, routes=(route("192.0.0.0/16", over=2),)).routes) == 1
    assert plan(inner, routes=(route("192.0.0.0/15", over=2),)).routes == frozenset()
    assert plan(inner, routes=(route("192.0.2.0/24", over=7, protocol=2),)).routes == frozenset()
    assert len(plan(tunnel("192.0.0.0/16", endpoint="192.0.2.1:51820", mark=MARK)).routes) == 1
    six = tunnel("2001:db8::/32", endpoint="[2001:db8::1]:51820")
    assert plan(six).routes == frozenset()


@pytest.mark.parametrize(
    ("routes", "rules", "name", "words"),
    [
        ((route("10.77.0.0/16"),), (), "wg0", ("wg-quick", "Table = off")),
        ((route("10.77.0.0/16", protocol=4),), (), "wg0", ("systemd-networkd or NetworkManager", "RouteTable=off")),
        ((route("10.77.0.0/16", protocol=186),), (), "wg0", ("a routing daemon", "proto bgp")),
        ((route("10.77.0.0/16", table=1234),), (), "wg0", ("wg-quick", "table 1234")),
        ((route("100.64.0.1/32", table=52),), (), "wg0", ("Tailscale",)),
        ((), (), "tailscale0", ("Tailscale",)),
        ((route("100.92.0.0/16", table=7120),), (), "wg0", ("NetBird",)),
        ((), (), "wt0", ("NetBird",)),
        (
            (route("0.0.0.0/0", table=51820),),
            (Rule(4, 32764, 1, Table(51820), invert=True, mark=MARK, mask=0xFFFFFFFF, protocol=3),),
            "wg0",
            ("wg-quick", "not fwmark 0xca6c lookup 51820"),
        ),
    ],
)  # fmt: skip
def test_who_routes_into_it_already_is_told(
    routes: tuple[Route, ...], rules: tuple[Rule, ...], name: str, words: tuple[str, ...]
) -> None:
    """Nothing is written then, unless it is forced."""
    device = tunnel("10.77.0.0/16", "10.78.0.0/16", name=name, mark=MARK)
    found = plan(device, routes=routes, rules=rules)

    assert (found.routes, found.rules) == (frozenset(), frozenset())
    assert all(word in found.states[0].reason for word in words), found.states[0].reason
    assert "wireguard.routes.force: true" in found.states[0].reason
    assert plan(device, routes=routes, rules=rules, wanted=settings(force=True)).routes


def test_what_does_not_concern_a_device_is_no_owner() -> None:
    """Routes of addresses, of netevd itself, of other prefixes, and rules of other marks."""
    device = tunnel("10.77.0.0/16", mark=MARK)
    routes = (
        route("10.9.0.0/24", protocol=2), route("10.77.0.0/16", table=21901, protocol=110),
        route("10.66.0.0/16"), route("0.0.0.0/0", table=51820), route("10.77.0.0/16", over=9),
    )  # fmt: skip
    rules = (Rule(4, 32764, 1, Table(51820), invert=True, mark=MARK + 1, mask=0xFFFFFFFF),)

    assert plan(device, routes=routes, rules=rules).states[0].reason == ""


def test_a_device_that_can_not_carry_anything_has_nothing() -> None:
    assert plan(tunnel("10.77.0.0/16", flags=0)).states[0].reason == "it is down"
    assert plan(tunnel("10.77.0.0/16"), numbers={}).states[0].reason == JUST_FOUND
    assert "all tables" in plan(tunnel("10.77.0.0/16"), numbers={7: 0}).states[0].reason
    assert plan(tunnel("10.77.0.0/16", flags=0)).states[0].missing == ()


def test_what_a_route_of_main_covers_needs_no_other() -> None:
    found = plan(tunnel("10.9.0.2/32", "10.9.1.0/24"), routes=(route("10.9.0.0/24", protocol=2),))

    assert [each.destination for each in found.routes] == ["10.9.1.0/24"]


def test_nonsense_and_bits_behind_the_length() -> None:
    """A device may say what it likes."""
    found = plan(tunnel("10.9.0.7/24", "nonsense", "10.9.0.0/24", "300.0.0.0/8", ""))

    assert [each.destination for each in found.routes] == ["10.9.0.0/24"]


def test_looking_writes_nothing() -> None:
    """Missing and stray routes are found, in the table that is named if one is."""
    device = tunnel("10.77.0.0/16", "10.78.0.0/16")
    there = (route("10.77.0.0/16"), route("10.78.0.0/16", table=1000), route("10.66.0.0/16"))
    found = plan(device, routes=there, wanted=settings(mode="observe"))
    assert (found.routes, found.rules) == (frozenset(), frozenset())
    assert (found.states[0].missing, found.states[0].strays) == ((), ("10.66.0.0/16",))

    found = plan(device, routes=there, wanted=settings(mode="observe", table=TunnelTable("1000")))
    assert found.states[0].missing == ("10.77.0.0/16",)
    assert {each.priority for each in plan(device, wanted=settings(metric=Metric(50))).routes} == {
        50
    }


def test_more_lengths_than_rules() -> None:
    """The shortest share a pair; main's routes of these lengths come first."""
    device = tunnel("10.0.0.0/9")
    peers = tuple(Peer(KEYS[0], "", (f"10.0.0.0/{length}",)) for length in range(3, 33))
    found = plan(evolve(device, device=evolve(device.device, peers=peers)))

    rules = sorted((each.priority, each.table, each.suppress_prefix_length) for each in found.rules)
    assert len(rules) == 2 * STEPS
    assert rules[-2:] == [(21946, 254, 2), (21947, 21901, 2)]
    assert len(found.routes) == 30


def test_cover_holds_what_lies_within() -> None:
    cover = Cover(["10.0.0.0/8", "2001:db8::/32", "nonsense"])

    for text, held in [("10.1.2.3/32", True), ("10.0.0.0/8", True), ("10.0.0.0/7", False), ("11.0.0.0/8", False),
                       ("2001:db8:1::/48", True), ("2001:db9::/48", False), ("::/0", False)]:  # fmt: skip
        prefix = read_prefix(text)
        assert prefix is not None and cover.holds(prefix) is held, text
    inner = read_prefix("10.1.2.3/32")
    assert inner is not None and not cover.holds(inner, longer_than=8)


prefixes = st.builds(
    lambda number, length: str(ip_network((number, length), strict=False)),
    st.integers(0, 2**32 - 1).map(lambda each: each & 0xFF0F00FF | 0x0A000000), st.integers(1, 32),
)  # fmt: skip


@hypothesis(deadline=None)
@given(
    st.lists(prefixes, max_size=8),
    st.lists(prefixes, max_size=8),
    st.lists(prefixes, min_size=1, max_size=8),
)
def test_the_longest_prefix_decides_as_in_one_table(
    ours: list[str], mains: list[str], asked: list[str]
) -> None:
    """Whatever main and tunnels have, and where anything is sent to: of equal ones main's is taken."""
    main = [route(each, over=2) for each in dict.fromkeys(mains)]
    # both marks and endpoints are out of the way
    found = plan(tunnel(*ours), routes=tuple(main))
    tables = {MAIN: main, 21901: list(found.routes)}
    for text in [*asked, *ours, *mains]:
        target = ip_network(text).network_address
        best = max(
            ((ip_network(each.destination).prefixlen, each.table == MAIN, each) for each in (*main, *found.routes)
             if ip_address(str(target)) in ip_network(each.destination)),
            key=lambda each: each[:2], default=None,
        )  # fmt: skip
        assert _look_up(found, tables, str(target)) == (None if best is None else best[2])


def _look_up(found: TunnelPlan, tables: dict[int, list[Route]], target: str) -> Route | None:
    """Return the route that the kernel would take: rule by rule, then main."""
    for rule in [
        *sorted(found.rules, key=lambda each: each.priority),
        Rule(4, 32766, 1, Table(MAIN)),
    ]:
        fitting = [
            each
            for each in tables[rule.table]
            if ip_address(target) in ip_network(each.destination)
        ]
        best = max(fitting, key=lambda each: ip_network(each.destination).prefixlen, default=None)
        if (
            best is not None
            and ip_network(best.destination).prefixlen > rule.suppress_prefix_length
        ):
            return best
    return None


@st.composite
def devices(draw: st.DrawFn) -> tuple[Tunnel, ...]:
    """Draw devices with whatever peers."""
    six = st.sampled_from(["fd00::/8", "fd00:1::/32", "::/0", "2001:db8::1/128"])
    lists = st.lists(st.one_of(prefixes, six, st.just("0.0.0.0/0")), max_size=6)
    return tuple(
        tunnel(*draw(lists), ifindex=ifindex, name=f"wg{ifindex}", mark=draw(st.sampled_from([0, MARK, 1])),
               endpoint=draw(st.sampled_from(["", "10.0.0.1:1", "[fd00::1]:1"])))
        for ifindex in range(7, 7 + draw(st.integers(0, 3)))
    )  # fmt: skip


@hypothesis(deadline=None)
@given(
    devices(),
    st.lists(
        st.builds(route, prefixes, over=st.integers(2, 9), protocol=st.sampled_from([2, 110])),
        max_size=5,
    ),
    st.booleans(),
)
def test_the_helper_grants_all_that_is_asked_for_and_then_nothing_is_left(
    tunnels: tuple[Tunnel, ...],
    others: list[Route],
    force: bool,
) -> None:
    """A correct worker is never ended for it; after the changes there is no difference, and taking it back is fine too."""
    found = plan(*tunnels, routes=tuple(others), wanted=settings(force=force))
    wanted = Plan(found.rules, found.routes)
    policy = WritePolicy(tunnels=True)
    difference = find_difference(wanted, (), others, Ours())
    after = find_difference(wanted, found.rules, (*others, *found.routes), Ours())
    gone = find_difference(Plan(), found.rules, found.routes, Ours())
    assert after.changes == ()
    assert len(gone.changes) == len(found.rules) + len(found.routes) == len(difference.changes)
    for change in (*difference.changes, *gone.changes):
        request = REQUEST.unpack(pack(Write([make_request(change)])))
        assert isinstance(judge(request, State(greeted=True), policy, 0.0), Grant)
