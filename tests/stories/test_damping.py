"""Damping: what flaps for long runs nothing until it is quiet, and then what is new."""

from __future__ import annotations

import msgspec

from netevd.config.kinds import Duration, Penalty
from netevd.config.schema import Damping
from netevd.core.damping import LIMIT
from netevd.core.engine import Engine
from netevd.model.actions import Outcome, StartRun
from netevd.model.inputs import ClearDamping, HooksListed, RunnerConnected
from netevd.model.memory import Numbers, State
from netevd.model.waiting import Waiting
from netevd.report.packing import Packing
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, Play, Playbook, finished, gone, hooks, seen

CARRIER = "/etc/netevd/carrier.d/a"
NO_CARRIER = "/etc/netevd/no-carrier.d/a"
SETTINGS = Damping(True, Duration(10.0), Penalty(3000), Penalty(1000), Duration(40.0))
"""More than three events at once are too many; a quarter of 4000 is left after 20 s."""


def begin(play: Play, settings: Damping = SETTINGS) -> Playbook:
    """Return a story of eth0 and eth1, whose carrier events have scripts."""
    story = play(configure(damping=settings, initial=False))
    story.begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    return story.with_scripts(CARRIER, NO_CARRIER)


def flap(story: Playbook, times: int, run: int = 1) -> Playbook:
    """Have the carrier of eth0 go and come in turn, so many changes in all, each script ending."""
    for number in range(times):
        story.fill(seen("eth0", 2, carrier=bool(number % 2)), finished(run + number))
    return story


def test_what_flaps_is_suppressed_and_told_once(play: Play) -> None:
    """Events are published all the same, each with its outcome."""
    story = flap(begin(play), 3)

    (
        story
        >> seen("eth0", 2)
        << """
        6 eth0 carrier
        suppressed 6
        warn: Scripts are suppressed: carrier state of eth0 flaps: penalty 4000, suppressed for 20 s unless more events come
        """
    )
    story >> seen("eth0", 2, carrier=False) << "7 eth0 no-carrier\nsuppressed 7"
    (outcome,) = [each for each in story.actions if isinstance(each, Outcome)]
    assert outcome.reason == "carrier state of eth0 flaps: penalty 5000, suppressed for 23.2 s"


def test_another_link_is_not_suppressed(play: Play) -> None:
    """Each fact of each link has its own penalty."""
    story = flap(begin(play), 5)

    story >> seen("eth1", 3, carrier=False) << f"8 eth1 no-carrier\nstart 4: {NO_CARRIER} for 8"


def test_what_is_new_runs_once_it_is_quiet(play: Play) -> None:
    """The latest suppressed event runs, with the link before the first of them."""
    story = flap(begin(play), 3)
    story.fill(seen("eth0", 2), seen("eth0", 2, carrier=False), seen("eth0", 2))

    story >> 25.8 << NOTHING
    (
        story
        >> 0.1
        << f"""
        info: Scripts are no longer suppressed: carrier state of eth0 may run them again: it has been quiet long enough
        released 8 into 8
        start 4: {CARRIER} for 8
        """
    )
    told = msgspec.json.decode(story.get_values()["JSON"])
    assert told["event"]["coalesced"] == 3
    assert (told["before"]["carrier"], told["interface"]["carrier"]) == (False, True)


def test_nothing_runs_when_the_fact_is_where_it_was(play: Play) -> None:
    """Before the suppression and after it the carrier was away: its script has run last."""
    story = flap(begin(play), 3)
    story.fill(seen("eth0", 2), seen("eth0", 2, carrier=False))

    story >> 23 << NOTHING
    (
        story
        >> 0.3
        << """
        info: Scripts are no longer suppressed: carrier state of eth0 may run them again: it has been quiet long enough
        unchanged 7
        """
    )
    story >> seen("eth0", 2) << f"8 eth0 carrier\nstart 4: {CARRIER} for 8"


def test_the_penalty_has_a_ceiling(play: Play) -> None:
    """However long something flaps, it is not suppressed for longer than max_suppress after that."""
    story = flap(begin(play), 60)

    story >> 39.9 << NOTHING
    story >> 0.2
    assert "no longer suppressed" in story._unread
    story << story._unread


def test_penalties_decay(play: Play) -> None:
    """Slow changes are never suppressed."""
    story = begin(play)
    for number in range(30):
        story.fill(seen("eth0", 2, carrier=bool(number % 2)))
        assert any(isinstance(each, StartRun) for each in story.actions)
        story.fill(finished(number + 1), 6)


def test_somebody_can_end_it(play: Play) -> None:
    """What was held back runs at once, if it tells anything new; the penalty is forgotten."""
    story = flap(begin(play), 3)
    story.fill(seen("eth0", 2))
    story >> ClearDamping("eth9") << NOTHING

    (
        story
        >> ClearDamping("eth0")
        << f"""
        info: Scripts are no longer suppressed: carrier state of eth0 may run them again: somebody said so
        released 6 into 6
        start 4: {CARRIER} for 6
        """
    )
    story >> ClearDamping() << NOTHING
    assert story.engine.insight.get_waiting().flaps == ()
    story.fill(finished(4))
    story >> seen("eth0", 2, carrier=False) << f"7 eth0 no-carrier\nstart 5: {NO_CARRIER} for 7"


def test_a_link_that_comes_and_goes_flaps(play: Play) -> None:
    """The penalty is that of the name, not that of one incarnation."""
    story = begin(play)
    story.with_scripts("/etc/netevd/link-added.d/a")
    for number in range(4):
        story.fill(gone(2 if number == 0 else 10 + number), seen("eth0", 11 + number))

    reasons = [each.reason for each in story.actions if isinstance(each, Outcome)]
    assert any(reason.startswith("link-added of eth0 flaps") for reason in reasons)


def test_penalties_survive_their_engine(play: Play) -> None:
    """A later engine that gets them goes on with them."""
    story = flap(begin(play), 3)
    story.fill(seen("eth0", 2))
    waiting = story.engine.insight.get_waiting()
    packing = Packing[Waiting](Waiting)
    assert packing.unpack(packing.pack(waiting)) == waiting
    later = play()
    later.time = story.time
    state = State(Numbers(7, 5, 1), waiting=waiting)
    later.engine = Engine(configure(damping=SETTINGS), 1, state=state)
    later.fill(RunnerConnected(), HooksListed(hooks(CARRIER, NO_CARRIER)))

    later >> 19.9 << NOTHING
    (
        later
        >> 0.2
        << f"""
        info: Scripts are no longer suppressed: carrier state of eth0 may run them again: it has been quiet long enough
        released 6 into 6
        start 5: {CARRIER} for 6
        """
    )


def test_what_is_suppressed_is_released_where_nothing_is_damped_any_more(play: Play) -> None:
    """An engine without damping runs it before anything newer."""
    story = flap(begin(play), 3)
    story.fill(seen("eth0", 2))
    later = play()
    later.time = story.time
    state = State(Numbers(7, 5, 1), waiting=story.engine.insight.get_waiting())
    later.engine = Engine(configure(), 1, state=state)

    (
        later
        >> RunnerConnected()
        << """
        info: Scripts are no longer suppressed: carrier state of eth0 may run them again: it has been quiet long enough
        released 6 into 6
        """
    )
    later >> HooksListed(hooks(CARRIER, NO_CARRIER)) << f"start 5: {CARRIER} for 6"


def test_what_is_known_is_bounded(play: Play) -> None:
    """The oldest penalty that suppresses nothing is forgotten."""
    story = flap(begin(play), 4)
    for number in range(LIMIT + 5):
        story.fill(seen(f"a{number}", 100))

    assert len(story.engine.insight.get_waiting().flaps) == LIMIT
    assert ("eth0", "carrier") in {
        (key.interface, key.group) for key, _ in story.engine.insight.get_waiting().flaps
    }
