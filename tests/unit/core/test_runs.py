"""The life of runs where stories do not reach."""

from __future__ import annotations

from netevd.config.schema import Configuration
from netevd.core.hooks import HookTable
from netevd.core.runs import EARLY_LIMIT, Runs
from netevd.model.actions import Action, Note, StartRun
from netevd.model.event import Event, EventType
from netevd.model.inputs import (
    HooksListed,
    Now,
    RunFinished,
    RunnerConnected,
    RunRefused,
    RunStarted,
)
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.playbook import finished, hooks, link, show

NOW = Now(0.0, 0)
SCRIPTS = hooks("/etc/netevd/carrier.d/a")


def make_event(sequence: int, lane: int = 1) -> Event:
    """Return a carrier event."""
    snapshot = Snapshot(link(f"eth{lane}", 2), (), OperationalState.CARRIER)
    return Event(sequence, EventType.CARRIER, 0, snapshot, None, lane)


def make_runs() -> tuple[Runs, list[Action]]:
    """Return runs whose runner is connected and has one script for carrier."""
    runs = Runs(Configuration(), HookTable(), first_run=1)
    actions: list[Action] = []
    runs.handle(RunnerConnected(), NOW, actions)
    runs.handle(HooksListed(SCRIPTS), NOW, actions)
    return runs, actions


def test_a_real_time_signal_has_no_name() -> None:
    """A signal that Python does not name is told by its number."""
    runs, actions = make_runs()
    runs.add(make_event(1), actions)
    runs.start(NOW, actions)
    actions.clear()

    runs.handle(finished(1, -40), NOW, actions)

    assert "was ended by signal 40" in show(actions)


def test_what_is_said_of_an_unknown_run_is_nothing() -> None:
    """Words of a runner about runs that have ended before change nothing."""
    runs, actions = make_runs()

    for given in (RunStarted(7), RunRefused(7, "no"), RunFinished(7, 0, 0.0, 0.0, 0)):
        runs.handle(given, NOW, actions)

    assert actions == []
    assert runs.deadline() is None


def test_a_start_that_is_confirmed_twice_does_not_prolong_the_limit() -> None:
    """The limit counts from the first word."""
    runs, actions = make_runs()
    runs.add(make_event(1), actions)
    runs.start(NOW, actions)

    runs.handle(RunStarted(1), NOW, actions)
    runs.handle(RunStarted(1), Now(20.0, 0), actions)

    assert runs.deadline() == 30.0


def test_events_before_the_first_table_are_bounded() -> None:
    """Without any runner memory does not grow for ever; the oldest are kept."""
    runs = Runs(Configuration(), HookTable(), first_run=1)
    actions: list[Action] = []
    for sequence in range(1, EARLY_LIMIT + 3):
        runs.add(make_event(sequence, lane=sequence), actions)

    runs.handle(HooksListed(SCRIPTS), NOW, actions)
    runs.handle(RunnerConnected(), NOW, actions)
    for _ in range(EARLY_LIMIT // 8 + 1):
        runs.start(NOW, actions)
        for start in [each for each in actions if isinstance(each, StartRun)][-8:]:
            runs.handle(finished(start.run), NOW, actions)

    started = [each.event.sequence for each in actions if isinstance(each, StartRun)]
    assert started == list(range(1, EARLY_LIMIT + 1))


def test_stopping_before_the_first_table() -> None:
    """What waits for the table is not run after a stop."""
    runs = Runs(Configuration(), HookTable(), first_run=1)
    actions: list[Action] = []
    runs.add(make_event(1), actions)

    runs.stop()
    runs.handle(RunnerConnected(), NOW, actions)
    runs.handle(HooksListed(SCRIPTS), NOW, actions)
    runs.start(NOW, actions)

    assert not [each for each in actions if not isinstance(each, Note)]


def test_a_tick_too_early_does_nothing() -> None:
    """Only what is due is done."""
    runs, actions = make_runs()
    runs.add(make_event(1), actions)
    runs.start(NOW, actions)
    actions.clear()

    runs.tick(Now(9.9, 0), actions)

    assert actions == []
    assert runs.deadline() == 10.0
