"""Whatever is there and whatever is wanted: the difference makes one of the other, and then is empty."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from netevd.config.kinds import Mark
from netevd.config.schema import FixedRule, Policy, Routing
from netevd.core.policydifference import Difference, find_difference, open_ways
from netevd.core.policyplan import Known, Plan, get_ours, make_plan
from netevd.core.policyslots import assign, find_keys
from netevd.kernel.changes import make_request
from netevd.model.address import Address
from netevd.model.link import IFF_LOWER_UP, IFF_UP, IfIndex, Link
from netevd.model.route import Nexthop, Route, Table
from netevd.model.routing import AddRoute, AddRule, Change, DeleteRoute, DeleteRule
from netevd.model.rule import Rule
from netevd.model.snapshot import OperationalState, Snapshot
from privsep.launch import WritePolicy
from privsep.policy import Grant, State, judge
from privsep.protocol import REQUEST, Write, pack


class Kernel:
    """Rules and routes as the kernel keeps them: each identical one once, no owner but in its field."""

    def __init__(self, rules: frozenset[Rule], routes: frozenset[Route]) -> None:
        self.rules = set(rules)
        self.routes = set(routes)

    def apply(self, changes: tuple[Change, ...]) -> None:
        """Make these changes."""
        for change in changes:
            match change:
                case AddRule(rule=rule):
                    self.rules.add(rule)
                case DeleteRule(rule=rule):
                    self.rules.discard(rule)
                case AddRoute(route=route):
                    self.routes.add(route)
                case DeleteRoute(route=route):
                    self.routes.discard(route)

    def compare(self, plan: Plan, routing: Routing) -> Difference:
        """Return what is to be done about it."""
        return find_difference(plan, self.rules, self.routes, get_ours(routing))


names = st.sampled_from(["eth0", "eth1", "eth2", "br0"])
ips = {
    4: st.sampled_from(
        [f"10.0.{lan}.{host}" for lan in (0, 1) for host in (1, 2, 3)] + ["169.254.7.7"]
    ),
    6: st.sampled_from(
        [f"2001:db8:{lan}::{host}" for lan in (1, 2) for host in (1, 2)] + ["fe80::1"]
    ),
}


@st.composite
def addresses(draw: st.DrawFn, ifindex: int) -> Address:
    """Draw an address of a link."""
    family = draw(st.sampled_from([4, 6]))
    prefix = draw(st.sampled_from([24, 32] if family == 4 else [64, 128]))
    flags = draw(st.sampled_from([0, 0x80, 0x40, 0x48, 0x20]))
    return Address(IfIndex(ifindex), family, draw(ips[family]), prefix, 0, flags)


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[Snapshot, ...]:
    """Draw up to four links."""
    found = []
    for ifindex, name in enumerate(draw(st.lists(names, unique=True)), 2):
        flags = draw(st.sampled_from([IFF_UP | IFF_LOWER_UP] * 3 + [IFF_UP, 0]))
        master = IfIndex(draw(st.sampled_from([0, 0, 0, 99])))
        link = Link(IfIndex(ifindex), name, flags, 6, 1500, "", kind="veth", master=master)
        given_addresses = tuple(draw(st.lists(addresses(ifindex), max_size=4)))
        found.append(Snapshot(link, given_addresses, OperationalState.ROUTABLE))
    return tuple(found)


@st.composite
def routes(draw: st.DrawFn, tables: tuple[int, ...], protocols: tuple[int, ...]) -> Route:
    """Draw a route."""
    family = draw(st.sampled_from([4, 6]))
    lans = {4: ["0.0.0.0/0", "10.0.0.0/24"], 6: ["::/0", "2001:db8:1::/64"]}[family]
    kind = draw(st.sampled_from([1, 1, 1, 7]))
    hops = draw(st.lists(
        st.builds(Nexthop, st.integers(2, 5).map(IfIndex), st.sampled_from(["", "10.0.0.254", "fe80::fe"])),
        min_size=1, max_size=2, unique=True,
    ))  # fmt: skip
    return Route(
        family, Table(draw(st.sampled_from(tables))), draw(st.sampled_from(lans)),
        draw(st.sampled_from([0, 100, 1024])), kind, draw(st.sampled_from(protocols)), 0,
        () if kind == 7 else tuple(sorted(hops)),
    )  # fmt: skip


rules = st.builds(
    lambda family, priority, table, source, protocol: Rule(
        family, priority, 1, Table(table), source, protocol=protocol
    ),
    st.sampled_from([4, 6]),
    st.sampled_from([0, 5270, 20010, 21001, 21400, 21501, 32766]),
    st.sampled_from([52, 254, 21001, 21501]),
    st.sampled_from(["", "10.0.0.1/32", "2001:db8:1::/64"]),
    st.sampled_from([0, 3, 110, 111]),
)

routings = st.builds(
    Routing,
    st.builds(
        Policy,
        enabled=st.sampled_from([True, True, True, False]),
        primary=st.sampled_from(["skip", "include"]),
        sources=st.sampled_from(["auto", "address", "prefix"]),
        bind_device=st.booleans(),
        strict=st.booleans(),
        return_path=st.sampled_from(["off", "conntrack-mark"]),
        mark_mask=st.just(Mark(0xF0)),
    ),
    st.sampled_from([(), (FixedRule(20010, 52, "10.0.0.1/32"),)]),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Routing, Plan, Kernel]:
    """Draw what is wanted and what is there."""
    routing, links = draw(routings), draw(snapshots())
    known = draw(st.lists(routes((254, 100), (2, 4, 9)), max_size=6))
    _, numbers = assign((), find_keys(each.link for each in links), {}, 0)
    plan = make_plan(routing, Known(links, known, numbers))
    there = draw(st.lists(routes((21001, 21501, 21502, 254), (4, 110)), max_size=6))
    some_rules = (
        draw(st.sets(st.sampled_from(sorted(plan.rules, key=repr)))) if plan.rules else set()
    )
    some_routes = draw(st.sets(st.sampled_from(sorted(plan.routes)))) if plan.routes else set()
    foreign = (
        {evolve(each, protocol=3) for each in some_rules} if draw(st.booleans()) else some_rules
    )
    return (
        routing, plan,
        Kernel(draw(st.frozensets(rules, max_size=5)) | foreign, frozenset(there) | some_routes),
    )  # fmt: skip


@given(situations(), st.integers(0, 40))
def test_the_difference_makes_the_kernel_what_is_wanted(
    situation: tuple[Routing, Plan, Kernel], survived: int
) -> None:
    """
    After all changes, also after a crash between any two of them, ours is the plan, but for what
    others stand in the way of or have made already; theirs is as it was; nothing is left to do.
    """
    routing, plan, kernel = situation
    ours = get_ours(routing)
    others = (
        {r for r in kernel.rules if not ours.has_rule(r)},
        {r for r in kernel.routes if not ours.has_route(r)},
    )

    kernel.apply(kernel.compare(plan, routing).changes[:survived])
    difference = kernel.compare(plan, routing)
    kernel.apply(difference.changes)
    for route in [each for each in kernel.routes if ours.has_route(each)]:
        kernel.routes.discard(route)
        kernel.routes |= {way for way in open_ways(route) if way in plan.routes}

    assert others[0] == {r for r in kernel.rules if not ours.has_rule(r)}
    assert others[1] == {r for r in kernel.routes if not ours.has_route(r)}
    made_by_others = {evolve(r, protocol=ours.protocol) for r in others[0]}
    assert {r for r in kernel.rules if ours.has_rule(r)} | (
        plan.rules & made_by_others
    ) == plan.rules
    blocked = {each for each, _ in difference.blocked}
    same = {r._replace(protocol=ours.protocol, scope=s) for r in others[1] for s in (0, 253)}
    present = {r for r in kernel.routes if ours.has_route(r)}
    assert present | blocked | (plan.routes & same) == plan.routes
    assert kernel.compare(plan, routing).changes == ()


@given(situations())
def test_no_rule_leads_into_a_table_that_is_not_filled_yet(
    situation: tuple[Routing, Plan, Kernel],
) -> None:
    """In the order of changes, a table has all of its routes before a rule leads there."""
    _, plan, _ = situation
    kernel = Kernel(frozenset(), frozenset())
    for change in find_difference(plan, (), (), get_ours(Routing())).changes:
        if isinstance(change, AddRule):
            assert kernel.routes == plan.routes
        kernel.apply((change,))
    empty = find_difference(Plan(), kernel.rules, kernel.routes, get_ours(Routing())).changes
    kinds = [type(each) for each in empty]
    assert kinds == sorted(kinds, key=[DeleteRule, DeleteRoute].index)


@given(situations())
def test_no_number_means_two_links(situation: tuple[Routing, Plan, Kernel]) -> None:
    """Every route of a table of ours leads over one and the same link."""
    _, plan, _ = situation
    links: dict[int, set[int]] = {}
    for route in plan.routes:
        assert len(route.nexthops) <= 1
        links.setdefault(route.table, set()).update(hop.ifindex for hop in route.nexthops)
    assert all(len(found) <= 1 for found in links.values())
    keys = [(r.family, r.table, r.destination, r.priority) for r in plan.routes]
    assert len(keys) == len(set(keys))


@given(situations())
def test_the_helper_grants_all_that_is_ever_asked_for(
    situation: tuple[Routing, Plan, Kernel],
) -> None:
    """What it takes for nonsense ends the worker: so no plan may lead there, whatever the kernel has."""
    routing, plan, kernel = situation
    policy = routing.policy
    marks = policy.mark_mask if policy.return_path == "conntrack-mark" else 0
    writes = WritePolicy(True, policy.protocol, policy.base, marks)
    changes = kernel.compare(plan, routing).changes
    for change in changes:
        request = REQUEST.unpack(pack(Write([make_request(change)])))
        assert isinstance(judge(request, State(greeted=True), writes, 0.0), Grant)
