"""Rules: which runner a script goes to, how long it may run, what stays behind."""

from __future__ import annotations

from attrs import evolve

from netevd.config.kinds import Amount, Duration
from netevd.config.schema import Configuration, Limits
from netevd.model.actions import StartRun
from netevd.model.inputs import (
    HooksListed,
    RunnerConnected,
    RunnerLost,
    RunRefused,
    RunStarted,
)
from tests.stories.configurations import configure, rule
from tests.stories.playbook import NOTHING, Play, Playbook, finished, hooks, seen

CARRIER = "/etc/netevd/carrier.d/a"
NO_CARRIER = "/etc/netevd/no-carrier.d/a"
AS_ROOT = configure(rules=(rule(NO_CARRIER, user="root"),))


def begin(play: Play, configuration: Configuration = AS_ROOT, *, observe: bool = False) -> Playbook:
    """Return a story of two links with carrier and a script for each change of it."""
    story = play(configuration, observe=observe)
    story.begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    return story.with_scripts(CARRIER, NO_CARRIER)


def test_a_script_goes_to_the_runner_of_its_identity(play: Play) -> None:
    """A script whose rule gives it a user is started by that user's runner, others by the first."""
    story = begin(play).fill(RunnerConnected(1), HooksListed(hooks(NO_CARRIER, first=70), 1))

    (
        story
        >> seen("eth0", 2, carrier=False)
        << f"3 eth0 no-carrier\nstart 1: {NO_CARRIER} for 3 by 1"
    )
    (start,) = [each for each in story.actions if isinstance(each, StartRun)]
    assert start.hook.entry == 70, "the entry number is that of its own runner"
    story.fill(finished(1))
    story >> seen("eth0", 2) << f"4 eth0 carrier\nstart 2: {CARRIER} for 4"


def test_a_script_waits_for_its_runner_and_others_do_not(play: Play) -> None:
    """While a runner is away its scripts wait, their lanes with them; the rest goes on."""
    story = begin(play)

    story >> seen("eth0", 2, carrier=False) << "3 eth0 no-carrier"
    story >> seen("eth0", 2) << "4 eth0 carrier"
    story.fill(seen("eth1", 3, carrier=False))
    story >> RunnerConnected(1) << NOTHING
    (
        story
        >> HooksListed(hooks(NO_CARRIER), 1)
        << f"start 1: {NO_CARRIER} for 3 by 1\nstart 3: {NO_CARRIER} for 5 by 1"
    )


def test_the_first_runner_alone_says_which_scripts_there_are(play: Play) -> None:
    """What another runner lists adds no script and takes none away."""
    story = begin(play).fill(RunnerConnected(1), HooksListed(hooks(NO_CARRIER, CARRIER), 1))
    story.fill(HooksListed(hooks(NO_CARRIER)))

    (
        story
        >> seen("eth0", 2, carrier=False)
        << f"""
        3 eth0 no-carrier
        start 1: {NO_CARRIER} for 3 by 1
        """
    )
    story.fill(finished(1))
    story >> seen("eth0", 2) << "4 eth0 carrier"


def test_a_lost_runner_loses_its_own_scripts_only(play: Play) -> None:
    """Scripts of other runners go on when one dies."""
    story = begin(play).fill(RunnerConnected(1), HooksListed(hooks(NO_CARRIER), 1))
    story.fill(seen("eth1", 3, carrier=False), finished(1), seen("eth1", 3), RunStarted(2))
    story.fill(seen("eth0", 2, carrier=False), RunStarted(3))

    (
        story
        >> RunnerLost(1)
        << f"""
        end 3: lost
        warn: Script {NO_CARRIER} is lost: the runner died and its scripts with it
        """
    )
    story >> seen("eth1", 3, carrier=False) << "6 eth1 no-carrier"
    story >> finished(2) << f"end 2: ok\ninfo: Script {CARRIER} exited with code 0"
    story.fill(RunnerConnected(1))
    story >> HooksListed(hooks(NO_CARRIER), 1) << f"start 4: {NO_CARRIER} for 6 by 1"


def test_a_script_is_signalled_by_its_own_runner(play: Play) -> None:
    """A script of a rule has the rule's limit, and its runner sends the signals."""
    story = begin(play, configure(rules=(rule(NO_CARRIER, user="root", timeout=Duration(2.0)),)))
    story.fill(RunnerConnected(1), HooksListed(hooks(NO_CARRIER), 1))
    story.fill(seen("eth0", 2, carrier=False), RunStarted(1))

    story >> 1.9 << NOTHING
    (
        story
        >> 0.1
        << f"""
        signal 1: TERM
        warn: Script {NO_CARRIER} has run for 2 s, its limit, and gets TERM
        """
    )
    assert [getattr(each, "runner", None) for each in story.actions] == [1, None]


def test_a_runner_that_has_not_looked_yet_is_asked(play: Play) -> None:
    """A new script that its own runner has not listed yet is not refused: that runner looks again."""
    story = begin(play).fill(RunnerConnected(1), HooksListed((), 1))

    story >> seen("eth0", 2, carrier=False) << "3 eth0 no-carrier\nlist hooks of 1"
    story >> HooksListed((), 1) << "list hooks of 1"
    story >> HooksListed(hooks(NO_CARRIER), 1) << f"start 1: {NO_CARRIER} for 3 by 1"


def test_what_a_runner_says_twice_is_so(play: Play) -> None:
    """A script that its runner may not execute is refused for that reason, and the lane goes on."""
    story = begin(play).fill(RunnerConnected(1))
    (bad,) = hooks(NO_CARRIER)
    bad = evolve(bad, runnable=False, reason="the script user (uid 7) may not execute it")
    story.fill(HooksListed((bad,), 1))
    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2), HooksListed((bad,), 1))

    (
        story
        >> HooksListed((bad,), 1)
        << f"""
        end 1: refused
        warn: Script {NO_CARRIER} was not run: the script user (uid 7) may not execute it
        start 2: {CARRIER} for 4
        """
    )


def test_a_script_that_is_gone_everywhere_is_refused_at_once(play: Play) -> None:
    """Nobody is asked for a script that the first runner does not know either."""
    story = begin(play).fill(RunnerConnected(1), HooksListed((), 1), RunnerLost(1))
    story.fill(seen("eth0", 2, carrier=False), HooksListed(()), RunnerConnected(1))

    (
        story
        >> HooksListed((), 1)
        << f"""
        end 1: refused
        warn: Script {NO_CARRIER} was not run: it is not there any more
        """
    )


def test_a_rule_without_an_identity_stays_with_the_first_runner(play: Play) -> None:
    """A time limit alone needs no runner of its own."""
    story = begin(play, configure(rules=(rule(NO_CARRIER, timeout=Duration(2.0)),)))

    (story >> seen("eth0", 2, carrier=False) << f"3 eth0 no-carrier\nstart 1: {NO_CARRIER} for 3")


def test_a_detached_script_is_started_as_one(play: Play) -> None:
    """detach is told to the runner with the run, for scripts whose rules say so."""
    story = begin(play, configure(rules=(rule(NO_CARRIER, detach=True),)))
    story.fill(seen("eth0", 2, carrier=False))
    starts = [each for each in story.actions if isinstance(each, StartRun)]
    story.fill(finished(1), seen("eth0", 2))
    starts += [each for each in story.actions if isinstance(each, StartRun)]

    assert [(each.hook.path, each.detach) for each in starts] == [
        (NO_CARRIER, True), (CARRIER, False),
    ]  # fmt: skip


def test_observe_mode_refuses_users_and_capabilities_when_it_comes_to_them(play: Play) -> None:
    """Without root a rule's user is not passed over in silence: the run is refused, with the reason."""
    rules = (rule(NO_CARRIER, user="root"), rule(CARRIER, capabilities=("CAP_NET_ADMIN",)))
    story = begin(play, configure(rules=rules), observe=True)
    reason = (
        "its rule gives it a user or capabilities of its own, which netevd can't do in observe"
        " mode; start netevd as root"
    )

    for number, (carrier, path) in enumerate(((False, NO_CARRIER), (True, CARRIER)), 1):
        kind = "carrier" if carrier else "no-carrier"
        (
            story
            >> seen("eth0", 2, carrier=carrier)
            << f"""
            {number + 2} eth0 {kind}
            end {number}: refused
            warn: Script {path} was not run: {reason}
            """
        )


def test_observe_mode_can_lower_limits(play: Play) -> None:
    """Resource limits need no privilege, so they have their runner in observe mode too."""
    rules = (rule(NO_CARRIER, limits=Limits(open_files=Amount(64))),)
    story = begin(play, configure(rules=rules), observe=True)
    story.fill(RunnerConnected(1), HooksListed(hooks(NO_CARRIER), 1))

    (
        story
        >> seen("eth0", 2, carrier=False)
        << f"3 eth0 no-carrier\nstart 1: {NO_CARRIER} for 3 by 1"
    )
    story.fill(RunRefused(1, "no"))
