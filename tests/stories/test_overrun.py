"""Messages that the kernel dropped: dump and difference, without loss and without doubling."""

from netevd.model.inputs import DumpEnded, Overran
from tests.stories.playbook import NOTHING, Play, gone, has, lost, seen

LOSS = "warn: Kernel messages were lost: the receive buffer was full; reading all links again"
READ = "info: All links were read again: the receive buffer was full"


def test_what_was_missed_is_told_at_the_end_of_the_dump(play: Play) -> None:
    """Lost changes become events: what is gone, what changed, what is new; each by ifindex."""
    story = play().begin(
        seen("eth1", 3, dump=1),
        seen("eth0", 2, dump=1),
        seen("eth2", 4, dump=1),
        seen("eth3", 5, dump=1),
        has("192.0.2.1/24", 2, dump=1),
    )

    story >> Overran() << f"{LOSS}\ndump 2"
    story.fill(seen("new1", 7, dump=2), seen("new0", 6, dump=2))
    story.fill(seen("eth2", 4, dump=2), seen("eth0", 2, carrier=False, dump=2))
    story.fill(has("192.0.2.2/24", 2, dump=2))
    (
        story
        >> DumpEnded(2, consistent=True)
        << f"""
        6 eth1 link-removed
        7 eth3 link-removed
        8 eth0 no-carrier
        9 eth0 address-removed 192.0.2.1
        10 eth0 address-added 192.0.2.2
        11 eth0 address-usable 192.0.2.2
        12 new0 link-added
        13 new0 carrier
        14 new1 link-added
        15 new1 carrier
        {READ}
        """
    )


def test_an_overrun_without_a_lasting_change_tells_nothing(play: Play) -> None:
    """A dump that says what is known makes no event."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))

    story.fill(Overran(), seen("eth0", 2, dump=2), has("192.0.2.1/24", 2, dump=2))
    story >> DumpEnded(2, consistent=True) << READ


def test_events_go_on_during_the_dump(play: Play) -> None:
    """An event is told at once and outweighs what the dump says of the same link."""
    story = play().begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))

    story.fill(Overran())
    story >> seen("eth0", 2, dump=2) << NOTHING
    story >> seen("eth0", 2, carrier=False) << "3 eth0 no-carrier"
    story >> seen("eth1", 3, carrier=False) << "4 eth1 no-carrier"
    story >> seen("eth1", 3, dump=2) << NOTHING
    story >> DumpEnded(2, consistent=True) << READ


def test_a_link_made_during_the_dump_survives_it(play: Play) -> None:
    """A link that events told of is not removed because the dump came too early for it."""
    story = play().begin()

    story.fill(Overran())
    story >> seen("eth0", 2) << "1 eth0 link-added\n2 eth0 carrier"
    story.fill(has("192.0.2.1/24", 2))
    story >> DumpEnded(2, consistent=True) << READ


def test_a_link_removed_during_the_dump_stays_removed(play: Play) -> None:
    """A dump that was too early does not bring a link or its addresses back."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))

    story.fill(Overran(), seen("eth0", 2, dump=2), has("192.0.2.1/24", 2, dump=2))
    story >> gone(2) << "3 eth0 address-removed 192.0.2.1\n4 eth0 link-removed"
    story >> DumpEnded(2, consistent=True) << READ
    assert story.engine.insight.get_snapshots() == ()


def test_an_address_removed_during_the_dump_stays_removed(play: Play) -> None:
    """Also for an address that was never known, because its beginning was lost."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(Overran(), seen("eth0", 2, dump=2), has("192.0.2.1/24", 2, dump=2))
    story >> lost("192.0.2.1/24", 2) << NOTHING
    story >> DumpEnded(2, consistent=True) << READ


def test_a_link_made_again_during_the_dump_has_no_old_address(play: Play) -> None:
    """Addresses that the dump read of the incarnation before are not given to the next one."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(Overran(), seen("eth0", 2, dump=2), has("192.0.2.1/24", 2, dump=2))
    story.fill(gone(2), seen("eth0", 2))
    story >> DumpEnded(2, consistent=True) << f"{READ}\ndump 3"
    assert story.engine.insight.get_snapshots()[0].addresses == ()


def test_a_second_overrun_voids_the_dump(play: Play) -> None:
    """A loss during the dump is not covered by it: it is read anew and the old one ignored."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> Overran() << f"{LOSS}\ndump 2"
    story >> seen("eth0", 2, carrier=False, dump=2) << NOTHING
    story >> Overran() << NOTHING
    story >> DumpEnded(2, consistent=True) << NOTHING
    story >> 0.1 << "dump 3"
    story >> seen("eth1", 3, dump=2) << NOTHING
    story >> has("192.0.2.1/24", 2, dump=2) << NOTHING
    story >> seen("eth0", 2, dump=3) << NOTHING
    story >> DumpEnded(3, consistent=True) << READ


def test_an_interrupted_dump_is_repeated(play: Play) -> None:
    """What an inconsistent dump says is not believed."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(Overran(), seen("eth1", 3, dump=2))
    story >> DumpEnded(2, consistent=False) << NOTHING
    story >> 0.1 << "dump 3"
    story >> seen("eth0", 2, dump=3) << NOTHING
    story >> DumpEnded(3, consistent=True) << READ


def test_a_name_that_changed_its_owner_in_the_gap(play: Play) -> None:
    """Two links never share a name: the former owner is gone before the new one is told."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(Overran())
    story >> seen("eth0", 3) << "2 eth0 link-removed\n3 eth0 link-added\n4 eth0 carrier"
    story >> seen("eth0", 3, dump=2) << NOTHING
    story >> DumpEnded(2, consistent=True) << READ


def test_a_name_that_changed_its_owner_without_notice(play: Play) -> None:
    """A message that can't be, unless others were lost unnoticed, makes all links be read again."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> seen("eth0", 3) << "2 eth0 link-removed\n3 eth0 link-added\n4 eth0 carrier\ndump 2"


def test_names_that_were_exchanged_in_the_gap(play: Play) -> None:
    """A swap seen only by its outcome is two renames."""
    story = play().begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))

    story.fill(Overran(), seen("eth1", 2, dump=2), seen("eth0", 3, dump=2))
    (
        story
        >> DumpEnded(2, consistent=True)
        << f"""
        3 eth1 link-renamed
        4 eth0 link-renamed
        {READ}
        """
    )


def test_a_bridge_and_its_ports_are_compared_together(play: Play) -> None:
    """Ports that changed places in the gap do not make the bridge's state flicker."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1),
        seen("eth0", 2, master=5, carrier=False, dump=1),
        seen("eth1", 3, master=5, dump=1),
    )

    story.fill(Overran(), seen("br0", 5, kind="bridge", dump=2))
    story.fill(seen("eth0", 2, master=5, dump=2), seen("eth1", 3, master=5, carrier=False, dump=2))
    (
        story
        >> DumpEnded(2, consistent=True)
        << f"""
        6 eth0 carrier
        7 eth0 enslaved
        8 eth1 no-carrier
        {READ}
        """
    )


def test_a_loss_that_has_another_reason_says_so(play: Play) -> None:
    """A datagram that could not be decoded counts as lost, and the log names it."""
    story = play().begin()

    (
        story
        >> Overran("netlink datagram, offset 0: nonsense")
        << (
            "warn: Kernel messages were lost: netlink datagram, offset 0: nonsense;"
            " reading all links again\ndump 2"
        )
    )
