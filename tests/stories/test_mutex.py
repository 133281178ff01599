"""Mutexes: one at a time, in order, without holding up what does not need them."""

from __future__ import annotations

import pytest

from netevd.config.kinds import Duration
from netevd.model.inputs import (
    HooksListed,
    RunnerConnected,
    RunnerLost,
    RunRefused,
    RunStarted,
    Stopping,
)
from tests.stories.configurations import configure, rule
from tests.stories.playbook import NOTHING, Play, Playbook, finished, hooks, seen

LOCKED = "/etc/netevd/no-carrier.d/10-locked"
FREE = "/etc/netevd/no-carrier.d/20-free"
ALSO_LOCKED = "/etc/netevd/carrier.d/10-locked"
RULES = (rule(LOCKED, mutex="xtables"), rule(ALSO_LOCKED, mutex="xtables", timeout=Duration(60.0)))


def begin(play: Play, concurrency: int = 8) -> Playbook:
    """Return a story of three links; each loss of carrier runs a script with a mutex, then another."""
    story = play(configure(rules=RULES, concurrency=concurrency))
    story.begin(*(seen(f"eth{number}", number + 2, dump=1) for number in range(3)))
    return story.with_scripts(LOCKED, FREE, ALSO_LOCKED)


@pytest.fixture
def story(play: Play) -> Playbook:
    """See `begin`."""
    return begin(play)


def ended(run: int, path: str) -> str:
    """Return what is said of a run that went well."""
    return f"end {run}: ok\ninfo: Script {path} exited with code 0\n"


def test_scripts_of_one_mutex_run_one_at_a_time_in_order(story: Playbook) -> None:
    """Scripts of different links wait for each other, whatever rule names the mutex; oldest first."""
    story >> seen("eth0", 2, carrier=False) << f"4 eth0 no-carrier\nstart 1: {LOCKED} for 4"
    story >> seen("eth2", 4, carrier=False) << "5 eth2 no-carrier"
    story >> seen("eth1", 3, carrier=False) << "6 eth1 no-carrier"
    story >> finished(1) << ended(1, LOCKED) + f"start 2: {FREE} for 4\nstart 3: {LOCKED} for 5"
    story >> finished(2) << ended(2, FREE)
    story >> seen("eth0", 2) << "7 eth0 carrier"
    story >> finished(3) << ended(3, LOCKED) + f"start 4: {FREE} for 5\nstart 5: {LOCKED} for 6"
    (
        story
        >> finished(5)
        << ended(5, LOCKED) + f"start 6: {FREE} for 6\nstart 7: {ALSO_LOCKED} for 7"
    )


def test_waiting_for_a_mutex_holds_no_slot(play: Play) -> None:
    """With two slots, one script at work and one that waits for its mutex, a third one starts."""
    story = begin(play, concurrency=2)
    story.fill(seen("eth0", 2, carrier=False), seen("eth1", 3, carrier=False))
    story.with_scripts(FREE)

    story >> seen("eth2", 4, carrier=False) << f"6 eth2 no-carrier\nstart 5: {FREE} for 6"


@pytest.mark.parametrize("given", [RunRefused(1, "no"), finished(1, 3), RunnerLost()])
def test_however_a_script_ends_its_mutex_is_free(story: Playbook, given: object) -> None:
    """A script that failed, was refused or lost gives its mutex to the next."""
    story.fill(seen("eth0", 2, carrier=False), seen("eth1", 3, carrier=False))
    story.fill(given, RunnerConnected(), HooksListed(hooks(LOCKED, FREE)))  # type: ignore[arg-type]
    story >> finished(3) << ended(3, LOCKED) + f"start 4: {FREE} for 5"


def test_a_waiting_script_that_is_gone_lets_the_next_one_have_the_mutex(play: Play) -> None:
    """The mutex passes over a script that is refused when it is its turn."""
    story = play(configure(rules=RULES))
    carriers = {"eth0": True, "eth1": True, "eth2": False}
    links = [seen(name, n, carrier=up, dump=1) for n, (name, up) in enumerate(carriers.items(), 2)]
    story.begin(*links).with_scripts(LOCKED, FREE, ALSO_LOCKED)
    story.fill(seen("eth0", 2, carrier=False), seen("eth1", 3, carrier=False), seen("eth2", 4))
    story.with_scripts(FREE, ALSO_LOCKED)

    (
        story
        >> finished(1)
        << ended(1, LOCKED)
        + f"""\
start 2: {FREE} for 4
end 3: refused
warn: Script {LOCKED} was not run: it is not there any more
start 4: {FREE} for 5
start 5: {ALSO_LOCKED} for 6"""
    )


def test_the_time_of_waiting_is_not_that_of_running(story: Playbook) -> None:
    """A script's limit counts from its start, not from when it could have begun."""
    story.fill(seen("eth0", 2, carrier=False), seen("eth1", 3, carrier=False), RunStarted(1))
    story.fill(29.0, finished(1), finished(2), RunStarted(3))
    story >> 29.9 << NOTHING


def test_while_netevd_stops_a_mutex_lets_nobody_in(story: Playbook) -> None:
    """After a stop the end of a script starts no other."""
    story.fill(seen("eth0", 2, carrier=False), seen("eth1", 3, carrier=False))

    story.fill(Stopping(kept=True))
    story >> finished(1) << ended(1, LOCKED)
