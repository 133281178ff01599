"""Damping by itself: what happens at its bounds, and when more events come while it waits."""

from __future__ import annotations

import pytest
from attrs import evolve

from netevd.config.kinds import Duration, Penalty
from netevd.config.schema import Damping as Settings
from netevd.core.damping import LIMIT, Damping
from netevd.model.event import Event, EventType
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.playbook import link

SETTINGS = Settings(True, Duration(10.0), Penalty(1500), Penalty(1000), Duration(40.0))
"""Two events at once are too many."""


def event(name: str, sequence: int) -> Event:
    """Return an event of a link of this name."""
    after = Snapshot(link(name, 1), (), OperationalState.CARRIER)
    return Event(sequence, EventType.LINK_CHANGED, 0, after, None, 1)


def test_events_that_come_while_it_waits_put_it_off() -> None:
    """The deadline follows, and what is released has counted all of them."""
    damping = Damping(SETTINGS)
    assert damping.admit(event("a", 1), None, 0.0) is None
    assert damping.admit(event("a", 2), None, 0.0) is not None
    assert damping.deadline() == pytest.approx(10.0)
    assert damping.admit(event("a", 3), None, 5.0) is not None
    ((_, known),) = damping.state()
    until = known.until
    assert until is not None

    assert until > 15
    assert damping.release_due(10.0) == []
    assert damping.deadline() == until
    ((_, flap),) = damping.release_due(until)
    assert (flap.count, flap.first, flap.last) == (2, event("a", 2), event("a", 3))
    assert damping.deadline() is None


def test_a_deadline_that_was_passed_by_is_not_told() -> None:
    """Asked for before its old time, it is the new one at once."""
    damping = Damping(SETTINGS)
    for sequence in (1, 2, 3):
        damping.admit(event("a", sequence), None, 0.0)

    assert damping.deadline() == pytest.approx(10 * 1.5849625)


def test_several_are_released_in_the_order_of_their_events() -> None:
    """Also when they are due at once."""
    damping = Damping(SETTINGS)
    for sequence, name in enumerate(("a", "b", "b", "a", "c", "c"), 1):
        damping.admit(event(name, sequence), None, 0.0)

    released = damping.release_due(100.0)
    assert [each.flap.last.sequence for each in released if each.flap.last] == [3, 4, 6]


def test_where_everything_is_suppressed_what_is_new_runs() -> None:
    """No suppressed fact is forgotten, and none beyond the limit is counted."""
    damping = Damping(SETTINGS)
    for number in range(LIMIT):
        damping.admit(event(f"a{number}", 1), None, 0.0)
        assert damping.admit(event(f"a{number}", 2), None, 0.0) is not None

    for sequence in range(10):
        assert damping.admit(event("new", sequence), None, 0.0) is None
    assert len(damping.state()) == LIMIT


def test_a_coalesced_event_counts_once_and_stands_for_many() -> None:
    """Penalties are of runs, numbers of events."""
    damping = Damping(SETTINGS)
    damping.admit(evolve(event("a", 1), coalesced=5), None, 0.0)
    held = damping.admit(evolve(event("a", 9), coalesced=4), None, 0.0)

    assert held is not None
    assert (held[0].penalty, held[0].count) == (2000.0, 4)
