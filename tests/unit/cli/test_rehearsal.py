"""The event that a test run is told of."""

from __future__ import annotations

import pytest

from netevd.cli.trials.rehearsal import read_snapshots, rehearse
from netevd.config.schema import Routes
from netevd.model.address import RT_SCOPE_LINK, RT_SCOPE_UNIVERSE, Address
from netevd.model.event import EventType
from netevd.model.inputs import AddressSeen, Input, LinkSeen, RoutesDumped
from netevd.model.link import IFF_LOWER_UP, IFF_RUNNING, IFF_UP, IfIndex, Link
from netevd.model.route import Nexthop, Route, Table
from netevd.model.snapshot import OperationalState

ETH0 = IfIndex(7)
CARRIER = IFF_UP | IFF_RUNNING | IFF_LOWER_UP


def _link(ifindex: int, name: str, master: int = 0) -> LinkSeen:
    link = Link(
        IfIndex(ifindex), name, CARRIER, 6, 1500, "02:00:00:00:00:01", master=IfIndex(master)
    )
    return LinkSeen(link, 1)


def _address(ip: str, scope: int = RT_SCOPE_UNIVERSE, ifindex: IfIndex = ETH0) -> AddressSeen:
    return AddressSeen(Address(ifindex, 6 if ":" in ip else 4, ip, 24, scope, 0), 1)


NETWORK: list[Input] = [
    _link(9, "br0"), _link(7, "eth0"), _link(8, "eth1", master=9),
    _address("fe80::1", RT_SCOPE_LINK), _address("10.0.0.1"), _address("10.0.0.2"),
]  # fmt: skip


def _ips(snapshot: object) -> list[str]:
    return [address.ip for address in snapshot.addresses]  # type: ignore[attr-defined]


def test_links_are_known_as_the_daemon_knows_them() -> None:
    """Snapshots come in order of ifindex, with addresses, state and master."""
    eth0, eth1, br0 = read_snapshots(NETWORK)

    assert (eth0.link.name, eth0.state) == ("eth0", OperationalState.ROUTABLE)
    assert _ips(eth0) == ["10.0.0.1", "10.0.0.2", "fe80::1"]
    assert (eth1.state, eth1.master_name) == (OperationalState.ENSLAVED, "br0")
    assert br0.link.name == "br0"


@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_can_be_rehearsed(kind: EventType) -> None:
    """Each type gives an event of that type, of the link asked for, with number 1."""
    event = rehearse(NETWORK, ETH0, kind, 5, Routes())

    assert (event.type, event.sequence, event.time_ns) == (kind, 1, 5)
    assert event.after.link.name == "eth0"
    assert not event.initial


def test_state_is_that_of_a_link_that_has_just_appeared() -> None:
    """Nothing is invented about the time before: there is no snapshot of it."""
    event = rehearse(NETWORK, ETH0, EventType.CARRIER, 0, Routes())

    assert event.before is None
    assert event.after.state is OperationalState.ROUTABLE


def test_removed_link_has_lost_its_addresses() -> None:
    """As the daemon tells it: after without addresses, before with them."""
    event = rehearse(NETWORK, ETH0, EventType.LINK_REMOVED, 0, Routes())

    assert event.before is not None
    assert _ips(event.before) == ["10.0.0.1", "10.0.0.2", "fe80::1"]
    assert _ips(event.after) == []


def test_added_address_is_the_widest_and_was_not_there() -> None:
    """A global address is preferred to a link-local one that stands before it."""
    event = rehearse(NETWORK, ETH0, EventType.ADDRESS_ADDED, 0, Routes())

    assert event.address is not None and event.before is not None
    assert event.address.ip == "10.0.0.1"
    assert "10.0.0.1" in _ips(event.after)
    assert _ips(event.before) == ["10.0.0.2", "fe80::1"]


def test_removed_address_is_not_there_after() -> None:
    """The last global address takes the state routable with it."""
    inputs = [each for each in NETWORK if each != _address("10.0.0.2")]
    event = rehearse(inputs, ETH0, EventType.ADDRESS_REMOVED, 0, Routes())

    assert event.address is not None and event.before is not None
    assert _ips(event.before) == ["10.0.0.1", "fe80::1"]
    assert _ips(event.after) == ["fe80::1"]
    assert event.before.state is OperationalState.ROUTABLE
    assert event.after.state is OperationalState.DEGRADED


def test_only_address_may_be_link_local() -> None:
    """Where there is nothing wider, the address that there is does."""
    inputs: list[Input] = [_link(7, "eth0"), _address("fe80::1", RT_SCOPE_LINK)]

    event = rehearse(inputs, ETH0, EventType.ADDRESS_USABLE, 0, Routes())

    assert event.address is not None
    assert event.address.ip == "fe80::1"


def test_link_without_addresses_has_no_subject() -> None:
    """An address event of such a link tells of none, and does not fail."""
    event = rehearse([_link(7, "eth0"), _address("10.0.0.9", ifindex=IfIndex(3))], ETH0,
                     EventType.ADDRESS_REMOVED, 0, Routes())  # fmt: skip

    assert event.address is None
    assert event.before is None


def test_routes_and_gateways_are_those_of_the_link() -> None:
    """An event of a route is of the default one, and the gateways of the link are known."""
    main, other = Table(254), Table(77)
    routes = (
        Route(4, main, "10.0.0.0/24", 0, 1, 2, 253, (Nexthop(ETH0),)),
        Route(4, other, "10.9.0.0/16", 0, 1, 4, 0, (Nexthop(ETH0, "10.0.0.8"),)),
        Route(6, main, "::/0", 0, 1, 9, 0, (Nexthop(ETH0, "fe80::9"),)),
        Route(4, main, "0.0.0.0/0", 0, 1, 4, 0, (Nexthop(IfIndex(8), "10.1.0.9"),)),
    )
    inputs = [*NETWORK, RoutesDumped(routes, 1)]

    event = rehearse(inputs, ETH0, EventType.ROUTES, 0, Routes())
    assert event.route == routes[2]
    assert event.after is not None
    assert event.after.gateways == ("fe80::9",)
    assert event.family == 6
    changed = rehearse(inputs, ETH0, EventType.GATEWAY_CHANGED, 0, Routes())
    assert changed.family == 6
    assert rehearse(inputs, IfIndex(9), EventType.ROUTES, 0, Routes()).route is None
