"""scripts.obsolete: what a later state makes pointless."""

from __future__ import annotations

from typing import Literal

from netevd.config.kinds import Times
from tests.stories.configurations import configure, rule
from tests.stories.playbook import Play, Playbook, finished, has, lost, seen

CARRIER = "/etc/netevd/carrier.d/a"
NO_CARRIER = "/etc/netevd/no-carrier.d/a"
OFF = "/etc/netevd/off.d/a"
ADDED = "/etc/netevd/address-added.d/a"
REMOVED = "/etc/netevd/address-removed.d/a"


def begin(play: Play, obsolete: Literal["run", "skip"] = "skip", retries: int = 0) -> Playbook:
    """Return a story of two links with carrier."""
    rules = (rule(NO_CARRIER, retries=Times(retries)),)
    story = play(configure(obsolete=obsolete, rules=rules))
    story.begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    return story.with_scripts(CARRIER, NO_CARRIER, OFF, ADDED, REMOVED)


def flap(story: Playbook) -> Playbook:
    """Have a link lose its carrier, get it, lose it and get it again."""
    for carrier in (False, True, False, True):
        story.fill(seen("eth0", 2, carrier=carrier))
    return story


def test_states_that_a_later_one_outdates_are_skipped(play: Play) -> None:
    """Of the states of a link that flapped while a script ran, only the last one's scripts run."""
    story = flap(begin(play))

    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {NO_CARRIER} exited with code 0
        end 2: obsolete
        info: Script {CARRIER} was not run: a later state of its link is waiting
        end 3: obsolete
        info: Script {NO_CARRIER} was not run: a later state of its link is waiting
        start 4: {CARRIER} for 6
        """
    )


def test_by_default_every_state_runs(play: Play) -> None:
    """obsolete: run leaves nothing out."""
    story = flap(begin(play, "run"))

    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {NO_CARRIER} exited with code 0
        start 2: {CARRIER} for 4
        """
    )


def test_groups_and_links_are_judged_by_themselves(play: Play) -> None:
    """A later operational state outdates no carrier state, nor does another link's."""
    story = begin(play).fill(seen("eth0", 2, carrier=False), seen("eth0", 2))
    story.fill(seen("eth0", 2, up=False), seen("eth1", 3, carrier=False))

    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {NO_CARRIER} exited with code 0
        end 2: obsolete
        info: Script {CARRIER} was not run: a later state of its link is waiting
        start 3: {NO_CARRIER} for 6
        """
    )
    (
        story
        >> finished(3)
        << f"""
        end 3: ok
        info: Script {NO_CARRIER} exited with code 0
        start 4: {OFF} for 7
        """
    )


def test_addresses_are_never_obsolete(play: Play) -> None:
    """What is no state has its scripts run each time."""
    story = begin(play)
    for _ in range(2):
        story.fill(has("192.0.2.1/24", 2), lost("192.0.2.1/24", 2))

    order = ((ADDED, REMOVED, 6), (REMOVED, ADDED, 7), (ADDED, REMOVED, 10))
    for run, (path, next_path, sequence) in enumerate(order, 1):
        (
            story
            >> finished(run)
            << f"""
            end {run}: ok
            info: Script {path} exited with code 0
            start {run + 1}: {next_path} for {sequence}
            """
        )


def test_a_retry_is_outdated_like_a_first_attempt(play: Play) -> None:
    """A script that failed is not tried again once a later state waits."""
    story = begin(play, retries=5).fill(seen("eth0", 2, carrier=False), finished(1, 3))
    story.fill(seen("eth0", 2))

    (
        story
        >> 1.0
        << f"""
        end 1: obsolete
        info: Script {NO_CARRIER} was not run: a later state of its link is waiting
        start 2: {CARRIER} for 4
        """
    )
