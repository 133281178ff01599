"""Plans become what the kernel has, and the kernel then has nothing that differs."""

from __future__ import annotations

import pytest
from attrs import evolve

from netevd.config.kinds import Mark, Patterns
from netevd.config.schema import FixedRule, Policy, Routing
from tests.boundary.conftest import namespace
from tests.kernel.policyrig import Reconciler, ip, look

__all__ = ["namespace"]

pytestmark = pytest.mark.usefixtures("namespace")


def policy(**settings: object) -> Routing:
    """Return the section routing with policy enabled and these settings."""
    return Routing(Policy(enabled=True, **settings))  # type: ignore[arg-type]


def make_uplinks(*more: str) -> None:
    """Make eth0 and eth1 with two families each; eth0 is the primary."""
    ip(
        "link set lo up",
        "link add name eth0 type veth peer name p0",
        "link add name eth1 type veth peer name p1",
        *[f"link set {name} addrgenmode none" for name in ("eth0", "eth1", "p0", "p1")],
        *[f"link set {name} up" for name in ("eth0", "eth1", "p0", "p1")],
        "addr add 10.0.0.1/24 dev eth0",
        "addr add 10.0.1.1/24 dev eth1",
        "addr add 2001:db8::1/64 dev eth0 nodad",
        "addr add 2001:db8:1::1/64 dev eth1 nodad",
        "route add default via 10.0.0.254 dev eth0 metric 100",
        "route add default via 10.0.1.254 dev eth1 metric 200",
        "route add default via 2001:db8::fe dev eth0 metric 100",
        "route add default via fe80::fe dev eth1 metric 200",
        *more,
    )


VARIANTS = {
    "plain": policy(),
    "include": policy(primary="include"),
    "prefix": policy(sources="prefix", primary="include"),
    "bound": policy(bind_device=True),
    "marks": policy(return_path="conntrack-mark", mark_mask=Mark(0xFF00)),
    "strict": policy(strict=True, interfaces=Patterns(("eth*", "tun0"))),
    "elsewhere": policy(base=5000, protocol=99),
    "fixed": Routing(
        rules=(
            FixedRule(20010, 200, "10.8.0.0/16", "", "eth0", None, (0x10, 0xFF), "ipv4"),
            FixedRule(20011, 254, "", "2001:db8:7::/48", None, "eth1"),
            FixedRule(20012, 300, "", "", None, None, (0, 0xF0)),
        )
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_second_pass_finds_nothing_to_do(name: str) -> None:
    """Whatever is configured is written without an error, and is then exactly what is there."""
    make_uplinks()
    reconciler = Reconciler(VARIANTS[name])

    plan, difference = reconciler.plan()
    assert len(difference.changes) == len(plan.rules) + len(plan.routes) > 0
    assert not any(reconciler.reconcile())
    assert reconciler.plan()[1].changes == ()


def test_everything_of_ours_goes_and_nothing_else() -> None:
    """Switched off again, the kernel has the rules and routes of before, to the last one."""
    make_uplinks(
        "rule add from 10.9.0.0/16 table 77 priority 21001",
        "route add 10.9.0.0/16 dev eth1 table 21001",
    )
    before = look()[1:]
    reconciler = Reconciler(policy())
    reconciler.reconcile()
    assert look()[1:] != before

    reconciler.routing = evolve(
        reconciler.routing, policy=evolve(reconciler.routing.policy, enabled=False)
    )
    assert not any(reconciler.reconcile())
    assert look()[1:] == before


def test_a_gateway_that_changes_leaves_the_old_one_nowhere() -> None:
    """A new gateway of the same metric takes the place of the old one, of both families."""
    make_uplinks()
    reconciler = Reconciler(policy())
    reconciler.reconcile()

    ip(
        "route replace default via 10.0.1.253 dev eth1 metric 200",
        "route del default via fe80::fe dev eth1 metric 200",
        "route add default via fe80::fd dev eth1 metric 200",
    )
    assert not any(reconciler.reconcile())
    assert reconciler.plan()[1].changes == ()
    defaults = {r.nexthops[0].gateway for r in look()[1] if r.table == 21502}
    assert defaults == {"10.0.1.253", "fe80::fd"}


def test_a_router_of_the_other_family() -> None:
    """An IPv4 default by way of an IPv6 router (RFC 5549) is copied as it is."""
    make_uplinks(
        "route del default dev eth1", "route add 0.0.0.0/0 via inet6 fe80::fe dev eth1 metric 200"
    )
    reconciler = Reconciler(policy())

    assert not any(reconciler.reconcile())
    assert reconciler.plan()[1].changes == ()
    assert "fe80::fe" in {
        r.nexthops[0].gateway for r in look()[1] if r.table == 21502 and r.family == 4
    }


def test_an_address_without_a_subnet() -> None:
    """The gateway of a /32 lies in no subnet; it is on the link all the same."""
    make_uplinks()
    ip("addr flush dev eth1", "addr add 192.0.2.7/32 dev eth1")
    ip("route add 192.0.2.1 dev eth1", "route add default via 192.0.2.1 dev eth1 onlink metric 200")
    reconciler = Reconciler(policy())

    assert not any(reconciler.reconcile())
    found = [r for r in look()[1] if r.table == 21502 and r.family == 4]
    assert [(r.nexthops[0].gateway, r.nexthops[0].flags) for r in found] == [("192.0.2.1", 4)]


def test_whatever_has_our_number_goes() -> None:
    """Rules and routes with our number in our range, of any shape that others gave them, are removed."""
    make_uplinks(
        "rule add from 10.0.0.0/8 iif eth0 table 52 priority 21001 protocol 110",
        "rule add from all oif eth1 lookup 254 priority 21888 protocol 110",
        "route add blackhole 10.5.0.0/16 table 21777 proto 110",
        "route add throw 10.6.0.0/16 table 21777 proto 110 metric 5",
        "route add prohibit 2001:db8:5::/48 table 21777 proto 110",
        "route add 10.7.0.0/16 table 21777 proto 110 nexthop via 10.0.0.7 nexthop via 10.0.1.7",
        "route add 2001:db8:6::/48 table 21777 proto 110 nexthop via fe80::7 dev eth0 nexthop via fe80::8 dev eth1",
        "route add 10.8.0.0/16 dev eth1 table 21777 proto 110 src 10.0.1.1 mtu 1400",
    )
    reconciler = Reconciler(Routing())

    assert set(reconciler.reconcile()) == {0, 3}  # all ways of an IPv4 route go at once
    assert reconciler.plan()[1].changes == ()
    assert not [each for each in look()[1] if each.protocol == 110]
