"""What is planned for which situation."""

from __future__ import annotations

from typing import Any

from netevd.config.kinds import Mark, Patterns
from netevd.config.schema import FixedRule, Policy, Routing
from netevd.core.policyplan import Known, Plan, find_mark, make_plan
from netevd.model.address import IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_PERMANENT, IFA_F_TENTATIVE
from netevd.model.link import IfIndex
from netevd.model.route import Nexthop, Route
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.playbook import address, link, route

ANY4, ANY6 = "0.0.0.0/0", "::/0"


def have(name: str, ifindex: int, *addresses: str | tuple[str, int], **more: Any) -> Snapshot:
    """Return a link with these addresses, "IP/PREFIX" or that with flags; else they are permanent."""
    found = []
    for each in addresses:
        text, flags = each if isinstance(each, tuple) else (each, IFA_F_PERMANENT)
        scope = (
            253 if text.startswith(("fe80", "169.254")) else 254 if text.startswith("127") else 0
        )
        found.append(address(text, ifindex, flags=flags, scope=scope))
    return Snapshot(link(name, ifindex, **more), tuple(found), OperationalState.ROUTABLE)


def plan(links: list[Snapshot], routes: list[Route], **settings: Any) -> Plan:
    """Return the plan for these links, whose slot is their index, with primary: include."""
    routing = Routing(Policy(enabled=True, **{"primary": "include", **settings}))
    numbers = {each.link.ifindex: each.link.ifindex for each in links}
    return make_plan(routing, Known(links, routes, numbers))


def sources(found: Plan, slot: int) -> list[str]:
    """Return what rules of a slot select."""
    return sorted(each.source for each in found.rules if each.priority == 21000 + slot)


def defaults(found: Plan, slot: int) -> list[tuple[str, int]]:
    """Return gateways and metrics of a slot, in the order in which they are used."""
    routes = [each for each in found.routes if each.table == 21500 + slot]
    ordered = sorted(routes, key=lambda each: each.priority)
    return [("".join(hop.gateway for hop in each.nexthops), each.priority) for each in ordered]


def reasons(found: Plan) -> dict[str, str]:
    """Return why links have nothing."""
    return {each.name: each.reason for each in found.links if each.reason}


ETH0 = have("eth0", 2, "10.0.0.1/24")
ETH1 = have("eth1", 3, "10.0.1.1/24")


def test_overlapping_subnets_have_tables_of_their_own() -> None:
    """Two links with the same subnet behind them: each table leads over its own link."""
    found = plan(
        [have("eth0", 2, "10.0.0.1/8"), have("eth1", 3, "10.0.0.2/16")],
        [route("10.0.0.0/8", "@2"), route("10.0.0.0/16", "@3")],
    )

    connected = {each.table: (each.destination, each.nexthops[0].ifindex) for each in found.routes}
    assert connected == {21002: ("10.0.0.0/8", 2), 21003: ("10.0.0.0/16", 3)}


def test_a_prefix_that_two_links_have_is_taken_by_address() -> None:
    """A rule of the prefix would catch the other link's traffic, also that of the primary."""
    slaac = [("2001:db8::1/64", 0), ("2001:db8::2/64", 0)]
    both = [have("eth0", 2, slaac[0]), have("eth1", 3, slaac[1])]
    routes = [route("2001:db8::/64", "@2"), route("2001:db8::/64", "@3")]

    assert sources(plan(both, routes), 3) == ["2001:db8::2/128"]
    other = [have("eth0", 2, "2001:db8:7::1/64"), both[1]]
    assert sources(plan(other, routes[1:]), 3) == ["2001:db8::/64"]


def test_addresses_that_ipv6_makes_are_taken_by_prefix() -> None:
    """However many temporary ones come and go, and only those: DHCP and static ones by themselves."""
    made = [(f"2001:db8::{n}/64", 0) for n in range(1, 5)]
    links = [ETH0, have("eth1", 3, *made, "2001:db8:5::1/64", ("2001:db8::99/128", 0))]
    routes = [route("2001:db8::/64", "@3"), route("2001:db8:5::/64", "@3")]

    found = plan([*links, have("eth2", 4, "2001:db8:9::1/64")], routes)
    assert sources(found, 3) == ["2001:db8:5::1/128", "2001:db8::/64", "2001:db8::99/128"]
    whole = plan([*links, have("eth2", 4, "2001:db8:9::1/64")], routes, sources="address")
    assert len(sources(whole, 3)) == 6


def test_addresses_by_their_state() -> None:
    """Deprecated and tentative ones have rules; failed, link-local and loopback ones have none."""
    links = [
        have("eth0", 2, "2001:db8:9::1/64"),
        have(
            "eth1", 3, "2001:db8::1/64", ("2001:db8::2/64", IFA_F_DEPRECATED | IFA_F_PERMANENT),
            ("2001:db8::3/64", IFA_F_TENTATIVE | IFA_F_PERMANENT), ("2001:db8::4/64", IFA_F_DADFAILED),
            "fe80::1/64", "127.0.0.9/8", "169.254.1.1/16", "10.0.1.1/24",
        ),
        have("eth2", 4, "169.254.2.2/16"),
    ]  # fmt: skip

    found = plan(links, [])
    assert [each for each in sources(found, 3) if ":" in each] == [
        "2001:db8::1/128", "2001:db8::2/128", "2001:db8::3/128",
    ]  # fmt: skip
    assert [each for each in sources(found, 3) if ":" not in each] == ["10.0.1.1/32"]


def test_small_subnets_and_peers() -> None:
    """What main says of a link without a gateway is connected to it, whatever its length."""
    found = plan(
        [have("eth0", 2, "10.0.0.1/24", "2001:db8:7::1/64"), have("eth1", 3, "192.0.2.2/31", "2001:db8::2/127", "192.0.2.9/32")],
        [
            route("192.0.2.2/31", "@3"), route("2001:db8::2/127", "@3"), route("192.0.2.8/32", "@3"),
            route("198.51.100.0/24", "192.0.2.3@3"), route("fe80::/64", "@3"),
        ],
    )  # fmt: skip

    connected = {each.destination for each in found.routes if each.table == 21003}
    assert connected == {"192.0.2.2/31", "192.0.2.8/32", "2001:db8::2/127"}
    assert sources(found, 3)[0] == "192.0.2.2/32"


def test_a_renamed_link() -> None:
    """Rules that name a link follow its name."""
    for name in ("eth1", "eth7"):
        found = plan([ETH0, have(name, 3, "10.0.1.1/24")], [], bind_device=True)
        assert {each.oifname for each in found.rules if each.priority == 21503} == {"", name}


def test_links_that_have_nothing() -> None:
    """A link that is down, without carrier, enslaved, without a usable address, or lo: and why."""
    links = [
        ETH0, ETH1,
        have("eth2", 4, "10.0.2.1/24", up=False), have("eth3", 5, "10.0.3.1/24", carrier=False),
        have("eth4", 6, "10.0.4.1/24", master=9), have("eth5", 7),
        have("eth6", 8, ("10.0.6.1/24", IFA_F_TENTATIVE)),
        have("lo", 1, "203.0.113.5/32", flags=0x8),
    ]  # fmt: skip

    found = plan(links, [], families=("ipv4",), interfaces=Patterns(("eth*", "lo")))
    assert reasons(found) == {
        "eth2": "it is down", "eth3": "it has no carrier", "eth4": "it is enslaved",
        "eth5": "it has no usable address", "eth6": "it has no usable address",
    }  # fmt: skip
    assert {each.source for each in found.rules} == {"", "10.0.0.1/32", "10.0.1.1/32"}
    tunnel = have("tun0", 9, "10.7.0.1/24", carrier=False, operstate=0, kind="tun")
    found = plan([ETH0, tunnel], [], interfaces=Patterns(("eth0", "tun0")), families=("ipv4",))
    assert reasons(found) == {}  # a tunnel has no carrier to tell


def test_links_by_name_and_glob() -> None:
    """A glob means hardware; what is named is meant, whatever it is; the last pattern decides."""
    links = [
        ETH0,
        ETH1,
        have("eth0.5", 4, "10.0.5.1/24", kind="vlan"),
        have("eth9", 5, "10.0.9.1/24"),
    ]

    def names(*patterns: str) -> set[str]:
        found = plan(links, [], interfaces=Patterns(patterns), families=("ipv4",))
        return {each.name for each in found.links if each.sources}

    assert names("eth*") == {"eth0", "eth1", "eth9"}
    assert names("eth*", "eth0.5", "!eth9") == {"eth0", "eth1", "eth0.5"}


def test_the_primary_is_left_out() -> None:
    """The one link with the best default of main has nothing; of several none is the primary."""
    routes = [route(ANY4, "10.0.0.9@2", metric=5), route(ANY4, "10.0.1.9@3", metric=6)]
    found = plan([ETH0, ETH1], routes, primary="skip", families=("ipv4",))
    assert reasons(found) == {"eth0": "it is the primary: main has its default route"}
    same = [route(ANY6, "fe80::1@2", metric=5), route(ANY6, "fe80::1@3", metric=5)]
    six = [have("eth0", 2, "2001:db8::1/64"), have("eth1", 3, "2001:db8:1::1/64")]
    assert reasons(plan(six, same, primary="skip", families=("ipv6",))) == {}
    alone = plan([ETH0], routes[1:], primary="skip", families=("ipv4",))
    assert (alone.rules, alone.routes) == (frozenset(), frozenset())


def test_routers_are_asked_in_the_order_of_their_preference() -> None:
    """Router preferences become metrics, since equal metrics would share the traffic."""
    link1 = have("eth1", 3, "2001:db8::1/64")
    routes = [
        route(ANY6, f"fe80::{preference + 1}@3", metric=1024)._replace(preference=preference)
        for preference in (3, 0, 1)
    ]

    found = plan([have("eth0", 2, "2001:db8:1::1/64"), link1], routes)
    assert defaults(found, 3) == [("fe80::2", 1024), ("fe80::1", 1025), ("fe80::4", 1026)]


def test_a_default_of_several_ways() -> None:
    """Each link gets its own ways; metric 0 stays 0; with a nexthop object it is the same."""
    ways = (
        Nexthop(IfIndex(2), "10.0.0.9"),
        Nexthop(IfIndex(3), "10.0.1.8"),
        Nexthop(IfIndex(3), "10.0.1.9"),
    )
    several = route(ANY4)._replace(nexthops=ways, nexthop_id=7)

    found = plan([ETH0, ETH1], [several], primary="skip", families=("ipv4",))
    assert reasons(found) == {}
    assert defaults(found, 2) == [("10.0.0.9", 0)]
    assert defaults(found, 3) == [("10.0.1.8", 0), ("10.0.1.9", 1)]


def test_defaults_that_refuse() -> None:
    """An unreachable default is nobody's gateway; a strict link refuses by itself."""
    refusing = [route(ANY4, kind=7), route(ANY4, kind=6, table=77)]

    assert defaults(plan([ETH0, ETH1], refusing), 3) == []
    strict = plan([ETH0, ETH1], refusing, strict=True)
    assert {each.type for each in strict.routes if each.table == 21503} == {7}


def test_a_default_in_another_table() -> None:
    """It counts, after those of main; without one in main there is no primary."""
    routes = [route(ANY4, "10.0.1.8@3", table=77), route(ANY4, "10.0.0.9@2", table=78)]
    found = plan([ETH0, ETH1], routes, primary="skip", families=("ipv4",))
    assert reasons(found) == {}
    assert defaults(found, 3) == [("10.0.1.8", 0)]
    found = plan([ETH0, ETH1], [*routes, route(ANY4, "10.0.1.9@3", metric=5)])
    assert defaults(found, 3) == [("10.0.1.9", 5), ("10.0.1.8", 6)]


def test_a_thousand_addresses() -> None:
    """A rule in each tier for every one, and one plan."""
    many = have("eth1", 3, *[f"10.1.{n // 250}.{n % 250 + 1}/16" for n in range(1000)])

    found = plan([ETH0, many], [route("10.1.0.0/16", "@3")])
    assert len(found.rules) == 2 * 1000 + 2 + 1


def test_static_routes_stand_beside_the_default() -> None:
    """What goes by way of a gateway of the link is copied for marked traffic; a routing daemon's is not."""
    routes = [
        route("10.50.0.0/16", "10.0.1.254@3"), route("10.50.0.0/16", "10.0.0.254@2", metric=5),
        route("10.60.0.0/16", "10.0.1.254@3", protocol=186), route("10.50.0.0/16", "10.0.1.253@3", metric=9),
        route("10.70.0.0/16", "10.0.0.254@2", "10.0.1.254@3", protocol=3), route(ANY4, "10.0.1.1@3"),
    ]  # fmt: skip
    found = plan([ETH0, ETH1], routes)

    copied = {
        (each.table, each.destination, each.priority, each.nexthops[0].gateway)
        for each in found.routes
    }
    assert copied == {
        (21502, "10.50.0.0/16", 5, "10.0.0.254"), (21503, "10.50.0.0/16", 0, "10.0.1.254"),
        (21503, "10.50.0.0/16", 9, "10.0.1.253"), (21502, "10.70.0.0/16", 0, "10.0.0.254"),
        (21503, "10.70.0.0/16", 0, "10.0.1.254"), (21503, ANY4, 0, "10.0.1.1"),
    }  # fmt: skip


def test_marks_of_links() -> None:
    """The number of a slot in the bits of the mask; a link whose number does not fit has none."""
    assert [find_mark(0xFF00, slot) for slot in (1, 99, 100)] == [0x100, 0x6300, 0]
    assert [find_mark(0x3, slot) for slot in (3, 4)] == [3, 0]
    found = plan(
        [ETH0, ETH1], [], return_path="conntrack-mark", mark_mask=Mark(0xF0), families=("ipv4",)
    )
    marks = {(each.priority, each.mark, each.table) for each in found.rules if each.mask}
    assert marks == {(20902, 0x20, 21502), (20903, 0x30, 21503)}


def test_rules_of_the_configuration() -> None:
    """They are there without policy routing, and in both families where nothing says which."""
    rules = (FixedRule(20010, 200, iif="wg0"), FixedRule(20011, 200, "10.8.0.0/16"))  # type: ignore[arg-type]
    found = make_plan(Routing(rules=rules), Known([], [], {}))

    assert sorted((each.family, each.priority) for each in found.rules) == [
        (4, 20010), (4, 20011), (6, 20010),
    ]  # fmt: skip


def test_a_link_for_which_no_slot_is_left() -> None:
    """It has nothing, and the plan says so."""
    routing = Routing(Policy(enabled=True, primary="include", families=("ipv4",)))
    found = make_plan(routing, Known([ETH0, ETH1], [], {IfIndex(2): 1}))

    assert reasons(found) == {"eth1": "no slot is left"}
