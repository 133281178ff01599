"""What is told when the daemon starts."""

from netevd.core.engine import Engine
from netevd.model.actions import Publish, StartRun
from netevd.model.inputs import DumpEnded, HelperConnected, HooksListed, Input, Now, RunnerConnected
from tests.stories.configurations import configure
from tests.stories.playbook import DORMANT, NOTHING, Play, has, hooks, seen


def test_a_helper_is_asked_for_a_dump(play: Play) -> None:
    """As soon as a helper forwards messages, the state before them is asked for."""
    story = play()

    story >> HelperConnected() << "dump 1"


def test_each_link_is_announced_as_it_is(play: Play) -> None:
    """The first dump's end announces carrier and operational state of each link by ifindex."""
    story = play()

    story >> HelperConnected() << "dump 1"
    story >> seen("eth1", 3, carrier=False, dump=1) << NOTHING
    story >> seen("eth0", 2, dump=1) << NOTHING
    story >> seen("wlan0", 4, operstate=DORMANT, dump=1) << NOTHING
    story >> seen("eth2", 5, up=False, dump=1) << NOTHING
    story >> seen("eth3", 6, dump=1) << NOTHING
    story >> has("192.0.2.1/24", 2, dump=1) << NOTHING
    (
        story
        >> DumpEnded(1, consistent=True)
        << """
        1 eth0 carrier initial
        2 eth0 routable initial
        3 eth1 no-carrier initial
        4 wlan0 carrier initial
        5 wlan0 dormant initial
        6 eth2 no-carrier initial
        7 eth2 off initial
        8 eth3 carrier initial
        ready
        """
    )


def test_a_machine_without_links_is_ready(play: Play) -> None:
    """Readiness does not depend on there being a link."""
    story = play()

    story >> HelperConnected() << "dump 1"
    story >> DumpEnded(1, consistent=True) << "ready"


def test_events_before_the_end_of_the_first_dump_announce_nothing(play: Play) -> None:
    """An event during the first dump is part of what is announced, and newer than the dump."""
    story = play()

    story >> HelperConnected() << "dump 1"
    story >> seen("eth0", 2, carrier=False) << NOTHING
    story >> has("192.0.2.1/24", 2) << NOTHING
    story >> seen("eth0", 2, dump=1) << NOTHING
    (
        story
        >> DumpEnded(1, consistent=True)
        << """
        1 eth0 no-carrier initial
        ready
        """
    )
    story >> seen("eth0", 2) << "2 eth0 carrier\n3 eth0 routable"


def test_an_interrupted_dump_announces_nothing_and_is_repeated(play: Play) -> None:
    """Only a consistent dump counts as the state at start."""
    story = play()

    story >> HelperConnected() << "dump 1"
    story >> seen("eth0", 2, dump=1) << NOTHING
    story >> DumpEnded(1, consistent=False) << "dump 2"
    story >> seen("eth1", 3, dump=2) << NOTHING
    story >> DumpEnded(2, consistent=True) << "1 eth1 carrier initial\nready"


def test_dumps_that_fail_in_a_row_are_repeated_ever_later(play: Play) -> None:
    """A kernel that refuses every dump is not asked in a busy loop, and it is said."""
    story = play()

    story >> HelperConnected() << "dump 1"
    story >> DumpEnded(1, consistent=False) << "dump 2"
    story >> DumpEnded(2, consistent=False) << NOTHING
    story >> 0.09 << NOTHING
    story >> 0.01 << "dump 3"
    story >> DumpEnded(3, consistent=False) << NOTHING
    story >> 0.2 << "dump 4"
    story >> DumpEnded(4, consistent=False) << NOTHING
    story >> 0.4 << "dump 5"
    (
        story
        >> DumpEnded(5, consistent=False)
        << "warn: The kernel's links could not be read 5 times in a row; still trying"
    )
    story >> 0.8 << "dump 6"
    story >> DumpEnded(6, consistent=True) << "ready"


def test_lo_is_not_watched_unless_named(play: Play) -> None:
    """Without network.links every link but lo is announced; named, lo is."""
    silent, named = play(), play(configure(links=("lo",)))
    lo, eth0 = seen("lo", 1, dump=1), seen("eth0", 2, dump=1)

    silent.fill(HelperConnected(), lo, eth0)
    named.fill(HelperConnected(), lo, eth0)

    silent >> DumpEnded(1, consistent=True) << "1 eth0 carrier initial\nready"
    named >> DumpEnded(1, consistent=True) << "1 lo carrier initial\nready"


def test_links_that_are_not_watched_use_no_sequence_number(play: Play) -> None:
    """Only links that network.links matches have events."""
    story = play(configure(links=("eth*", "!eth1")))
    story.begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1), seen("wlan0", 4, dump=1))

    story >> seen("wlan0", 4, carrier=False) << NOTHING
    story >> seen("eth1", 3, carrier=False) << NOTHING
    story >> has("192.0.2.1/24", 3) << NOTHING
    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"


def test_initial_events_run_scripts(play: Play) -> None:
    """A script learns the state at start, as NETEVD_INITIAL says."""
    story = play()
    story.fill(RunnerConnected(), HooksListed(hooks("/etc/netevd/carrier.d/a")))
    story.fill(HelperConnected(), seen("eth0", 2, dump=1))

    (
        story
        >> DumpEnded(1, consistent=True)
        << """
        1 eth0 carrier initial
        ready
        start 1: /etc/netevd/carrier.d/a for 1
        """
    )
    assert story.get_values()["NETEVD_INITIAL"] == "1"


def test_initial_events_wait_for_the_script_table(play: Play) -> None:
    """A dump that is there before the script table does not cost the initial scripts."""
    story = play()
    story.fill(HelperConnected(), seen("eth0", 2, dump=1))

    story >> DumpEnded(1, consistent=True) << "1 eth0 carrier initial\nready"
    story >> RunnerConnected() << NOTHING
    (
        story
        >> HooksListed(hooks("/etc/netevd/carrier.d/a"))
        << "start 1: /etc/netevd/carrier.d/a for 1"
    )


def test_initial_scripts_can_be_turned_off(play: Play) -> None:
    """With scripts.initial false, initial events are told and run nothing; later ones run."""
    story = play(configure(initial=False))
    story.fill(RunnerConnected(), HooksListed(hooks("/etc/netevd/carrier.d/a")))
    story.fill(HelperConnected(), seen("eth0", 2, dump=1))

    story >> DumpEnded(1, consistent=True) << "1 eth0 carrier initial\nready"
    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"
    story >> seen("eth0", 2) << "3 eth0 carrier\nstart 1: /etc/netevd/carrier.d/a for 3"


def test_numbers_begin_where_the_caller_says() -> None:
    """Sequence and run numbers go on from those of the caller."""
    engine = Engine(configure(), first_sequence=4711, first_run=99)
    now = Now(0.0, 0)
    before: tuple[Input, ...] = (
        RunnerConnected(),
        HooksListed(hooks("/etc/netevd/carrier.d/a")),
        HelperConnected(),
        seen("eth0", 2, dump=1),
    )
    for given in before:
        engine.handle(given, now)

    actions = engine.handle(DumpEnded(1, consistent=True), now)

    assert [a.event.sequence for a in actions if isinstance(a, Publish)] == [4711]
    assert [a.run for a in actions if isinstance(a, StartRun)] == [99]
