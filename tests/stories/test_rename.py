"""Links that get another name."""

from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, Play, gone, has, seen


def test_a_rename(play: Play) -> None:
    """A rename is one event, in the lane of the link; it carries the old name in `before`."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> seen("lan0", 2) << "2 lan0 link-renamed"

    event = story.events[-1]
    assert event.before is not None
    assert event.before.link.name == "eth0"
    assert event.lane == story.events[0].lane


def test_a_rename_with_other_changes(play: Play) -> None:
    """What else a message changed is told after the new name."""
    story = play().begin(seen("eth0", 2, dump=1))

    (
        story
        >> seen("lan0", 2, mtu=9000, carrier=False)
        << ("2 lan0 link-renamed\n3 lan0 link-changed\n4 lan0 no-carrier")
    )


def test_a_rename_into_what_is_watched(play: Play) -> None:
    """A link that gets a watched name appears to users, with its addresses."""
    story = play(configure(links=("lan*",))).begin(
        seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1)
    )

    (
        story
        >> seen("lan0", 2)
        << """
        1 lan0 link-added
        2 lan0 carrier
        3 lan0 routable
        4 lan0 address-added 192.0.2.1
        5 lan0 address-usable 192.0.2.1
        """
    )


def test_a_rename_out_of_what_is_watched(play: Play) -> None:
    """A link that loses its watched name vanishes to users, under the name they know."""
    story = play(configure(links=("lan*",))).begin(
        seen("lan0", 2, dump=1), has("192.0.2.1/24", 2, dump=1)
    )

    story >> seen("eth0", 2) << "3 lan0 address-removed 192.0.2.1\n4 lan0 link-removed"
    story >> seen("eth0", 2, carrier=False) << NOTHING
    story >> gone(2) << NOTHING


def test_two_links_exchange_their_names(play: Play) -> None:
    """A swap by way of a third name is three renames and nothing else."""
    story = play().begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))

    story >> seen("tmp", 2) << "3 tmp link-renamed"
    story >> seen("eth0", 3) << "4 eth0 link-renamed"
    story >> seen("eth1", 2) << "5 eth1 link-renamed"


def test_a_new_master_name_is_known_at_the_port(play: Play) -> None:
    """The name of a port's master is the one it has now; that is no event of the port."""
    story = play().begin(seen("br0", 5, kind="bridge", dump=1), seen("eth0", 2, master=5, dump=1))

    story >> seen("bridge0", 5, kind="bridge") << "4 bridge0 link-renamed"
    assert story.engine.insight.get_snapshots()[0].master_name == "bridge0"
    story >> seen("eth0", 2, master=5, mtu=9000) << "5 eth0 link-changed"
    before = story.events[-1].before
    assert before is not None
    assert before.master_name == "bridge0"
