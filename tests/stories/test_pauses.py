"""Pauses: a script that fails again and again is left alone until it is mended."""

from __future__ import annotations

from attrs import evolve

from netevd.config.kinds import Times
from netevd.model.inputs import (
    Hook,
    HooksListed,
    ResumeHook,
    RunnerConnected,
    RunnerLost,
    RunRefused,
    Stopping,
)
from tests.stories.configurations import configure, rule
from tests.stories.playbook import NOTHING, Play, Playbook, finished, hooks, seen

CARRIER = "/etc/netevd/carrier.d/a"
NO_CARRIER = "/etc/netevd/no-carrier.d/a"
HOOKS = hooks(CARRIER, NO_CARRIER)
PAUSED = (
    f"error: Script {NO_CARRIER} is paused, since 2 runs in a row have failed: mend it; it runs"
    " again once its file has changed, as by chmod -x and then chmod +x"
)


def begin(play: Play, pause_after: int = 2, retries: int = 0) -> Playbook:
    """Return a story of two links; a script that fails twice in a row is paused."""
    rules = (rule(NO_CARRIER, retries=Times(retries)),)
    story = play(configure(pause_after=pause_after, rules=rules))
    story.begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    return story.fill(HooksListed(HOOKS))


def lose_carrier(story: Playbook, run: int, status: int) -> Playbook:
    """Have eth0 lose its carrier, its script end so, and the carrier come back."""
    story.fill(seen("eth0", 2, carrier=False), finished(run, status))
    return story


def regain(story: Playbook, run: int) -> Playbook:
    """Have eth0 get its carrier, whose script goes well."""
    return story.fill(seen("eth0", 2), finished(run))


def paused(play: Play) -> Playbook:
    """Return a story in which the script of no-carrier is paused, and four runs have ended."""
    story = begin(play)
    for run in (1, 3):
        regain(lose_carrier(story, run, 3), run + 1)
    return story


def replaced(entry: int) -> tuple[Hook, ...]:
    """Return the table with another file in the place of the script of no-carrier."""
    return (HOOKS[0], evolve(HOOKS[1], entry=entry))


def test_so_many_failures_in_a_row_pause_a_script(play: Play) -> None:
    """It is said once; what would have run is recorded as paused, and other scripts go on."""
    story = begin(play)
    regain(lose_carrier(story, 1, 3), 2)
    story.fill(seen("eth0", 2, carrier=False))

    (
        story
        >> finished(3, 3)
        << f"end 3: failed\nwarn: Script {NO_CARRIER} exited with code 3\n{PAUSED}"
    )
    story >> seen("eth0", 2) << f"6 eth0 carrier\nstart 4: {CARRIER} for 6"
    story.fill(finished(4))
    (
        story
        >> seen("eth0", 2, carrier=False)
        << f"""
        7 eth0 no-carrier
        end 5: paused
        info: Script {NO_CARRIER} was not run: it is paused, since it failed too often in a row
        """
    )


def test_one_success_between_failures_is_enough(play: Play) -> None:
    """Failures count only in a row."""
    story = begin(play)
    for run, status in ((1, 3), (3, 0), (5, 3)):
        regain(lose_carrier(story, run, status), run + 1)

    story >> seen("eth0", 2, carrier=False) << f"9 eth0 no-carrier\nstart 7: {NO_CARRIER} for 9"


def test_a_refused_run_does_not_count(play: Play) -> None:
    """What was not run has not failed."""
    story = begin(play)
    story.fill(seen("eth0", 2, carrier=False), RunRefused(1, "no"), seen("eth0", 2), finished(2))
    lose_carrier(story, 3, 3)

    story >> seen("eth1", 3, carrier=False) << f"6 eth1 no-carrier\nstart 4: {NO_CARRIER} for 6"


def test_retries_are_one_failure_together(play: Play) -> None:
    """Not each attempt counts, but each run."""
    story = begin(play, retries=2)
    story.fill(seen("eth0", 2, carrier=False), finished(1, 3), 1.0, finished(1, 3))

    story >> 2.0 << f"start 1: {NO_CARRIER} for 3"


def test_never_by_default(play: Play) -> None:
    """Without pause_after a script may fail for ever."""
    story = begin(play, pause_after=0)
    for run in range(1, 60, 2):
        regain(lose_carrier(story, run, 3), run + 1)

    story >> seen("eth0", 2, carrier=False) << f"63 eth0 no-carrier\nstart 61: {NO_CARRIER} for 63"


def test_another_file_ends_the_pause(play: Play) -> None:
    """A script that was replaced runs again, and has all its failures before it."""
    story = paused(play)

    (
        story
        >> HooksListed(replaced(9))
        << f"info: Script {NO_CARRIER} is no longer paused: its file has changed"
    )
    (story >> seen("eth0", 2, carrier=False) << f"7 eth0 no-carrier\nstart 5: {NO_CARRIER} for 7")
    story >> finished(5, 3) << f"end 5: failed\nwarn: Script {NO_CARRIER} exited with code 3"


def test_a_file_that_may_not_be_run_ends_the_pause(play: Play) -> None:
    """chmod -x ends the pause, so that chmod +x lets the script run again."""
    story = paused(play)
    bad = evolve(HOOKS[1], runnable=False, reason="it is not executable")

    (
        story
        >> HooksListed((HOOKS[0], bad))
        << f"""
        warn: Script {NO_CARRIER} is skipped: it is not executable
        info: Script {NO_CARRIER} is no longer paused: its file has changed
        """
    )
    story >> HooksListed(HOOKS) << NOTHING
    story >> seen("eth1", 3, carrier=False) << f"7 eth1 no-carrier\nstart 5: {NO_CARRIER} for 7"


def test_the_same_table_again_ends_no_pause(play: Play) -> None:
    """A change of other scripts does not let a paused one run."""
    story = paused(play)

    story >> HooksListed(HOOKS) << NOTHING
    (
        story
        >> seen("eth1", 3, carrier=False)
        << f"""
        7 eth1 no-carrier
        end 5: paused
        info: Script {NO_CARRIER} was not run: it is paused, since it failed too often in a row
        """
    )


def test_a_new_runner_ends_no_pause(play: Play) -> None:
    """A runner that died and numbers its table anew changes no file; later changes do count."""
    story = paused(play).fill(RunnerLost(), RunnerConnected())

    story >> HooksListed(replaced(70)) << NOTHING
    story >> HooksListed(replaced(70)) << NOTHING
    (
        story
        >> HooksListed(replaced(71))
        << f"info: Script {NO_CARRIER} is no longer paused: its file has changed"
    )


def test_somebody_may_end_a_pause(play: Play) -> None:
    """ResumeHook lets a paused script run, and says nothing of one that is not."""
    story = paused(play)

    story >> ResumeHook(CARRIER) << NOTHING
    (
        story
        >> ResumeHook(NO_CARRIER)
        << f"info: Script {NO_CARRIER} is no longer paused: somebody said so"
    )
    story >> seen("eth1", 3, carrier=False) << f"7 eth1 no-carrier\nstart 5: {NO_CARRIER} for 7"


def test_what_a_stop_has_ended_is_no_failure_of_the_script(play: Play) -> None:
    """A script that each stop of the daemon ends is not paused for it."""
    story = begin(play, pause_after=1).fill(seen("eth0", 2, carrier=False), Stopping(kept=True))
    story.fill(finished(1, -15))

    assert not list(story.engine.insight.get_paused())
