"""Retries: when, how often, what is said, and what goes on meanwhile."""

from __future__ import annotations

from netevd.config.kinds import Duration, Times
from netevd.model.actions import EndRun, Note
from netevd.model.inputs import HooksListed, RunnerLost, RunRefused, RunStarted, Stopping
from tests.stories.configurations import configure, rule
from tests.stories.playbook import NOTHING, Play, Playbook, finished, hooks, seen

CARRIER = "/etc/netevd/carrier.d/a"
NO_CARRIER = "/etc/netevd/no-carrier.d/a"


def begin(play: Play, retries: int = 2, concurrency: int = 8, **settings: object) -> Playbook:
    """Return a story of two links; the script of no-carrier is tried again."""
    retried = rule(NO_CARRIER, retries=Times(retries), **settings)
    story = play(configure(rules=(retried,), concurrency=concurrency))
    story.begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    return story.with_scripts(CARRIER, NO_CARRIER)


def failed(wait: str) -> str:
    """Return what is said of an attempt that failed and is followed by another."""
    return f"""
        end 1: failed, not final
        warn: Script {NO_CARRIER} exited with code 3
        info: Script {NO_CARRIER} is tried again in {wait}
        """


def test_a_script_that_fails_is_tried_again_with_doubled_delays(play: Play) -> None:
    """Each failure is said; the last attempt's end is the run's, and the lane has waited for it."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), seen("eth0", 2))

    story >> finished(1, 3) << failed("1 s")
    story >> 0.9 << NOTHING
    story >> 0.1 << f"start 1: {NO_CARRIER} for 3"
    story >> finished(1, 3) << failed("2 s")
    story >> 1.9 << NOTHING
    story >> 0.1 << f"start 1: {NO_CARRIER} for 3"
    (
        story
        >> finished(1, 3)
        << f"""
        end 1: failed
        warn: Script {NO_CARRIER} exited with code 3
        start 2: {CARRIER} for 4
        """
    )
    (end,) = [each for each in story.actions if isinstance(each, EndRun)]
    assert (end.attempt, end.final) == (3, True)


def test_a_retry_that_does_well_is_the_end(play: Play) -> None:
    """After an attempt that went well there is no other."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), finished(1, 3), 1.0)

    story >> finished(1) << f"end 1: ok\ninfo: Script {NO_CARRIER} exited with code 0"
    story >> 3600 << NOTHING


def test_the_line_of_a_retry_counts_attempts(play: Play) -> None:
    """Which attempt comes next, of how many, is told as fields."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), finished(1, 3))

    note = story.actions[-1]
    assert isinstance(note, Note)
    assert (note.fields["attempt"], note.fields["attempts"]) == (2, 3)


def test_a_timeout_is_a_failure(play: Play) -> None:
    """A script that was too slow is tried again, with its whole time."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), RunStarted(1), 30.0)

    (
        story
        >> finished(1, -15)
        << f"""
        end 1: timeout, not final
        warn: Script {NO_CARRIER} was ended by signal SIGTERM
        info: Script {NO_CARRIER} is tried again in 1 s
        """
    )
    story.fill(1.0, RunStarted(1))
    story >> 29.9 << NOTHING


def test_a_refusal_and_a_loss_are_not_tried_again(play: Play) -> None:
    """What the script did not do wrong is no reason to repeat it."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), seen("eth1", 3, carrier=False))

    (
        story
        >> RunRefused(1, "it is writable by others")
        << f"""
        end 1: refused
        warn: Script {NO_CARRIER} was not run: it is writable by others
        """
    )
    (
        story
        >> RunnerLost()
        << f"""
        end 2: lost
        warn: Script {NO_CARRIER} is lost: the runner died and its scripts with it
        """
    )
    story >> 3600 << NOTHING


def test_waiting_for_a_retry_holds_no_slot_and_no_mutex(play: Play) -> None:
    """With one slot and one mutex for all, another link's script runs between two attempts."""
    story = begin(play, concurrency=1, mutex="xtables")
    story.fill(seen("eth0", 2, carrier=False), seen("eth1", 3, carrier=False))

    (
        story
        >> finished(1, 3)
        << f"""
        end 1: failed, not final
        warn: Script {NO_CARRIER} exited with code 3
        info: Script {NO_CARRIER} is tried again in 1 s
        start 2: {NO_CARRIER} for 4
        """
    )
    story >> 1.0 << NOTHING
    (
        story
        >> finished(2)
        << f"""
        end 2: ok
        info: Script {NO_CARRIER} exited with code 0
        start 1: {NO_CARRIER} for 3
        """
    )


def test_a_script_that_is_gone_is_not_tried_again(play: Play) -> None:
    """A retry runs the file as it is then; without one the run ends as refused."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), finished(1, 3))
    story.fill(HooksListed(hooks(CARRIER)))

    (
        story
        >> 1.0
        << f"""
        end 1: refused
        warn: Script {NO_CARRIER} was not run: it is not there any more
        """
    )
    (end,) = [each for each in story.actions if isinstance(each, EndRun)]
    assert end.attempt == 2


def test_delays_double_up_to_five_minutes(play: Play) -> None:
    """A rule's first delay is its own, doubled each time; no delay grows beyond 5 minutes."""
    story = begin(play, retries=12, retry_delay=Duration(20.0))
    story.fill(seen("eth0", 2, carrier=False))

    waits = []
    for _ in range(7):
        story.fill(finished(1, 3))
        waits.append((story.engine.deadline() or 0.0) - story.time)
        story.fill(waits[-1])

    assert waits == [20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]


def test_a_first_delay_beyond_five_minutes_stays_as_it_is(play: Play) -> None:
    """Whoever asks for ten minutes gets ten, each time."""
    story = begin(play, retry_delay=Duration(600.0)).fill(seen("eth0", 2, carrier=False))

    for _ in range(2):
        story.fill(finished(1, 3))
        assert story.engine.deadline() == story.time + 600.0
        story.fill(600.0)


def test_stopping_leaves_the_next_attempt_to_the_next_daemon(play: Play) -> None:
    """A run between two attempts stays open when netevd stops, and nothing wakes for it."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), finished(1, 3))

    (
        story
        >> Stopping(kept=True)
        << (
            "info: netevd stops while 1 scripts and 0 debounce windows wait:"
            " the next netevd goes on with them"
        )
    )
    assert story.engine.deadline() is None
    story >> 3600 << NOTHING
    assert [each.number for each in story.engine.insight.get_open_runs()] == [1]


def test_what_fails_while_netevd_stops_is_tried_by_the_next(play: Play) -> None:
    """The stop of the daemon does not wait for retries, and ends none."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), Stopping(kept=True))

    (
        story
        >> finished(1, 3)
        << f"""
        end 1: failed, not final
        warn: Script {NO_CARRIER} exited with code 3
        info: Script {NO_CARRIER} is tried again by the next netevd
        """
    )
    story >> 3600 << NOTHING
