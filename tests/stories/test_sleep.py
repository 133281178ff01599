"""What systemd-logind says of the machine's sleep, and what is looked at again after it."""

from __future__ import annotations

from typing import Final

from netevd.config.schema import Debounce, Filter, Match
from netevd.model.backend import AWAKE, SUSPENDING, HostReport
from netevd.model.inputs import BackendFound, BackendLost, BackendSaidHost
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, Play, Playbook, has, seen
from tests.stories.test_wireguard import peer, told

LOGIND: Final = "systemd-logind"
RESTS = BackendSaidHost(HostReport(LOGIND, (SUSPENDING,)))
WAKES = BackendSaidHost(HostReport(LOGIND, (AWAKE,)))
THERE = BackendFound(LOGIND, "252", host=HostReport(LOGIND, (AWAKE,)))


def begin(play: Play, *filters: Filter, debounce: Debounce | None = None) -> Playbook:
    """Return a story of eth0 on a machine that is awake."""
    story = play(configure(filters=filters, debounce=debounce), backends=(LOGIND,))
    return story.fill(THERE).begin(seen("eth0", 2, dump=1))


def test_suspend_and_resume_are_told(play: Play) -> None:
    """One event of the host each, in their order; what repeats itself is no event."""
    story = begin(play)

    story >> RESTS << "2 host manager suspending"
    story >> RESTS << NOTHING
    story >> WAKES << "3 host manager awake"
    assert [each.reason for each in story.events[-2:]] == ["suspend", "resume"]
    assert {each.backend for each in story.events[-2:]} == {LOGIND}


def test_variables_of_a_suspend(play: Play) -> None:
    """A script of manager.d learns which of both it is from two words."""
    story = begin(play).with_scripts("/etc/netevd/manager.d/a")

    story.fill(RESTS)

    values = story.get_values()
    assert (values["BACKEND"], values["NETEVD_REASON"]) == (LOGIND, "suspend")
    assert (values["EVENT"], "LINK" in values) == ("manager", False)


def test_a_filter_knows_who_says_it(play: Play) -> None:
    """Scripts of manager.d can be kept to what logind says."""
    keep = Filter("execute", Match(backend=LOGIND))
    story = begin(play, keep, Filter("ignore")).with_scripts("/etc/netevd/manager.d/a")

    (
        story
        >> RESTS
        << """
        2 host manager suspending
        start 1: /etc/netevd/manager.d/a for 2
        """
    )
    story >> seen("eth0", 2, carrier=False) << "3 eth0 no-carrier"


def test_a_resume_that_was_missed_is_told_later(play: Play) -> None:
    """Who is started again while the machine is about to sleep finds it awake."""
    story = begin(play)
    story >> RESTS << "2 host manager suspending"

    later = play(state=story.engine.get_state(), backends=(LOGIND,)).begin(seen("eth0", 2, dump=1))
    (
        later
        >> THERE
        << """
        info: systemd-logind 252 is there: what it knows counts too
        3 host manager awake
        """
    )


def test_logind_that_restarts_tells_nothing(play: Play) -> None:
    """Its absence is no resume, and its return none either."""
    story = begin(play)
    story.fill(BackendLost(LOGIND, "it has left the bus"))

    story >> THERE << "info: systemd-logind 252 is there: what it knows counts again"


def test_a_window_keeps_the_resume(play: Play) -> None:
    """A debounced suspend and resume run the scripts of the resume: it is not as if nothing had been."""
    story = begin(play, debounce=Debounce(enabled=True)).with_scripts("/etc/netevd/manager.d/a")

    story >> RESTS << "2 host manager suspending"
    story >> WAKES << "3 host manager awake"
    (
        story
        >> 6
        << """
        coalesced 2 into 3
        start 1: /etc/netevd/manager.d/a for 3
        """
    )
    assert story.get_values()["NETEVD_REASON"] == "resume"


def test_tunnels_are_looked_at_after_a_resume(play: Play) -> None:
    """A device is read at once, whenever it would have been next; not before the sleep."""
    story = play(backends=(LOGIND,)).fill(THERE)
    story.begin(seen("wg0", 2, kind="wireguard", dump=1), has("10.0.0.1/24", 2, dump=1))
    story.fill(0, told(1, peer(age=10)))

    story >> RESTS << "3 host manager suspending"
    (
        story
        >> WAKES
        << """
        4 host manager awake
        read 2: wg0 by kernel
        """
    )
