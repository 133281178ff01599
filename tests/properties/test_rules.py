"""Whatever the runners do: mutexes, retries, pauses and lanes hold, and nothing waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from netevd.config.identities import Identities
from netevd.config.kinds import Amount, Duration, Times
from netevd.config.schema import Limits
from netevd.core.engine import Engine
from netevd.model.actions import Action, EndRun, Publish, RequestHooks, SignalRun, StartRun
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
    Stopping,
    Tick,
)
from netevd.model.link import IfIndex
from tests.stories.configurations import configure, rule
from tests.stories.playbook import link

CONCURRENCY = 2
RETRIES = 2
NAMES = ("a", "b", "c")
PATHS = [(kind.value, name) for kind in EventType for name in ("1", "2")]
RULES = (
    rule("/carrier.d/1", mutex="m", retries=Times(RETRIES)),
    rule("/carrier.d/2", mutex="n", user="root", detach=True),
    rule("/no-carrier.d/1", mutex="m", user="root", retries=Times(RETRIES)),
    rule("/no-carrier.d/2", mutex="n", retries=Times(1), timeout=Duration(2.0)),
    rule("/link-removed.d/1", mutex="m", limits=Limits(open_files=Amount(64))),
)
MUTEXES: dict[str, str | None] = {each.path: each.mutex for each in RULES}
ATTEMPTS: dict[str, int] = {each.path: each.retries + 1 for each in RULES}


def list_hooks(runner: int, *, without: str = "") -> tuple[Hook, ...]:
    """Return the table of a runner, whose numbers are its own."""
    return tuple(
        Hook(entry + 1000 * runner, kind, name, f"/{kind}.d/{name}", runnable=True, reason="")
        for entry, (kind, name) in enumerate(PATHS, 1)
        if f"/{kind}.d/{name}" != without
    )


class Household:
    """An engine and runners that do their work in any order; it minds what may never be."""

    def __init__(self, **more: Any) -> None:
        configuration = configure(concurrency=CONCURRENCY, initial=False, rules=RULES, **more)
        self.identities = Identities(configuration, observe=False)
        self.time = 0.0
        self.published: list[Publish] = []
        self.links: dict[int, str] = {}
        self.active: dict[int, StartRun] = {}
        self.started: list[StartRun] = []
        self.ended: list[EndRun] = []
        self.runners: set[int] = set()
        self.asked: list[int] = []
        """Runners that have to list their scripts."""
        self._engine = Engine(configuration, first_sequence=1)
        self.hand_in(HelperConnected())
        self.hand_in(DumpEnded(1, consistent=True))
        for runner in range(len(self.identities.all)):
            self.connect(runner)

    # --- what may happen -------------------------------------------------------------------------

    def change(self, choice: int) -> None:
        """Flip the carrier of a link, or make it."""
        ifindex = choice % 3 + 1
        free = sorted(set(NAMES) - set(self.links.values()))
        if ifindex not in self.links:
            self.links[ifindex] = free[choice % len(free)]
        self.hand_in(LinkSeen(link(self.links[ifindex], ifindex, carrier=bool(choice % 2))))

    def remove(self, choice: int) -> None:
        """Remove a link; its name and index may be used again."""
        if self.links.pop(choice % 3 + 1, None) is not None:
            self.hand_in(LinkGone(IfIndex(choice % 3 + 1)))

    def begin(self, choice: int) -> None:
        """Confirm a start."""
        run = self._choose(choice)
        if run is not None:
            self.hand_in(RunStarted(run))

    def finish(self, choice: int) -> None:
        """End a run, well or not."""
        run = self._choose(choice)
        if run is not None:
            del self.active[run]
            self.hand_in(RunFinished(run, choice % 3 - 1, 0.1, 0.1, 0))

    def refuse(self, choice: int) -> None:
        """Refuse a run."""
        run = self._choose(choice)
        if run is not None:
            del self.active[run]
            self.hand_in(RunRefused(run, "no"))

    def die(self, choice: int) -> None:
        """Lose a runner."""
        runner = choice % len(self.identities.all)
        if runner in self.runners:
            self.runners.discard(runner)
            self.active = {n: each for n, each in self.active.items() if each.runner != runner}
            self.hand_in(RunnerLost(runner))

    def connect(self, choice: int) -> None:
        """Get a runner back."""
        runner = choice % len(self.identities.all)
        if runner not in self.runners:
            self.runners.add(runner)
            self.hand_in(RunnerConnected(runner))
            self.hand_in(HooksListed(list_hooks(runner), runner))

    def hide(self, choice: int) -> None:
        """Have a runner list its scripts without one of a rule."""
        runner = choice % len(self.identities.all)
        if runner in self.runners:
            without = RULES[choice % len(RULES)].path
            self.hand_in(HooksListed(list_hooks(runner, without=without), runner))

    def wait(self, choice: int) -> None:
        """Let time pass."""
        self.time += choice
        deadline = self._engine.deadline()
        if deadline is not None and deadline <= self.time:
            self.hand_in(Tick())

    def come_to_rest(self) -> None:
        """Have every run ended; fail if that takes more steps than there can be attempts."""
        for runner in range(len(self.identities.all)):
            self.connect(runner)
            self.hand_in(HooksListed(list_hooks(runner), runner))
        for _ in range(10 * (len(self.started) + 2 * len(self.published)) + 100):
            deadline = self._engine.deadline()
            if self.active:
                self.finish(1)
            elif deadline is not None:
                self.wait(int(max(0.0, deadline - self.time)) + 1)
            else:
                break
        else:
            raise AssertionError("runs go on for ever")
        left = self._engine.handle(Stopping(kept=True), Now(self.time, 0))
        assert not left, f"something waits for what never comes: {left}"

    # --- inside ----------------------------------------------------------------------------------

    def _choose(self, choice: int) -> int | None:
        return sorted(self.active)[choice % len(self.active)] if self.active else None

    def hand_in(self, given: Input) -> None:
        """Hand an input to the engine, check what comes of it, and do what it asks for."""
        for action in self._engine.handle(given, Now(self.time, 0)):
            self._check(action)
        assert len(self.active) <= CONCURRENCY
        while self.asked:
            runner = self.asked.pop()
            if runner in self.runners:
                self.hand_in(HooksListed(list_hooks(runner), runner))

    def _check(self, action: Action) -> None:
        match action:
            case Publish():
                self.published.append(action)
            case StartRun():
                self._check_start(action)
                self.started.append(action)
                self.active[action.run] = action
            case SignalRun(run=run, runner=runner):
                assert self.active[run].runner == runner
            case RequestHooks(runner=runner):
                self.asked.append(runner)
            case EndRun():
                self.ended.append(action)
            case _:
                pass

    def _check_start(self, start: StartRun) -> None:
        mutex = MUTEXES.get(start.hook.path)
        for other in self.active.values():
            assert other.event.lane != start.event.lane, "two of one lane at once"
            assert other.event.after.link.name != start.event.after.link.name
            assert mutex is None or MUTEXES.get(other.hook.path) != mutex, "two of one mutex"
        assert start.runner in self.runners, "a start without a runner"
        assert start.runner == self.identities.find(start.hook.path).runner
        assert start.hook.entry // 1000 == start.runner, "another runner's number"


Operation: TypeAlias = Callable[[Household, int], None]

OPERATIONS: tuple[Operation, ...] = (
    *[Household.change] * 6,
    *[Household.finish] * 4,
    *[Household.wait] * 2,
    Household.begin,
    Household.remove,
    Household.refuse,
    Household.die,
    Household.connect,
    Household.hide,
)
STEPS = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 40)), max_size=80)


def live(household: Household, steps: list[tuple[Operation, int]]) -> None:
    """Do these steps and wait for the end of all that came of them."""
    for operation, choice in steps:
        operation(household, choice)
    household.come_to_rest()


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_runs_of_rules_keep_order_and_end_once(steps: list[tuple[Operation, int]]) -> None:
    """Lanes and names in order, mutexes held once, every run ends once, whatever fails or dies."""
    household = Household()
    live(household, steps)

    final = [each for each in household.ended if each.final]
    assert len({each.run for each in final}) == len(final)
    assert {each.run for each in household.started} <= {each.run for each in final}
    assert len(household.ended) - len(final) == len(
        [each for each in household.ended if each.attempt < ATTEMPTS.get(each.hook.path, 1)
         and each.result in {"failed", "timeout"}]
    )  # fmt: skip
    for key in ("lane", "name"):
        chains: dict[object, list[tuple[int, str]]] = {}
        for end in final:
            value = end.event.lane if key == "lane" else end.event.after.link.name
            chains.setdefault(value, []).append((end.event.sequence, end.hook.name))
        for chain in chains.values():
            assert chain == sorted(chain)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_the_last_state_is_never_obsolete(steps: list[tuple[Operation, int]]) -> None:
    """With obsolete: skip, whatever is skipped, the scripts of a lane's last state are not."""
    household = Household(obsolete="skip")
    live(household, steps)

    last: dict[tuple[int, bool], int] = {}
    for publish in household.published:
        event = publish.event
        last[event.lane, event.type in {EventType.CARRIER, EventType.NO_CARRIER}] = event.sequence
    obsolete = {each.event.sequence for each in household.ended if each.result == "obsolete"}
    states = {sequence for (_, is_carrier), sequence in last.items() if is_carrier}
    assert not obsolete & states


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 3))
def test_a_pause_wedges_nothing(steps: list[tuple[Operation, int]], after: int) -> None:
    """Paused scripts end as paused and let the others go on."""
    household = Household(pause_after=after)
    live(household, steps)

    final = [each for each in household.ended if each.final]
    assert len({each.run for each in final}) == len(final)
    assert {each.run for each in household.started} <= {each.run for each in final}


def test_a_table_of_another_runner_changes_no_count() -> None:
    """The rig itself: the tables of two runners differ in their numbers and in nothing else."""
    first, second = list_hooks(0), list_hooks(1)

    assert [evolve(each, entry=0) for each in first] == [evolve(each, entry=0) for each in second]
    assert not {each.entry for each in first} & {each.entry for each in second}
