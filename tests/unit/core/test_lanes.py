"""Order of runs where stories do not reach."""

from __future__ import annotations

from netevd.core.lanes import LIMIT, Lanes, Run
from netevd.model.event import Event, EventType
from netevd.model.inputs import Hook
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.playbook import link

HOOK = Hook(1, "carrier", "a", "/a", runnable=True, reason="")


def make_run(number: int, lane: int, name: str) -> Run:
    """Return a run of this lane and link name."""
    snapshot = Snapshot(link(name, 2), (), OperationalState.CARRIER)
    return Run(number, HOOK, Event(number, EventType.CARRIER, 0, snapshot, None, lane))


def take_all(lanes: Lanes) -> list[int]:
    """Return the numbers of the runs that may start, in order."""
    found = []
    while lanes.ready:
        found.append(lanes.take().number)
    return found


def test_empty_lanes() -> None:
    """Nothing may start."""
    lanes = Lanes()

    assert not lanes.ready
    assert lanes.size == 0
    assert not lanes.is_full(1)


def test_a_name_chains_lanes() -> None:
    """A run waits for another lane only by its name, and its own lane waits behind it."""
    lanes = Lanes()
    runs = [
        make_run(1, 1, "eth0"),
        make_run(2, 2, "eth0"),
        make_run(3, 2, "eth1"),
        make_run(4, 3, "eth1"),
    ]
    for run in runs:
        lanes.add(run)

    order = []
    for run in runs:
        order.append(take_all(lanes))
        lanes.release(run)

    assert order == [[1], [2], [3], [4]]
    assert lanes.size == 0


def test_both_followers_of_a_run_may_start() -> None:
    """The end of one run may free its lane for one run and its name for another."""
    lanes = Lanes()
    first = make_run(1, 1, "eth0")
    for run in (first, make_run(2, 1, "lan0"), make_run(3, 2, "eth0")):
        lanes.add(run)
    assert lanes.take() is first
    assert not lanes.ready

    lanes.release(first)

    assert take_all(lanes) == [2, 3]


def test_a_lane_is_full_at_its_limit_only() -> None:
    """The limit counts what waits and what runs, of this lane."""
    lanes = Lanes()
    for number in range(1, LIMIT):
        lanes.add(make_run(number, 1, "eth0"))
    assert not lanes.is_full(1)

    last = make_run(LIMIT, 1, "eth0")
    lanes.add(last)

    assert lanes.is_full(1)
    assert not lanes.is_full(2)
    lanes.release(lanes.take())
    assert not lanes.is_full(1)
