"""
A helper that died and the one that follows it.

All is read twice: the kernel may have gone on losing until its buffer was empty, and only the dead
helper knew.
"""

from netevd.model.inputs import DumpEnded, HelperConnected
from tests.stories.playbook import NOTHING, Play, has, seen


def test_a_new_helper_is_asked_and_only_differences_are_told(play: Play) -> None:
    """What changed between two helpers is told once, what did not is not repeated."""
    story = play().begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))

    (
        story
        >> HelperConnected("a new helper")
        << "warn: Kernel messages may have been lost: a new helper; reading all again\ndump 2"
    )
    story.fill(seen("eth0", 2, dump=2), seen("eth1", 3, carrier=False, dump=2))
    (
        story
        >> DumpEnded(2, consistent=True)
        << """
        3 eth1 no-carrier
        info: All links were read again: a new helper
        dump 3
        """
    )


def test_a_dump_of_the_dead_helper_is_void(play: Play) -> None:
    """Parts and end of an earlier dump are ignored."""
    story = play().begin(seen("eth0", 2, dump=1))

    (
        story
        >> HelperConnected("a new helper")
        << "warn: Kernel messages may have been lost: a new helper; reading all again\ndump 2"
    )
    story >> has("192.0.2.1/24", 2, dump=2) << NOTHING
    (
        story
        >> HelperConnected("a new helper")
        << "warn: Kernel messages may have been lost: a new helper; reading all again\ndump 3"
    )
    story >> DumpEnded(2, consistent=True) << NOTHING
    story >> seen("eth0", 2, dump=3) << NOTHING
    told = "info: All links were read again: a new helper"
    story >> DumpEnded(3, consistent=True) << f"{told}\ndump 4"
    story >> seen("eth0", 2, dump=4) << NOTHING
    story >> DumpEnded(4, consistent=True) << NOTHING


def test_a_helper_that_dies_before_the_first_dump(play: Play) -> None:
    """The start is announced once, whichever helper made the dump."""
    story = play()

    story >> HelperConnected() << "dump 1"
    story >> seen("eth0", 2, dump=1) << NOTHING
    story >> HelperConnected() << "dump 2"
    story >> seen("eth0", 2, dump=2) << NOTHING
    story >> DumpEnded(2, consistent=True) << "1 eth0 carrier initial\nready"


def test_events_of_the_new_helper_outweigh_its_dump(play: Play) -> None:
    """An event between connection and the end of the dump is newer than the dump."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(HelperConnected("a new helper"))
    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"
    story >> seen("eth0", 2, dump=2) << NOTHING
    told = "info: All links were read again: a new helper"
    story >> DumpEnded(2, consistent=True) << f"{told}\ndump 3"
