"""Runs: order, side by side, timeout, loss, overflow, the end."""

import pytest

from netevd.core.lanes import LIMIT
from netevd.model.actions import EndRun, Note, StartRun
from netevd.model.inputs import (
    HooksListed,
    RunnerConnected,
    RunnerLost,
    RunRefused,
    RunStarted,
    Stopping,
)
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, Play, Playbook, finished, gone, hooks, seen

CARRIER = "/etc/netevd/carrier.d/a"
NO_CARRIER = "/etc/netevd/no-carrier.d/a"
REMOVED = "/etc/netevd/link-removed.d/a"
ADDED = "/etc/netevd/link-added.d/a"
OFF = "/etc/netevd/off.d/a"


@pytest.fixture
def story(play: Play) -> Playbook:
    """Two links with carrier, and a script for each change of it."""
    begun = play().begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    return begun.with_scripts(CARRIER, NO_CARRIER)


def test_one_link_one_script_after_the_other(story: Playbook) -> None:
    """The next script of a link starts when the one before has ended, in the order of events."""
    story >> seen("eth0", 2, carrier=False) << f"3 eth0 no-carrier\nstart 1: {NO_CARRIER} for 3"
    story >> RunStarted(1) << NOTHING
    story >> seen("eth0", 2) << "4 eth0 carrier"
    story >> seen("eth0", 2, carrier=False) << "5 eth0 no-carrier"
    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {NO_CARRIER} exited with code 0
        start 2: {CARRIER} for 4
        """
    )
    (
        story
        >> finished(2)
        << f"""
        end 2: ok
        info: Script {CARRIER} exited with code 0
        start 3: {NO_CARRIER} for 5
        """
    )


def test_another_link_does_not_wait(story: Playbook) -> None:
    """Scripts of different links run side by side."""
    story >> seen("eth0", 2, carrier=False) << f"3 eth0 no-carrier\nstart 1: {NO_CARRIER} for 3"
    story >> seen("eth1", 3, carrier=False) << f"4 eth1 no-carrier\nstart 2: {NO_CARRIER} for 4"


def test_scripts_of_one_event_run_in_listed_order(play: Play) -> None:
    """One event's scripts run one after another, as the runner lists them."""
    story = play().begin(seen("eth0", 2, dump=1))
    first, second = "/usr/lib/netevd/no-carrier.d/10-a", "/etc/netevd/no-carrier.d/20-b"
    story.with_scripts(first, second)

    story >> seen("eth0", 2, carrier=False) << f"2 eth0 no-carrier\nstart 1: {first} for 2"
    (
        story
        >> finished(1, 3)
        << f"""
        end 1: failed
        warn: Script {first} exited with code 3
        start 2: {second} for 2
        """
    )


def test_scripts_of_a_bridge_and_its_port_run_side_by_side(play: Play) -> None:
    """A message that means something for two links has two lanes."""
    story = play().begin(seen("br0", 5, kind="bridge", dump=1), seen("eth0", 2, master=5, dump=1))
    degraded = "/etc/netevd/degraded-carrier.d/a"
    story.with_scripts(NO_CARRIER, degraded)

    (
        story
        >> seen("eth0", 2, master=5, carrier=False)
        << f"""
        4 eth0 no-carrier
        5 br0 degraded-carrier
        start 1: {NO_CARRIER} for 4
        start 2: {degraded} for 5
        """
    )


def test_concurrency_is_a_limit_and_the_oldest_is_next(play: Play) -> None:
    """Not more than scripts.concurrency run at once; the lowest sequence starts first."""
    story = play(configure(concurrency=2)).begin(
        *(seen(f"eth{number}", number + 2, dump=1) for number in range(4))
    )
    story.with_scripts(NO_CARRIER)

    for number in (3, 1):
        story.fill(seen(f"eth{number}", number + 2, carrier=False))
    story >> seen("eth2", 4, carrier=False) << "7 eth2 no-carrier"
    story >> seen("eth0", 2, carrier=False) << "8 eth0 no-carrier"
    (
        story
        >> finished(2)
        << f"""
        end 2: ok
        info: Script {NO_CARRIER} exited with code 0
        start 3: {NO_CARRIER} for 7
        """
    )
    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {NO_CARRIER} exited with code 0
        start 4: {NO_CARRIER} for 8
        """
    )


def test_a_name_is_in_order_across_incarnations(play: Play) -> None:
    """A link made again under its name waits for the scripts of the one before."""
    story = play().begin(seen("eth0", 2, dump=1))
    story.with_scripts(REMOVED, ADDED)

    story >> gone(2) << f"2 eth0 link-removed\nstart 1: {REMOVED} for 2"
    story >> seen("eth0", 3) << "3 eth0 link-added\n4 eth0 carrier"
    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {REMOVED} exited with code 0
        start 2: {ADDED} for 3
        """
    )


def test_another_name_does_not_wait_for_the_incarnation_before(play: Play) -> None:
    """An index used again for a link of another name has nothing to wait for."""
    story = play().begin(seen("eth0", 2, dump=1))
    story.with_scripts(REMOVED, ADDED)

    story.fill(gone(2))
    (
        story
        >> seen("wan0", 2)
        << f"""
        3 wan0 link-added
        4 wan0 carrier
        dump 2
        start 2: {ADDED} for 3
        """
    )


def test_exit_codes_and_signals_are_told(story: Playbook) -> None:
    """How a script ended is one log line with the link, the event and the time it took."""
    story.fill(seen("eth0", 2, carrier=False))
    (
        story
        >> finished(1, -9)
        << (f"end 1: failed\nwarn: Script {NO_CARRIER} was ended by signal SIGKILL")
    )

    note = story.actions[1]
    assert isinstance(note, Note)
    assert note.fields == {
        "interface": "eth0", "event": "no-carrier", "sequence": 3, "run": 1,
        "script": NO_CARRIER, "duration": 1.5,
    }  # fmt: skip


def test_leftovers_are_told(story: Playbook) -> None:
    """One line says how many processes a script left behind."""
    story.fill(seen("eth0", 2, carrier=False))
    (
        story
        >> finished(1, leftovers=3)
        << f"""
        end 1: ok
        info: Script {NO_CARRIER} exited with code 0
        warn: Script {NO_CARRIER} left 3 processes behind, which were killed
        """
    )


def test_a_timeout_is_term_then_kill(story: Playbook) -> None:
    """After script_timeout a script gets TERM, 5 s later KILL, and its result is timeout."""
    story.fill(seen("eth0", 2, carrier=False))
    story >> 3.0 << NOTHING
    story >> RunStarted(1) << NOTHING
    story >> 29.9 << NOTHING
    (
        story
        >> 0.1
        << f"""
        signal 1: TERM
        warn: Script {NO_CARRIER} has run for 30 s, its limit, and gets TERM
        """
    )
    story >> 4.9 << NOTHING
    (
        story
        >> 0.1
        << f"""
        signal 1: KILL
        warn: Script {NO_CARRIER} has not ended within 5 s after TERM and gets KILL
        """
    )
    story >> 4.9 << NOTHING
    (
        story
        >> 0.1
        << f"error: Script {NO_CARRIER} has not ended within 5 s after KILL; what its link runs waits for it"
    )
    story >> 3600 << NOTHING
    (
        story
        >> finished(1, -9)
        << (f"end 1: timeout\nwarn: Script {NO_CARRIER} was ended by signal SIGKILL")
    )


def test_a_script_that_ends_by_itself_after_term_has_timed_out(story: Playbook) -> None:
    """Exit code 0 after the limit is a timeout nevertheless."""
    story.fill(seen("eth0", 2, carrier=False), RunStarted(1))
    story.fill(30.0)
    story >> finished(1) << (f"end 1: timeout\ninfo: Script {NO_CARRIER} exited with code 0")
    story >> 10.0 << NOTHING


def test_waiting_scripts_have_their_whole_time(story: Playbook) -> None:
    """The time in the queue is not counted."""
    story.fill(seen("eth0", 2, carrier=False), RunStarted(1), seen("eth0", 2))
    story >> 29.0 << NOTHING
    story.fill(finished(1), RunStarted(2))
    story >> 29.9 << NOTHING


def test_a_runner_that_does_not_answer_is_told_once(story: Playbook) -> None:
    """A start that is not confirmed within 10 s is said, and waited for."""
    story.fill(seen("eth0", 2, carrier=False))
    (
        story
        >> 10.0
        << f"warn: Script {NO_CARRIER} was not started within 10 s; still waiting for the runner"
    )
    story >> 3600 << NOTHING
    story >> RunStarted(1) << NOTHING
    story >> finished(1) << f"end 1: ok\ninfo: Script {NO_CARRIER} exited with code 0"


def test_a_refused_script_ends_and_the_next_one_starts(story: Playbook) -> None:
    """The runner's refusal is a result like others."""
    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2))
    (
        story
        >> RunRefused(1, "it is writable by others")
        << f"""
        end 1: refused
        warn: Script {NO_CARRIER} was not run: it is writable by others
        start 2: {CARRIER} for 4
        """
    )


def test_the_runner_dies(story: Playbook) -> None:
    """Scripts that it had are lost, once; those that waited go on with the next runner."""
    story.fill(seen("eth0", 2, carrier=False), RunStarted(1), seen("eth0", 2))
    story.fill(seen("eth1", 3, carrier=False))
    (
        story
        >> RunnerLost()
        << f"""
        end 1: lost
        warn: Script {NO_CARRIER} is lost: the runner died and its scripts with it
        end 3: lost
        warn: Script {NO_CARRIER} is lost: the runner died and its scripts with it
        """
    )
    story >> finished(1) << NOTHING
    story >> seen("eth1", 3) << "6 eth1 carrier"
    story >> RunnerConnected() << NOTHING
    (
        story
        >> HooksListed(hooks(CARRIER, NO_CARRIER, first=7))
        << f"""
        start 2: {CARRIER} for 4
        start 4: {CARRIER} for 6
        """
    )
    assert [each.hook.entry for each in story.actions if isinstance(each, StartRun)] == [7, 7]


def test_nothing_starts_without_a_runner(play: Play) -> None:
    """Scripts wait for the first runner."""
    story = play().begin(seen("eth0", 2, dump=1))
    story.with_scripts(NO_CARRIER)
    story.fill(RunnerLost())

    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"
    story >> HooksListed(hooks(NO_CARRIER)) << NOTHING
    story >> RunnerConnected() << f"start 1: {NO_CARRIER} for 2"


def test_a_lane_overflows(story: Playbook) -> None:
    """Beyond the limit the newest are dropped: each has its record, and one line says it."""
    for _ in range(LIMIT // 2):
        story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2))

    (
        story
        >> seen("eth0", 2, carrier=False)
        << f"""
        {3 + LIMIT} eth0 no-carrier
        end {1 + LIMIT}: dropped
        warn: Script {NO_CARRIER} was not run: {LIMIT} scripts of this link were waiting; it and \
later ones are dropped until fewer are waiting
        """
    )
    story >> seen("eth0", 2) << f"{4 + LIMIT} eth0 carrier\nend {2 + LIMIT}: dropped"
    (
        story
        >> seen("eth1", 3, carrier=False)
        << (f"{5 + LIMIT} eth1 no-carrier\nstart {3 + LIMIT}: {NO_CARRIER} for {5 + LIMIT}")
    )
    story.fill(finished(1))
    story >> seen("eth0", 2, carrier=False) << f"{6 + LIMIT} eth0 no-carrier"
    story.fill(seen("eth0", 2))
    assert [type(each) for each in story.actions[1:]] == [EndRun, Note]


def test_stopping_starts_nothing_and_ends_what_runs(story: Playbook) -> None:
    """What waits is counted in one line; what runs keeps its limit and its record."""
    story.fill(seen("eth0", 2, carrier=False), RunStarted(1), seen("eth0", 2))
    story.fill(seen("eth0", 2, carrier=False))

    (
        story
        >> Stopping(kept=True)
        << (
            "info: netevd stops while 2 scripts and 0 debounce windows wait:"
            " the next netevd goes on with them"
        )
    )
    story >> seen("eth1", 3, carrier=False) << "6 eth1 no-carrier"
    (
        story
        >> 30.0
        << f"""
        signal 1: TERM
        warn: Script {NO_CARRIER} has run for 30 s, its limit, and gets TERM
        """
    )
    (
        story
        >> finished(1, -15)
        << (f"end 1: timeout\nwarn: Script {NO_CARRIER} was ended by signal SIGTERM")
    )


def test_what_nobody_remembers_is_forgotten_aloud(story: Playbook) -> None:
    """Without a state directory the end of the daemon is that of what waits, and it says so."""
    story.fill(seen("eth0", 2, carrier=False), RunStarted(1), seen("eth0", 2))

    (
        story
        >> Stopping(kept=False)
        << (
            "warn: netevd stops while 1 scripts and 0 debounce windows wait:"
            " they are forgotten, since there is no state directory"
        )
    )


def test_stopping_with_nothing_to_do_says_nothing(story: Playbook) -> None:
    """An idle daemon has nothing to say when it stops."""
    story >> Stopping(kept=True) << NOTHING
