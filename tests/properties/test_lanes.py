"""Whatever the runner does: order, the limit, and one end for each run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from netevd.core.engine import Engine
from netevd.core.memory import fold
from netevd.model.actions import Action, AdoptRun, EndRun, Publish, SignalRun, StartRun
from netevd.model.event import EventType
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    Hook,
    HooksListed,
    Input,
    LinkGone,
    LinkSeen,
    Now,
    RunFinished,
    RunnerConnected,
    RunnerLost,
    RunRefused,
    RunStarted,
    Tick,
)
from netevd.model.link import IfIndex
from netevd.model.memory import State
from tests.stories.configurations import configure
from tests.stories.playbook import link

CONCURRENCY = 2
CONFIGURATION = configure(concurrency=CONCURRENCY, initial=False)
NAMES = ("a", "b", "c")
HOOKS = tuple(
    Hook(entry, kind.value, name, f"/{kind}.d/{name}", runnable=True, reason="")
    for entry, (kind, name) in enumerate(((k, n) for k in EventType for n in ("1", "2")), 1)
)


class Household:
    """An engine and a runner that does its work in any order; it minds what may never be."""

    def __init__(self) -> None:
        self.time = 0.0
        self.published = 0
        self.links: dict[int, str] = {}
        self.active: dict[int, StartRun] = {}
        self.started: list[StartRun] = []
        self.ended: list[EndRun] = []
        self.signals: list[tuple[int, str]] = []
        self.runner = True
        self._engine = Engine(CONFIGURATION, first_sequence=1)
        self._memory: State | None = None
        self._life = 0
        """Counts the runners."""
        self._again: set[int] = set()
        """Runs whose request was lost with the worker that made it."""
        self.hand_in(HelperConnected())
        self.hand_in(DumpEnded(1, consistent=True))
        self.connect(0)

    # --- what may happen -------------------------------------------------------------------------

    def change(self, choice: int) -> None:
        """Flip the carrier of a link, or make it."""
        ifindex = choice % 3 + 1
        free = sorted(set(NAMES) - set(self.links.values()))
        if ifindex not in self.links:
            self.links[ifindex] = free[choice % len(free)]
        name = self.links[ifindex]
        self.hand_in(LinkSeen(link(name, ifindex, carrier=bool(choice % 2))))

    def remove(self, choice: int) -> None:
        """Remove a link; its name and index may be used again."""
        ifindex = choice % 3 + 1
        if self.links.pop(ifindex, None) is not None:
            self.hand_in(LinkGone(IfIndex(ifindex)))

    def begin(self, choice: int) -> None:
        """Confirm a start."""
        run = self._choose(choice)
        if run is not None:
            self.hand_in(RunStarted(run))

    def finish(self, choice: int) -> None:
        """End a run."""
        run = self._choose(choice)
        if run is not None:
            del self.active[run]
            self.hand_in(RunFinished(run, choice % 3 - 1, 0.1, 0.1, choice % 2))

    def refuse(self, choice: int) -> None:
        """Refuse a run."""
        run = self._choose(choice)
        if run is not None:
            del self.active[run]
            self.hand_in(RunRefused(run, "no"))

    def die(self, choice: int) -> None:
        """Lose the runner."""
        del choice
        if self.runner:
            self.runner = False
            self.active.clear()
            self.hand_in(RunnerLost())

    def connect(self, choice: int) -> None:
        """Get a runner."""
        del choice
        if not self.started or not self.runner:
            self.runner = True
            self._life += 1
            self.hand_in(RunnerConnected(0, str(self._life)))
            self.hand_in(HooksListed(HOOKS))

    def crash(self, choice: int) -> None:
        """Replace the worker; what it asked for last may not have come to the runner."""
        self._engine = Engine(CONFIGURATION, 1, state=self._memory)
        self.hand_in(HelperConnected("a crash"))
        if choice % 2:  # events come before the runner has listed its scripts
            self.change(choice)
        if choice % 3 == 0:
            self.die(0)
        if not self.runner:
            self.runner = True
            self._life += 1
        if choice % 4 == 0 and self.active:
            run = max(self.active)
            del self.active[run]
            self._again.add(run)
        self.hand_in(RunnerConnected(0, str(self._life), frozenset(self.active)))
        self.hand_in(HooksListed(HOOKS))

    def wait(self, choice: int) -> None:
        """Let time pass."""
        self.time += choice
        deadline = self._engine.deadline()
        if deadline is not None and deadline <= self.time:
            self.hand_in(Tick())

    def come_to_rest(self) -> None:
        """Have every run ended."""
        self.connect(0)
        while self.active:
            self.finish(0)

    # --- inside ----------------------------------------------------------------------------------

    def _choose(self, choice: int) -> int | None:
        return sorted(self.active)[choice % len(self.active)] if self.active else None

    def hand_in(self, given: Input) -> None:
        """Hand an input to the engine and check what comes of it."""
        actions = self._engine.handle(given, Now(self.time, 0))
        record, state = self._engine.take_record(), self._engine.get_state()
        if self._memory is None:
            self._memory = state
        elif record is not None:
            self._memory = fold(self._memory, [record])
        assert self._memory is None or state is None or self._memory.runs == state.runs
        for action in actions:
            self._check(action)
        assert len(self.active) <= CONCURRENCY

    def _check(self, action: Action) -> None:
        match action:
            case Publish():
                self.published += 1
            case StartRun():
                for other in self.active.values():
                    assert other.event.lane != action.event.lane, "two of one lane at once"
                    assert other.event.after.link.name != action.event.after.link.name
                if action.run in self._again:
                    self._again.discard(action.run)
                else:
                    self.started.append(action)
                self.active[action.run] = action
                assert self.runner, "a start without a runner"
            case AdoptRun(run=run):
                assert run in self.active, "a run that the runner does not have"
            case SignalRun(run=run, which=which):
                assert run in self.active, "a signal for a run that has ended"
                self.signals.append((run, which))
            case EndRun():
                self.ended.append(action)
            case _:
                pass


Operation: TypeAlias = Callable[[Household, int], None]

OPERATIONS: tuple[Operation, ...] = (
    *[Household.change] * 6,
    *[Household.finish] * 4,
    *[Household.begin] * 2,
    Household.remove,
    Household.refuse,
    Household.die,
    *[Household.crash] * 2,
    Household.connect,
    Household.wait,
)


def get_lane(start: StartRun) -> int:
    """Return the incarnation a run belongs to."""
    return start.event.lane


def get_name(start: StartRun) -> str:
    """Return LINK of a run."""
    return start.event.after.link.name


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 40)), max_size=80))
def test_runs_are_in_order_within_the_limit_and_end_once(
    steps: list[tuple[Operation, int]],
) -> None:
    """Lanes and names in order, never more than the limit at once, each run with one end."""
    household = Household()
    for operation, choice in steps:
        operation(household, choice)

    household.come_to_rest()

    started = household.started
    keys: tuple[Callable[[StartRun], object], ...] = (get_lane, get_name)
    for key in keys:
        for value in {key(each) for each in started}:
            order = [(s.event.sequence, s.hook.name) for s in started if key(s) == value]
            assert order == sorted(order)
    assert len({each.run for each in started}) == len(started)
    assert sorted(each.run for each in household.ended) == sorted(each.run for each in started)
    assert len(started) == 2 * household.published
    for run in {run for run, _ in household.signals}:
        kinds = [which for number, which in household.signals if number == run]
        assert kinds in (["TERM"], ["TERM", "KILL"])
