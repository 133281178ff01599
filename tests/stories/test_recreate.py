"""Links that come, go, and come again under the same name or index."""

from netevd.model.inputs import DumpEnded
from tests.stories.playbook import NOTHING, Play, gone, has, lost, seen


def test_a_link_appears(play: Play) -> None:
    """A new link tells of itself, its carrier, its state, without NETEVD_INITIAL."""
    story = play().begin()

    story >> seen("eth0", 2, up=False) << ("1 eth0 link-added\n2 eth0 no-carrier\n3 eth0 off")
    assert [each.before for each in story.events] == [None, None, None]


def test_a_link_vanishes_with_its_addresses(play: Play) -> None:
    """Each address that is still known is removed, then the link; no state is invented."""
    story = play().begin(
        seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1), has("fe80::1/64", 2, dump=1)
    )

    (
        story
        >> gone(2)
        << """
        3 eth0 address-removed 192.0.2.1
        4 eth0 address-removed fe80::1
        5 eth0 link-removed
        """
    )

    removed = story.events[-1]
    assert removed.after.link.name == "eth0"
    assert removed.after.addresses == ()
    assert removed.before is not None
    assert len(removed.before.addresses) == 2


def test_the_kernel_removes_addresses_first(play: Play) -> None:
    """Addresses that the kernel took before the link are not told twice."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))

    story.fill(lost("192.0.2.1/24", 2))
    story >> gone(2) << "4 eth0 link-removed"
    story >> gone(2) << NOTHING


def test_the_same_name_under_another_index(play: Play) -> None:
    """A link made again under its name is another link, in another lane."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> gone(2) << "2 eth0 link-removed"
    story >> seen("eth0", 3) << "3 eth0 link-added\n4 eth0 carrier"
    assert story.events[1].lane != story.events[2].lane


def test_the_same_index_for_another_link(play: Play) -> None:
    """A reused index is a removal and a new incarnation, and what is known of it is read again."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))

    story >> gone(2) << "3 eth0 address-removed 192.0.2.1\n4 eth0 link-removed"
    story >> seen("wan0", 2) << "5 wan0 link-added\n6 wan0 carrier\ndump 2"
    story >> seen("wan0", 2, dump=2) << NOTHING
    story >> DumpEnded(2, consistent=True) << NOTHING
    assert story.events[-3].lane != story.events[-1].lane


def test_an_index_reused_during_a_dump(play: Play) -> None:
    """A dump that was under way may have begun before: another follows it."""
    story = play().begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))

    story.fill(gone(2), gone(3))
    story >> seen("eth0", 2) << "5 eth0 link-added\n6 eth0 carrier\ndump 2"
    story >> seen("eth1", 3) << "7 eth1 link-added\n8 eth1 carrier"
    story >> seen("eth0", 2, dump=2) << NOTHING
    story >> DumpEnded(2, consistent=True) << "dump 3"


def test_a_first_index_needs_no_dump(play: Play) -> None:
    """A link under an index that was never seen costs no dump."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(gone(2))
    story >> seen("eth0", 3) << "3 eth0 link-added\n4 eth0 carrier"


def test_moved_to_another_namespace_and_back(play: Play) -> None:
    """The kernel says RTM_DELLINK of a link that moves away: to users it is removed."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))

    story >> seen("eth0", 2, up=False) << "3 eth0 link-changed\n4 eth0 no-carrier\n5 eth0 off"
    story >> lost("192.0.2.1/24", 2) << "6 eth0 address-removed 192.0.2.1"
    story >> gone(2) << "7 eth0 link-removed"
    (
        story
        >> seen("eth0", 2, up=False)
        << ("8 eth0 link-added\n9 eth0 no-carrier\n10 eth0 off\ndump 2")
    )
