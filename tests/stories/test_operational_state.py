"""The operational state of links and of the bridges and bonds above them."""

from tests.stories.configurations import configure
from tests.stories.playbook import DORMANT, NOTHING, Play, gone, has, lost, seen


def test_an_address_makes_a_link_routable(play: Play) -> None:
    """A usable address of global scope makes routable; without it the link has its carrier."""
    story = play().begin(seen("eth0", 2, dump=1))

    (
        story
        >> has("192.0.2.1/24", 2)
        << """
        2 eth0 address-added 192.0.2.1
        3 eth0 address-usable 192.0.2.1
        4 eth0 routable
        """
    )
    story >> lost("192.0.2.1/24", 2) << "5 eth0 address-removed 192.0.2.1"
    assert story.engine.insight.get_snapshots()[0].state == "carrier"


def test_a_link_local_address_makes_a_link_degraded(play: Play) -> None:
    """An address that reaches no farther than the link is degraded, and outweighed by a better."""
    story = play().begin(seen("eth0", 2, dump=1))

    (
        story
        >> has("fe80::1/64", 2)
        << """
        2 eth0 address-added fe80::1
        3 eth0 address-usable fe80::1
        4 eth0 degraded
        """
    )
    (
        story
        >> has("2001:db8::1/64", 2)
        << """
        5 eth0 address-added 2001:db8::1
        6 eth0 address-usable 2001:db8::1
        7 eth0 routable
        """
    )
    story >> lost("2001:db8::1/64", 2) << "8 eth0 address-removed 2001:db8::1\n9 eth0 degraded"


def test_an_address_of_host_scope_makes_nothing(play: Play) -> None:
    """An address that reaches nobody else does not change the state."""
    story = play().begin(seen("eth0", 2, dump=1))

    (
        story
        >> has("192.0.2.1/32", 2, scope=254)
        << ("2 eth0 address-added 192.0.2.1\n3 eth0 address-usable 192.0.2.1")
    )


def test_an_address_without_carrier_makes_nothing(play: Play) -> None:
    """A link needs its carrier to be routable."""
    story = play().begin(seen("eth0", 2, carrier=False, dump=1))

    (
        story
        >> has("192.0.2.1/24", 2)
        << ("2 eth0 address-added 192.0.2.1\n3 eth0 address-usable 192.0.2.1")
    )
    story >> seen("eth0", 2) << "4 eth0 carrier\n5 eth0 routable"
    story >> seen("eth0", 2, carrier=False) << "6 eth0 no-carrier"


def test_dormant(play: Play) -> None:
    """A link that waits for something outside, as for a key, is dormant."""
    story = play().begin(seen("wlan0", 2, dump=1))

    story >> seen("wlan0", 2, operstate=DORMANT) << "2 wlan0 dormant"
    story >> seen("wlan0", 2) << NOTHING


def test_a_bridge_with_a_port_down(play: Play) -> None:
    """A bridge with a carrier and a port without one is degraded-carrier, until all have one."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1),
        seen("eth0", 2, master=5, dump=1),
        seen("eth1", 3, master=5, dump=1),
    )

    (
        story
        >> seen("eth0", 2, master=5, carrier=False)
        << ("6 eth0 no-carrier\n7 br0 degraded-carrier")
    )
    story >> seen("eth1", 3, master=5, carrier=False) << "8 eth1 no-carrier"
    story >> seen("eth0", 2, master=5) << "9 eth0 carrier\n10 eth0 enslaved"
    story >> seen("eth1", 3, master=5) << "11 eth1 carrier\n12 eth1 enslaved"
    assert story.engine.insight.get_snapshots()[-1].state == "carrier"


def test_the_event_of_the_bridge_has_its_own_lane(play: Play) -> None:
    """What a port's message means for the bridge is an event of the bridge."""
    story = play().begin(seen("br0", 5, kind="bridge", dump=1), seen("eth0", 2, master=5, dump=1))

    story.fill(seen("eth0", 2, master=5, carrier=False))

    port, bridge = story.events[-2:]
    assert (port.after.link.name, bridge.after.link.name) == ("eth0", "br0")
    assert port.lane != bridge.lane
    assert bridge.before is not None
    assert (bridge.before.state, bridge.after.state) == ("carrier", "degraded-carrier")


def test_an_address_outweighs_a_port_down(play: Play) -> None:
    """A bridge with an address is routable whatever its ports are, as networkctl(1) says."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1),
        seen("eth0", 2, master=5, dump=1),
        has("192.0.2.1/24", 5, dump=1),
    )

    story >> seen("eth0", 2, master=5, carrier=False) << "5 eth0 no-carrier"


def test_a_bond_within_a_bridge(play: Play) -> None:
    """A weak port counts through every level above it, nearest first."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1),
        seen("bond0", 4, kind="bond", master=5, dump=1),
        seen("eth0", 2, master=4, dump=1),
    )

    (
        story
        >> seen("eth0", 2, master=4, carrier=False)
        << """
        6 eth0 no-carrier
        7 bond0 degraded-carrier
        8 br0 degraded-carrier
        """
    )
    (
        story
        >> seen("eth0", 2, master=4)
        << """
        9 eth0 carrier
        10 eth0 enslaved
        11 bond0 enslaved
        """
    )


def test_a_weak_port_that_vanishes(play: Play) -> None:
    """A port that does not exist any more does not count."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1),
        seen("eth0", 2, master=5, carrier=False, dump=1),
    )
    assert story.engine.insight.get_snapshots()[-1].state == "degraded-carrier"

    story >> gone(2) << "4 eth0 link-removed"
    assert story.engine.insight.get_snapshots()[-1].state == "carrier"


def test_a_port_that_is_not_watched_counts(play: Play) -> None:
    """The state of a watched bridge follows its ports even if these are not watched."""
    story = play(configure(links=("br0",))).begin(
        seen("br0", 5, kind="bridge", dump=1), seen("eth0", 2, master=5, dump=1)
    )

    story >> seen("eth0", 2, master=5, carrier=False) << "2 br0 degraded-carrier"
