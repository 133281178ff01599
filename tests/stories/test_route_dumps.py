"""When routes have to be dumped: where the kernel is silent, where order or messages were lost."""

from __future__ import annotations

import pytest

from netevd.config.schema import Routes
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    NexthopChanged,
    RouteGone,
    RoutesDumped,
    RoutesDumpEnded,
    RouteSeen,
    RoutesOverran,
)
from netevd.model.link import IfIndex
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, Play, gone, has, lost, route, seen
from tests.stories.routing import LAN, begin, last


class TestStart:
    """What happens while the first dump is read."""

    def test_a_link_that_goes_down_meanwhile(self, play: Play) -> None:
        """The dump may have been read before the kernel dropped its routes: another one follows."""
        story = play(configure(routes=Routes()))
        story.fill(HelperConnected(), seen("eth0", 2, dump=1), DumpEnded(1, consistent=True))
        story.fill(RoutesDumped((route(LAN, "@2"),), 1), seen("eth0", 2, up=False))

        story.fill(RoutesDumpEnded(1, consistent=True))
        assert last(story)[-1] == "dump 2 of routes 4"
        told = "3 eth0 routes del 10.0.0.0/8 dev 2 proto static"
        story >> RoutesDumpEnded(2, consistent=True) << told


class TestTwice:
    """IPv6 may have a route twice."""

    @pytest.mark.parametrize("first", [True, False])
    def test_it_is_told_once(self, play: Play, *, first: bool) -> None:
        """New when it is there at all, gone when the last of both is; then nothing leads over it."""
        lan = route("2001:db8:1::/48", "@2")
        story = begin(play, *((lan, lan) if first else ()))
        if not first:
            story.fill(RoutesOverran(), RoutesDumped((lan, lan), 2))
            story.fill(RoutesDumpEnded(2, consistent=True))
            assert [each for each in last(story) if "routes new" in each] == last(story)[:-1]
            assert len(last(story)) == 2
        number = story.events[-1].sequence + 1

        story.fill(RouteGone(lan))
        assert not [each for each in last(story) if "routes" in each and "dump" not in each]
        story.fill(RouteGone(lan))
        told = f"{number} eth0 routes del 2001:db8:1::/48 dev 2 proto static"
        assert [each for each in last(story) if "routes del" in each] == [told]
        assert list(story.engine.insight.get_routes()) == []
        assert not story.engine._table.leads_over(IfIndex(2), 6)


class TestSilence:
    """Where the kernel drops routes without a word."""

    def test_a_link_that_goes_down(self, play: Play) -> None:
        """Its families are read again; what is not there any more is told."""
        story = begin(play, route(LAN, "@2"), route("10.1.0.0/16", "@3"))

        (
            story
            >> seen("eth0", 2, up=False)
            << """
            3 eth0 link-changed
            4 eth0 no-carrier
            5 eth0 off
            dump 2 of routes 4
        """
        )
        story >> RoutesDumped((route("10.1.0.0/16", "@3"),), 2) << NOTHING
        (
            story
            >> RoutesDumpEnded(2, consistent=True)
            << "6 eth0 routes del 10.0.0.0/8 dev 2 proto static"
        )

    def test_a_route_that_was_on_its_way(self, play: Play) -> None:
        """A route that is told late, of before its link went down, is asked for once more."""
        story = begin(play)
        story.fill(seen("eth0", 2, up=False))
        assert last(story)[-1] == "dump 2 of routes 4"
        story.fill(RouteSeen(route(LAN, "@2")))

        story >> RoutesDumpEnded(2, consistent=True) << "dump 3 of routes 4"
        told = "7 eth0 routes del 10.0.0.0/8 dev 2 proto static"
        story >> RoutesDumpEnded(3, consistent=True) << told

    def test_an_address_that_leaves(self, play: Play) -> None:
        """Routes that prefer it or need its link may leave with it; IPv6 tells them."""
        story = begin(play, route(LAN, "@3", source="192.0.2.1"))
        story.fill(has("192.0.2.1/24", 2), has("2001:db8::1/64", 2))

        story >> lost("2001:db8::1/64", 2) << "8 eth0 address-removed 2001:db8::1"
        story.fill(lost("192.0.2.1/24", 2))
        assert last(story)[-1] == "dump 2 of routes 4"

    def test_a_nexthop_object(self, play: Play) -> None:
        """Routes that use it may be gone; nobody asks when none does."""
        story = begin(play, route(LAN, "@2", nexthop_id=7))

        story >> NexthopChanged(8) << NOTHING
        story >> NexthopChanged(7) << "dump 2 of routes 4 6"

    def test_a_link_that_vanishes(self, play: Play) -> None:
        """Its routes are told before its addresses; those over other links too are asked for."""
        story = begin(play, route(LAN, "@2"), route("10.1.0.0/16", "@2", "@3"))
        story.fill(has("192.0.2.1/24", 2))

        (
            story
            >> gone(2)
            << """
            6 eth0 routes del 10.0.0.0/8 dev 2 proto static
            7 eth0 address-removed 192.0.2.1
            8 eth0 link-removed
            dump 2 of routes 4
        """
        )

    def test_dumps_take_half_of_the_time_at_most(self, play: Play) -> None:
        """After one that took 2 s the next one waits for 2 s."""
        story = begin(play, route(LAN, "@2"))
        story.fill(seen("eth0", 2, up=False), 2.0, RoutesDumped((route(LAN, "@2"),), 2))
        story.fill(RoutesDumpEnded(2, consistent=True), seen("eth0", 2))

        story.fill(seen("eth0", 2, up=False))
        assert "dump" not in " ".join(last(story))
        story >> 1.9 << NOTHING
        story >> 0.2 << "dump 3 of routes 4"


class TestOrder:
    """Links and routes come over two sockets, so either may be first."""

    def test_a_route_before_its_link(self, play: Play) -> None:
        """It waits for its link and is told after it."""
        story = begin(play)
        story.fill(RouteSeen(route(LAN, "@9")))

        (
            story
            >> seen("eth9", 9)
            << """
            3 eth9 link-added
            4 eth9 carrier
            5 eth9 routes new 10.0.0.0/8 dev 9 proto static
        """
        )

    def test_a_route_that_came_and_went_before_its_link(self, play: Play) -> None:
        """Nobody hears of it."""
        story = begin(play)
        story.fill(RouteSeen(route(LAN, "@9")), RouteGone(route(LAN, "@9")))

        story >> seen("eth9", 9) << "3 eth9 link-added\n4 eth9 carrier"

    def test_a_removal_after_the_link_was_removed(self, play: Play) -> None:
        """It was told with the link, and not again."""
        story = begin(play, route("2001:db8::/64", "@2"))

        story.fill(gone(2))
        story >> RouteGone(route("2001:db8::/64", "@2")) << NOTHING

    def test_a_late_route_of_a_removed_link(self, play: Play) -> None:
        """The kernel is asked whether it is there."""
        story = begin(play)
        story.fill(gone(3), RoutesDumpEnded(2, consistent=True))

        story >> RouteSeen(route(LAN, "@3")) << "dump 3 of routes 4"
        story >> RoutesDumpEnded(3, consistent=True) << NOTHING
        assert list(story.engine.insight.get_routes()) == []


class TestOverrun:
    """Lost messages of routes."""

    def test_what_was_missed_is_told(self, play: Play) -> None:
        """The difference comes at the end of the dump; events meanwhile outweigh it."""
        old, new, late = (route(f"10.{n}.0.0/16", "@2") for n in (1, 2, 3))
        story = begin(play, old)

        (
            story
            >> RoutesOverran()
            << """
            warn: Kernel messages were lost: the receive buffer was full; reading all routes again
            dump 2 of routes 4 6
        """
        )
        story.fill(RouteSeen(late))
        story >> RoutesDumped((new, late), 2) << NOTHING
        (
            story
            >> RoutesDumpEnded(2, consistent=True)
            << """
            4 eth0 routes del 10.1.0.0/16 dev 2 proto static
            5 eth0 routes new 10.2.0.0/16 dev 2 proto static
            info: All routes were read again: the receive buffer was full
        """
        )
        assert {each.destination for each in story.engine.insight.get_routes()} == {
            "10.2.0.0/16", "10.3.0.0/16",
        }  # fmt: skip

    def test_a_second_overrun_voids_the_dump(self, play: Play) -> None:
        """Nothing is told of a dump that may lack what was lost."""
        story = begin(play, route(LAN, "@2"))
        story.fill(RoutesOverran(), RoutesOverran(), 0.2)

        story >> RoutesDumpEnded(2, consistent=True) << NOTHING
        story.fill(RoutesDumped((route(LAN, "@2"),), 3))
        (
            story
            >> RoutesDumpEnded(3, consistent=True)
            << ("info: All routes were read again: the receive buffer was full")
        )

    def test_failures_are_told_once(self, play: Play) -> None:
        """Five dumps in a row in vain are worth a line."""
        story = begin(play)
        story.fill(RoutesOverran())
        lines: list[str] = []
        for dump in range(2, 9):
            story.fill(RoutesDumpEnded(dump, consistent=False))
            lines += last(story)
            story.fill(10.0)
            lines += last(story)

        assert [each for each in lines if each.startswith("warn")] == [
            "warn: The kernel's routes could not be read 5 times in a row; still trying"
        ]

    def test_a_new_helper_is_asked_for_routes(self, play: Play) -> None:
        """What changed in between is told."""
        story = begin(play, route(LAN, "@2"))

        story.fill(HelperConnected())
        assert last(story) == ["dump 2", "dump 2 of routes 4 6"]
        story.fill(RoutesDumpEnded(2, consistent=True))
        assert last(story)[-1] == "3 eth0 routes del 10.0.0.0/8 dev 2 proto static"
