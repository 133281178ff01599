"""Routes: what is told of them, of which link, and when the kernel has to be asked again."""

from __future__ import annotations

import pytest

from netevd.config.kinds import Protocols, Tables
from netevd.config.schema import Configuration, Routes
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    HooksListed,
    RouteGone,
    RoutesDumped,
    RoutesDumpEnded,
    RouteSeen,
)
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, Play, hooks, route, seen
from tests.stories.routing import ANY, LAN, begin, last


def test_the_start_waits_for_routes(play: Play) -> None:
    """Links are announced when their gateways are known; routes that are there are not told."""
    story = play(configure(routes=Routes()))
    story >> HelperConnected() << "dump 1\ndump 1 of routes 4 6"
    story.fill(seen("eth0", 2, dump=1))
    story >> DumpEnded(1, consistent=True) << NOTHING
    story >> RoutesDumped((route(ANY, "10.0.0.1@2"),), 1) << NOTHING
    story >> RoutesDumpEnded(1, consistent=True) << "1 eth0 carrier initial\nready"
    assert story.events[0].after is not None
    assert story.events[0].after.gateways == ("10.0.0.1",)


def test_routes_that_cant_be_read_hold_up_nobody(play: Play) -> None:
    """A first dump in vain is enough: links are announced; gateways are told when they are known."""
    story = play(configure(routes=Routes()))
    story.fill(HelperConnected(), seen("eth0", 2, dump=1), DumpEnded(1, consistent=True))

    expected = "1 eth0 carrier initial\nready\ndump 2 of routes 4 6"
    story >> RoutesDumpEnded(1, consistent=False) << expected
    story >> RoutesDumped((route(ANY, "10.0.0.1@2"), route(LAN, "@2")), 2) << NOTHING
    story >> RoutesDumpEnded(2, consistent=True) << "2 eth0 gateway-changed 4 10.0.0.1"


def test_a_route_comes_and_goes(play: Play) -> None:
    """Each change is one event of the link; a repetition is none."""
    story = begin(play)
    lan = route(LAN, "10.9.9.9@2")

    story >> RouteSeen(lan) << "3 eth0 routes new 10.0.0.0/8 via 10.9.9.9 dev 2 proto static"
    story >> RouteSeen(lan) << NOTHING
    story >> RouteGone(lan) << "4 eth0 routes del 10.0.0.0/8 via 10.9.9.9 dev 2 proto static"
    story >> RouteGone(lan) << NOTHING


def test_a_replacement_is_del_then_new(play: Play) -> None:
    """The old route is told as gone before the new one; the same again is no change."""
    story = begin(play, route(LAN, "10.9.9.1@2"))

    (
        story
        >> RouteSeen(route(LAN, "10.9.9.2@3"), replace=True)
        << """
        3 eth0 routes del 10.0.0.0/8 via 10.9.9.1 dev 2 proto static
        4 eth1 routes new 10.0.0.0/8 via 10.9.9.2 dev 3 proto static
    """
    )
    story >> RouteSeen(route(LAN, "10.9.9.2@3"), replace=True) << NOTHING


def test_another_metric_is_another_route(play: Play) -> None:
    """A replacement concerns only routes of the same metric."""
    story = begin(play, route(LAN, "10.9.9.1@2", metric=5))

    expected = "3 eth0 routes new 10.0.0.0/8 via 10.9.9.2 dev 2 proto static"
    story >> RouteSeen(route(LAN, "10.9.9.2@2"), replace=True) << expected
    assert len(list(story.engine.insight.get_routes())) == 2


def test_a_replacement_among_several_asks_the_kernel(play: Play) -> None:
    """Which of several was replaced is guessed, and a dump tells."""
    one, two, three = (route(LAN, f"10.9.9.{n}@2") for n in (1, 2, 3))
    story = begin(play, one, two)

    (
        story
        >> RouteSeen(three, replace=True)
        << """
        3 eth0 routes del 10.0.0.0/8 via 10.9.9.1 dev 2 proto static
        4 eth0 routes new 10.0.0.0/8 via 10.9.9.3 dev 2 proto static
        dump 2 of routes 4
    """
    )
    story >> RoutesDumped((one, three), 2) << NOTHING
    (
        story
        >> RoutesDumpEnded(2, consistent=True)
        << """
        5 eth0 routes del 10.0.0.0/8 via 10.9.9.2 dev 2 proto static
        6 eth0 routes new 10.0.0.0/8 via 10.9.9.1 dev 2 proto static
    """
    )


def test_ways_of_ipv6_join_and_leave(play: Play) -> None:
    """IPv6 names all ways when one joins, and only the one that leaves."""
    lan = "2001:db8:1::/48"
    one, two = route(lan, "fe80::1@2"), route(lan, "fe80::2@3")
    both = one._replace(nexthops=one.nexthops + two.nexthops)
    story = begin(play, one)

    story.fill(RouteSeen(both))
    assert list(story.engine.insight.get_routes()) == [both]
    (
        story
        >> RouteGone(one)
        << """
        5 eth0 routes del 2001:db8:1::/48 nexthop via fe80::1 dev 2 nexthop via fe80::2 dev 3 proto static
        6 eth1 routes new 2001:db8:1::/48 via fe80::2 dev 3 proto static
    """
    )
    story >> RouteGone(two) << "7 eth1 routes del 2001:db8:1::/48 via fe80::2 dev 3 proto static"


def test_whose_a_route_is(play: Play) -> None:
    """The first watched link it leads over, the host for none; over others it is known, not told."""
    story = begin(play, links=("eth1",))

    (
        story
        >> RouteSeen(route(LAN, "@2", "@3"))
        << ("2 eth1 routes new 10.0.0.0/8 nexthop dev 2 nexthop dev 3 proto static")
    )
    story >> RouteSeen(route("10.1.0.0/16", "@2")) << NOTHING
    (
        story
        >> RouteSeen(route("10.2.0.0/16", kind=6))
        << ("3 host routes new blackhole 10.2.0.0/16 proto static")
    )
    (
        story
        >> RouteSeen(route("2001:db8::/48", "@1", kind=7))
        << ("4 host routes new unreachable 2001:db8::/48 dev 1 proto static")
    )
    assert len(list(story.engine.insight.get_routes())) == 4


def test_routes_of_netevd_are_not_told(play: Play) -> None:
    """
    What netevd writes, by protocol number and table, is known and fires nothing, and makes no
    gateway; the same number elsewhere is somebody else's.
    """
    story = begin(play)

    story >> RouteSeen(route(ANY, "10.0.0.1@2", table=21501, protocol=110)) << NOTHING
    assert len(list(story.engine.insight.get_routes())) == 1
    assert story.engine.insight.get_snapshots()[0].gateways == ()
    (
        story
        >> RouteSeen(route(LAN, "@2", protocol=110))
        << "3 eth0 routes new 10.0.0.0/8 dev 2 proto 110"
    )


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (Routes(), {"main", "default"}),
        (Routes(default_routes=False), {"main"}),
        (Routes(tables=Tables(("77",))), {"default"}),
        (Routes(tables=Tables(("300",)), default_routes=False), {"other"}),
        (Routes(tables=Tables(("all",))), {"main", "default", "other"}),
        (Routes(tables=Tables(("all",)), protocols=Protocols(("dhcp", "2"))), {"other"}),
    ],
)
def test_which_routes_are_known(play: Play, settings: Routes, wanted: set[str]) -> None:
    """Tables, default routes and protocols choose, for events and for dumps alike."""
    routes = {
        "main": route(LAN, "@2"),
        "default": route(ANY, "10.0.0.1@2", table=77),
        "other": route(LAN, "@2", table=300, protocol=16),
    }
    story = begin(play, *routes.values(), settings=settings)
    known = {
        name for name, each in routes.items() if each in set(story.engine.insight.get_routes())
    }
    assert known == wanted

    story = begin(play, settings=settings).fill(*(RouteSeen(each) for each in routes.values()))
    known = {
        name for name, each in routes.items() if each in set(story.engine.insight.get_routes())
    }
    assert known == wanted


def test_a_replacement_by_what_is_not_wanted(play: Play) -> None:
    """A route of another protocol that takes the place of one that is known makes it go."""
    settings = Routes(protocols=Protocols(("dhcp",)))
    story = begin(play, route(LAN, "@2", protocol=16), settings=settings)

    (
        story
        >> RouteSeen(route(LAN, "@3", protocol=4), replace=True)
        << ("3 eth0 routes del 10.0.0.0/8 dev 2 proto dhcp")
    )
    assert list(story.engine.insight.get_routes()) == []


def test_no_routes_at_all(play: Play) -> None:
    """Without tables and default routes nothing is ever asked for."""
    settings = Routes(tables=Tables(()), default_routes=False)
    story = play(configure(routes=settings))
    story >> HelperConnected() << "dump 1"
    story >> DumpEnded(1, consistent=True) << "ready"


class TestGateways:
    """gateway-changed, and what a script is told of gateways."""

    def test_a_gateway_changes(self, play: Play) -> None:
        """The one that is used counts: the main table, then the lowest metric."""
        story = begin(play)
        first, better = route(ANY, "10.0.0.1@2", metric=100), route(ANY, "10.0.0.2@2", metric=50)

        (
            story
            >> RouteSeen(first)
            << """
            3 eth0 routes new default via 10.0.0.1 dev 2 proto static metric 100
            4 eth0 gateway-changed 4 10.0.0.1
        """
        )
        (
            story
            >> RouteSeen(better)
            << """
            5 eth0 routes new default via 10.0.0.2 dev 2 proto static metric 50
            6 eth0 gateway-changed 4 10.0.0.2
        """
        )
        story.fill(RouteSeen(route(ANY, "10.0.0.3@2", table=77)))
        assert story.events[-1].type == "routes"
        (
            story
            >> RouteGone(better)
            << """
            8 eth0 routes del default via 10.0.0.2 dev 2 proto static metric 50
            9 eth0 gateway-changed 4 10.0.0.1
        """
        )

    def test_families_are_told_apart(self, play: Play) -> None:
        """Each family has its own gateway and its own event."""
        story = begin(play, route(ANY, "10.0.0.1@2"))

        story.fill(RouteSeen(route("::/0", "fe80::1@2")))
        assert (story.events[-1].type, story.events[-1].family) == ("gateway-changed", 6)
        assert story.events[-1].after is not None
        assert story.events[-1].after.gateways == ("10.0.0.1", "fe80::1")

    def test_a_default_route_without_a_gateway(self, play: Play) -> None:
        """A default route on the link itself, or one that refuses, has no gateway."""
        story = begin(play)

        story >> RouteSeen(route(ANY, "@2")) << "3 eth0 routes new default dev 2 proto static"
        (
            story
            >> RouteSeen(route("::/0", "fe80::1@2", kind=7))
            << ("4 host routes new unreachable default via fe80::1 dev 2 proto static")
        )

    def test_variables(self, play: Play) -> None:
        """Scripts of routes and of gateways are told the route, and the gateways of the link."""
        story = begin(play, route("::/0", "fe80::1@2"))
        story.with_scripts("/etc/netevd/routes.d/a", "/etc/netevd/gateway-changed.d/b")

        story.fill(RouteSeen(route(ANY, "10.0.0.1@2", metric=7, protocol=16)))
        first = dict(next(each.values for each in story.actions if hasattr(each, "values")))

        assert {
            name: value
            for name, value in first.items()
            if name.startswith("NETEVD_") and name not in {"NETEVD_TIME", "NETEVD_SEQUENCE"}
        } == {
            "NETEVD_EVENT": "routes",
            "NETEVD_FAMILY": "ipv4",
            "NETEVD_PREVIOUS_STATE": "carrier",
            "NETEVD_DESTINATION": "0.0.0.0/0",
            "NETEVD_GATEWAY": "10.0.0.1",
            "NETEVD_GATEWAY6": "fe80::1",
            "NETEVD_METRIC": "7",
            "NETEVD_PROTOCOL": "dhcp",
            "NETEVD_TABLE": "254",
        }
        assert (first["EVENT"], first["STATE"], first["LINK"]) == ("new", "routes", "eth0")

    def test_variables_of_the_host(self, play: Play) -> None:
        """An event without a link has no LINK, and what is there is of its type."""
        story = begin(play).with_scripts("/etc/netevd/routes.d/a")

        story.fill(RouteSeen(route("10.2.0.0/16", kind=6)))

        values = story.get_values()
        assert "LINK" not in values
        assert "LINKINDEX" not in values
        assert values["ADDRESSES"] == ""
        assert '"interface":null' in values["JSON"]


def test_scripts_of_routes(play: Play) -> None:
    """Scripts of the host have a lane of their own, beside those of links."""
    story = begin(play)
    story.fill(HooksListed(hooks("/etc/netevd/routes.d/a")))

    story.fill(RouteSeen(route("10.2.0.0/16", kind=6)), RouteSeen(route(LAN, "@2")))

    assert last(story)[-1] == "start 2: /etc/netevd/routes.d/a for 4"


class TestMemory:
    """What is written before anything is done about a route."""

    def test_what_nobody_hears_of_waits_for_what_is_told(self, play: Play) -> None:
        """Routes over a link that is not watched cost no record each; all are in the next one, in order."""
        story = begin(play, links=("eth0",))
        assert story.engine.take_record() is not None
        others = [route(f"10.{number}.0.0/16", "@3") for number in range(3)]

        for each in others:
            story >> RouteSeen(each) << NOTHING
            assert story.engine.take_record() is None
        story >> RouteGone(others[1]) << NOTHING
        story.fill(RouteSeen(mine := route(LAN, "@2")))

        record = story.engine.take_record()
        assert record is not None
        there = [(True, each) for each in others]
        assert list(record.routes) == [*there, (False, others[1]), (True, mine)]
        assert story.engine.take_record() is None

    def test_they_wait_for_no_more_than_some(self, play: Play) -> None:
        """Many are written without anything to tell."""
        story = begin(play, links=("eth0",))
        assert story.engine.take_record() is not None

        records = []
        for number in range(1000):
            story >> RouteSeen(route(f"10.{number // 256}.{number % 256}.0/24", "@3")) << NOTHING
            records.append(story.engine.take_record())

        written = [len(each.routes) for each in records if each is not None]
        assert len(written) < 10
        last_one = story.engine.take_record(last=True)
        assert last_one is not None
        assert sum(written) + len(last_one.routes) == 1000
        assert story.engine.take_record(last=True) is None

    def test_who_lacks_them_tells_nothing_either(self, play: Play) -> None:
        """A worker that dies with them unwritten: the next one finds them in its dump, and is silent."""
        story = begin(play, links=("eth0",))
        state = story.engine.get_state()
        story >> RouteSeen(other := route("10.2.0.0/16", "@3")) << NOTHING
        assert story.engine.take_record() is not None  # the first one, of all
        story >> RouteGone(other) << NOTHING
        assert story.engine.take_record() is None

        for found in ((other,), ()):
            heir = play(story.configuration, state=state)
            heir.fill(HelperConnected(), seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
            heir.fill(DumpEnded(1, consistent=True))
            heir >> RoutesDumped(found, 1) << NOTHING
            heir.fill(RoutesDumpEnded(1, consistent=True))
            assert not heir.events
            assert list(heir.engine.insight.get_routes()) == list(found)


def test_defaults_are_as_documented() -> None:
    """The main table and default routes, of everybody."""
    assert Configuration().routes == Routes(("main",), True, ())  # type: ignore[arg-type]
