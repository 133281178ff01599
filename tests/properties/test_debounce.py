"""Whatever comes and when: debounce neither loses nor doubles, held against a simple oracle."""

from __future__ import annotations

from typing import TypeAlias

from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netevd.config.kinds import Duration, EventLimit, Wait
from netevd.config.schema import Debounce, Override
from netevd.core.debounce import Closed
from netevd.core.debounce import Debounce as Windows
from netevd.core.engine import Engine
from netevd.model.actions import Action, Outcome, Publish, StartRun
from netevd.model.event import Event, EventType
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    Hook,
    HooksListed,
    Input,
    LinkSeen,
    Now,
    RunFinished,
    RunnerConnected,
    Tick,
)
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.configurations import configure
from tests.stories.playbook import link

WINDOW, DOWN = 4, 2
"""Seconds, and the seconds that a lost carrier of lane 2 waits."""

MOST = {1: 2, 2: 4, 3: 4}
"""Events in a window of each lane at most."""

UP, LOST = Snapshot(link("a", 1), (), OperationalState.CARRIER), Snapshot(
    link("a", 1, carrier=False), (), OperationalState.NO_CARRIER
)  # fmt: skip

Step: TypeAlias = tuple[int, int]
"""Seconds that pass, then the lane whose carrier changes."""

STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), min_size=4, max_size=30)


def expect(steps: list[Step]) -> list[tuple[int, ...]]:
    """Return what closes, as the sequences of each window in the order in which they close."""
    open_windows: dict[int, tuple[list[int], int]] = {}
    carrier = dict.fromkeys((1, 2, 3), True)
    closed: list[tuple[int, ...]] = []
    time = 0
    for sequence, (seconds, lane) in enumerate([*steps, (100, 0)], 1):
        for moment in range(time, time + seconds + 1):
            due = [each for each, (_, until) in open_windows.items() if until == moment]
            closed += sorted(
                (tuple(open_windows.pop(each)[0]) for each in due), key=lambda w: w[-1]
            )
        time += seconds
        if not lane:
            break
        carrier[lane] = not carrier[lane]
        if lane == 3 and carrier[lane] and lane not in open_windows:
            continue  # with up: 0s it does not wait
        wait = DOWN if lane == 2 and not carrier[lane] else WINDOW
        sequences, until = open_windows.get(lane, ([], time + wait))
        sequences.append(sequence)
        until = min(until, time + (0 if lane == 3 and carrier[lane] else wait))
        if len(sequences) == MOST[lane] or until == time:
            open_windows.pop(lane, None)
            closed.append(tuple(sequences))
        else:
            open_windows[lane] = (sequences, until)
    return closed


def make_event(sequence: int, lane: int, *, carrier: bool) -> Event:
    """Return that a link, whose name tells its lane, got or lost its carrier."""
    after, before = (UP, LOST) if carrier else (LOST, UP)
    named = {name: evolve(each, link=evolve(each.link, name=f"l{lane}"))
             for name, each in (("after", after), ("before", before))}  # fmt: skip
    kind = EventType.CARRIER if carrier else EventType.NO_CARRIER
    return Event(sequence, kind, 0, named["after"], named["before"], lane)


SETTINGS = Debounce(
    enabled=True,
    window=Duration(WINDOW),
    max_events=EventLimit(4),
    overrides=(
        Override("l1", max_events=EventLimit(2)),
        Override("l2", down=Wait(DOWN)),
        Override("l3", up=Wait(0.0)),
    ),
)


@example(steps=[(0, 1), (1, 1), (1, 1), (3, 1)], restarts=set())  # a window at a time given up
@example(steps=[(0, 2), (3, 2), (1, 2), (2, 2)], restarts={4})  # one that closes earlier
@settings(max_examples=400, deadline=None)
@given(steps=STEPS, restarts=st.sets(st.integers(0, 40)))
def test_windows_are_those_of_the_oracle(steps: list[Step], restarts: set[int]) -> None:
    """Each event that waits is in one window, also when the windows change hands in between."""
    windows = Windows(SETTINGS)
    carrier = dict.fromkeys((1, 2, 3), True)
    closed: list[Closed] = []
    time = 0.0
    for sequence, (seconds, lane) in enumerate(steps, 1):
        end = time + seconds
        while (due := windows.deadline()) is not None and due <= end:
            time = max(time, due)
            closed += windows.close_due(time)
        time = end
        if sequence in restarts:
            windows = Windows(SETTINGS, windows.state())
        carrier[lane] = not carrier[lane]
        closed += windows.admit(make_event(sequence, lane, carrier=carrier[lane]), None, time) or []
    while (due := windows.deadline()) is not None:
        closed += windows.close_due(due)

    assert [each.window.sequences for each in closed] == expect(steps)
    assert len(windows) == 0


KINDS = ("carrier", "no-carrier")
HOOKS = tuple(
    Hook(entry, kind, "a", f"/{kind}.d/a", runnable=True, reason="") for entry, kind in enumerate(KINDS, 1)
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(steps=STEPS, net_effect=st.booleans())
def test_every_event_is_accounted_for_and_scripts_see_what_is_so(
    steps: list[Step], net_effect: bool
) -> None:
    """Each event has run, was coalesced into one that has, or left all as it was; exactly one of these.

    And what the scripts of a link were told last is what is so, as if there were no debounce.
    """
    debounce = evolve(SETTINGS, overrides=(), net_effect=net_effect)
    engine = Engine(configure(debounce=debounce, initial=False), 1)
    time = 0.0
    done: list[Action] = []

    def hand_in(input_: Input) -> None:
        actions = engine.handle(input_, Now(time, 0))
        done.extend(actions)
        for each in actions:
            if isinstance(each, StartRun):
                hand_in(RunFinished(each.run, 0, 0.1, 0.1, 0))

    def wait(seconds: float) -> None:
        nonlocal time
        end = time + seconds
        while (due := engine.deadline()) is not None and due <= end:
            time = max(time, due)
            hand_in(Tick())
        time = end

    carrier = dict.fromkeys((1, 2, 3), True)
    for each in (RunnerConnected(), HooksListed(HOOKS), HelperConnected()):
        hand_in(each)
    for lane in carrier:
        hand_in(LinkSeen(link(f"l{lane}", lane), 1))
    hand_in(DumpEnded(1, consistent=True))
    done.clear()
    for seconds, lane in steps:
        wait(seconds)
        carrier[lane] = not carrier[lane]
        hand_in(LinkSeen(link(f"l{lane}", lane, carrier=carrier[lane])))
    wait(100)

    published = [each.event for each in done if isinstance(each, Publish)]
    started = [each.event for each in done if isinstance(each, StartRun)]
    outcomes = [each for each in done if isinstance(each, Outcome)]
    assert len(published) == len(steps)
    explained = [each for outcome in outcomes for each in outcome.sequences]
    assert sorted([*explained, *(each.sequence for each in started)]) == [
        each.sequence for each in published
    ]
    assert all(each.into in {event.sequence for event in started} for each in outcomes if each.into)
    if not net_effect:
        assert all(each.result == "coalesced" for each in outcomes)
    told = dict.fromkeys(carrier, True)
    for event in started:
        assert event.after is not None
        assert event.before is not None
        told[event.after.link.ifindex] = event.after.link.carrier
    assert told == carrier
