"""Links that are enslaved and released."""

from tests.stories.playbook import NOTHING, Play, gone, has, seen


def test_enslaved_and_released(play: Play) -> None:
    """A new master is a change of the link, and enslaved its state; released, it is as before."""
    story = play().begin(seen("br0", 5, kind="bridge", dump=1), seen("eth0", 2, dump=1))

    story >> seen("eth0", 2, master=5) << "3 eth0 link-changed\n4 eth0 enslaved"
    assert story.engine.insight.get_snapshots()[0].master_name == "br0"
    story >> seen("eth0", 2) << "5 eth0 link-changed"
    assert story.engine.insight.get_snapshots()[0].state == "carrier"
    assert story.engine.insight.get_snapshots()[0].master_name == ""


def test_a_port_without_carrier_joins_and_leaves(play: Play) -> None:
    """The master's state is told after the port's, when the port comes and when it goes."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1), seen("eth0", 2, carrier=False, dump=1)
    )

    (
        story
        >> seen("eth0", 2, carrier=False, master=5)
        << ("3 eth0 link-changed\n4 br0 degraded-carrier")
    )
    story >> seen("eth0", 2, carrier=False) << "5 eth0 link-changed"
    assert story.engine.insight.get_snapshots()[-1].state == "carrier"


def test_a_port_changes_its_master(play: Play) -> None:
    """A port that moves from one bridge to another counts at the new one only."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1),
        seen("br1", 6, kind="bridge", dump=1),
        seen("eth0", 2, carrier=False, master=5, dump=1),
    )

    (
        story
        >> seen("eth0", 2, carrier=False, master=6)
        << ("5 eth0 link-changed\n6 br1 degraded-carrier")
    )
    assert [each.state for each in story.engine.insight.get_snapshots()[1:]] == [
        "carrier",
        "degraded-carrier",
    ]
    story >> seen("bridge1", 6, kind="bridge") << "7 bridge1 link-renamed"
    story >> seen("eth0", 2, master=6) << ("8 eth0 carrier\n9 eth0 enslaved")
    before = story.events[-1].before
    assert before is not None
    assert before.master_name == "bridge1"


def test_a_port_with_an_address_is_routable(play: Play) -> None:
    """An address of global scope outweighs the master, as systemd-networkd has it."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1),
        seen("eth0", 2, master=5, dump=1),
        has("fe80::1/64", 2, dump=1),
    )
    assert story.engine.insight.get_snapshots()[0].state == "enslaved"

    story.fill(has("192.0.2.1/24", 2))
    assert story.events[-1].type == "routable"


def test_a_master_that_was_not_seen_yet(play: Play) -> None:
    """A port may be known before its master; the name and the count follow."""
    story = play().begin(seen("eth0", 2, carrier=False, master=5, dump=1))
    assert story.engine.insight.get_snapshots()[0].master_name == ""

    (
        story
        >> seen("br0", 5, kind="bridge")
        << """
        2 br0 link-added
        3 br0 carrier
        4 br0 degraded-carrier
        """
    )
    assert story.engine.insight.get_snapshots()[0].master_name == "br0"


def test_a_master_vanishes(play: Play) -> None:
    """The kernel releases the ports before it removes their master."""
    story = play().begin(seen("br0", 5, kind="bridge", dump=1), seen("eth0", 2, master=5, dump=1))

    story >> seen("eth0", 2) << "4 eth0 link-changed"
    story >> gone(5) << "5 br0 link-removed"
    story >> seen("eth0", 2) << NOTHING
