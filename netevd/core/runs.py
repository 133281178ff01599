"""
The life of runs: from an event's hooks through the lanes to the one record of each run's end.

Belongs here: what is asked of the runners and when, what a rule changes about it, results. Does not
belong here: processes and pipes (the runners, worker.runs), order (core.lanes), the stages of a run
that was handed over (core.active).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias, assert_never

from netevd.compat.call import Call
from netevd.config.identities import Identities, Treatment
from netevd.config.schema import Configuration, Rule
from netevd.core.active import START_PATIENCE_S, Active, Stage, note_end, note_run
from netevd.core.deadlines import find_earliest
from netevd.core.environment import build_values, find_bad_name
from netevd.core.hooks import HookTable
from netevd.core.lanes import LIMIT, Lanes, Run
from netevd.core.mutexes import Mutexes
from netevd.core.occasions import Occasions
from netevd.core.pauses import Pauses
from netevd.core.retries import Retries
from netevd.core.runners import Runners
from netevd.model.actions import Action, AdoptRun, EndRun, Kind, Note, StartRun
from netevd.model.backend import BackendName
from netevd.model.event import Event
from netevd.model.inputs import (
    Hook,
    HooksListed,
    Now,
    ResumeHook,
    RunFinished,
    RunnerConnected,
    RunnerLost,
    RunRefused,
    RunStarted,
)
from netevd.model.memory import RESTING, WAITING, EarlyEvent, OpenRun, RunMemory, State
from netevd.model.shape import printable

EARLY_LIMIT: Final = 10_000
"""Events that wait for the first script table at most."""

RunnerInput: TypeAlias = (
    RunStarted | RunRefused | RunFinished | RunnerLost | RunnerConnected | HooksListed | ResumeHook
)


class Runs:
    """Every run that has not ended, and what is known of the runners."""

    def __init__(
        self,
        configuration: Configuration,
        hooks: HookTable,
        first_run: int,
        *,
        observe: bool = False,
        keys: tuple[int, ...] = (),
        is_there: Callable[[BackendName], bool] = lambda _: False,
    ) -> None:
        """
        observe: see `Identities`. keys: what the runner of each identity is called by inputs and
        actions; none given: by the identity's number. is_there: tells of a backend whether it is.
        """
        self._timeout_s = configuration.script_timeout
        self._concurrency = configuration.scripts.concurrency
        self._initial = configuration.scripts.initial
        self._skips_obsolete = configuration.scripts.obsolete == "skip"
        self._emit_json = configuration.network.emit_json
        self._identities = Identities(configuration, observe=observe)
        self._hooks = hooks
        self._keys = keys or tuple(range(len(self._identities.all)))
        self.number = first_run
        """Of the next run."""
        self._lanes = Lanes()
        trees = {name: self._keys[number] for name, number in self._identities.trees.items()}
        self._runners = Runners(hooks, self._keys[0], trees)
        self._occasions = Occasions(configuration.compat, hooks, is_there)
        self._mutexes = Mutexes()
        self._retries = Retries()
        self._pauses = Pauses(configuration.scripts.pause_after)
        self._active: dict[int, Active] = {}
        self._dropping: set[int] = set()
        """Lanes that are full, which was said."""
        self._early: deque[tuple[Event, tuple[str, ...] | None]] | None = deque()
        """Events from before the first script table, with what runs instead of their own scripts."""
        self._stopping = False
        self._open: dict[int, Run] = {}
        """Every run in the lanes, by number."""
        self._touched: dict[int, None] = {}
        """Runs of which something is to be remembered, see `take_memory`."""
        self._unheard: list[EarlyEvent] = []
        """Events that came into `_early` since it was remembered."""
        self._looked_up = False

    # --- from events to the lanes ------------------------------------------------------------

    def add(
        self, event: Event, actions: list[Action], scripts: tuple[str, ...] | None = None
    ) -> None:
        """Queue the scripts of an event, as the table is now. scripts: these, instead of its own."""
        if event.initial and not self._initial:
            return
        if self._early is not None:
            if len(self._early) < EARLY_LIMIT:
                self._early.append((event, scripts))
                self._unheard.append(_remember_early(event, scripts))
            return
        if scripts is None:
            hooks = self._hooks.find(event.type)
        else:
            hooks = self._hooks.find_all(event.type, scripts)
        for hook in hooks:
            self._queue(event, hook, "", actions)
        if scripts is None:
            for due in self._occasions.find(event, actions):
                self._queue(*due, actions)

    def _queue(self, event: Event, hook: Hook, action: str, actions: list[Action]) -> None:
        run = Run(self.number, hook, event, action)
        self.number += 1
        fault = find_bad_name(event.name)
        if fault is not None or not hook.runnable:
            self._refuse(run, fault or hook.reason, actions)
        elif self._lanes.is_full(run.lane):
            self._drop(run, actions)
        else:
            self._lanes.add(run)
            self._open[run.number] = run
            self._touched[run.number] = None

    def _drop(self, run: Run, actions: list[Action]) -> None:
        lane = run.lane
        reason = f"{LIMIT} scripts of this link were waiting"
        self._end_unstarted(run, "dropped", reason, actions)
        if lane not in self._dropping:
            self._dropping.add(lane)
            text = "and later ones are dropped until fewer are waiting"
            actions.append(
                note_run(run, "warn", f"was not run: {reason}; it {text}", Kind.SCRIPT_NOT_RUN)
            )

    def stop(self) -> int:
        """Start nothing more; return how many runs wait, for the next daemon if it hears of them."""
        self._stopping = True
        return len(self._open) - len(self._active)

    # --- from the lanes to the runners -------------------------------------------------------

    def start(self, now: Now, actions: list[Action]) -> None:
        """Start what may start, oldest first."""
        self._occasions.schedule(now)
        if self._stopping:
            return
        for due in self._occasions.release(now):
            self._queue(*due, actions)
        lanes = self._lanes
        for run in self._retries.wake(now):
            lanes.put_back(run)
        while lanes.ready and len(self._active) < self._concurrency:
            run = lanes.take()
            treatment = self._find_treatment(run)
            if not self._try(run, treatment, now, actions):
                self._wake(treatment.rule)

    def _try(self, run: Run, treatment: Treatment, now: Now, actions: list[Action]) -> bool:
        """Start a run that is the oldest of its lane, if nothing else holds it back."""
        rule, runner = treatment.rule, self._keys[treatment.runner]
        if treatment.refusal:
            self._skip(run, "refused", treatment.refusal, actions)
            return False
        if not self._runners.is_there(runner):
            self._runners.park(run, runner)
            return False
        if self._skips_obsolete and not run.hook.tree and self._lanes.is_obsolete(run):
            self._skip(run, "obsolete", "a later state of its link is waiting", actions)
            return False
        if self._pauses.is_paused(run.hook.path):
            self._skip(run, "paused", "it is paused, since it failed too often in a row", actions)
            return False
        hook = self._runners.find_hook(run, runner)
        if hook is None or not hook.runnable:
            if not self._runners.asks_again(run, runner, actions):
                reason = "it is not there any more" if hook is None else hook.reason
                self._skip(run, "refused", reason, actions)
            return False
        call = self._make_call(run)
        if isinstance(call, str):
            self._skip(run, "refused", call, actions)
            return False
        if rule.mutex is not None and not self._mutexes.take(rule.mutex, run):
            return False
        actions.append(self._hand_over(run, hook, treatment, call, now))
        return True

    def _find_treatment(self, run: Run) -> Treatment:
        return self._identities.find(run.hook.path, run.hook.tree, run.hook.event)

    def _make_call(self, run: Run) -> Call | str:
        """Return what a run's script is called with, or why it can't be called."""
        if run.hook.tree:
            return self._occasions.make_call(run.hook.tree, run.event, run.action)
        return Call((), build_values(run.event, emit_json=self._emit_json))

    def _hand_over(
        self, run: Run, hook: Hook, treatment: Treatment, call: Call, now: Now
    ) -> StartRun:
        """Take in that a run is its runner's now; return what is to be done for that."""
        rule, runner = treatment.rule, self._keys[treatment.runner]
        attempt = self._retries.count_attempt(run)
        timeout = self._timeout_s if rule.timeout is None else rule.timeout
        due = now.monotonic + START_PATIENCE_S
        incarnation = self._runners.get_incarnation(runner)
        self._active[run.number] = Active(run, hook, runner, incarnation, attempt, timeout, due)
        self._touched[run.number] = None
        return StartRun(run.number, hook, run.event, call.values, runner, rule.detach, call.words)

    def _skip(self, run: Run, result: str, reason: str, actions: list[Action]) -> None:
        """End a run that was the oldest of its lane and is not started."""
        if result == "refused":
            self._refuse(run, reason, actions)
        else:
            self._end_unstarted(run, result, reason, actions)
            actions.append(note_run(run, "info", f"was not run: {reason}", Kind.SCRIPT_NOT_RUN))
        self._release(run)

    def _wake(self, rule: Rule) -> None:
        """Let the next run have a mutex, if nobody holds it."""
        if rule.mutex is not None:
            follower = self._mutexes.wake(rule.mutex)
            if follower is not None:
                self._lanes.put_back(follower)

    # --- what the runners say ----------------------------------------------------------------

    def handle(self, given: RunnerInput, now: Now, actions: list[Action]) -> None:
        """Take in what a runner says. A run that is not known has ended before: nothing to do."""
        match given:
            case RunStarted(run=number):
                if number in self._active:
                    self._active[number].note_start(now)
                    self._touched[number] = None
            case RunRefused(run=number, reason=reason):
                active = self._active.pop(number, None)
                if active is not None:
                    self._leave(active)
                    self._refuse(active.run, reason, actions, active)
                    self._release(active.run)
            case RunFinished():
                active = self._active.pop(given.run, None)
                if active is not None:
                    self._leave(active)
                    self._finish(active, given, now, actions)
            case RunnerLost(runner=runner):
                self._lose(runner, actions)
            case RunnerConnected(runner=runner, incarnation=incarnation):
                self._take_over(given, now, actions)
                self._return(self._runners.connect(runner, incarnation))
            case HooksListed():
                self._list_hooks(given, actions)
            case ResumeHook(path=path):
                if self._pauses.resume(path):
                    actions.append(_note_resumed(path, "somebody said so"))
            case _:
                assert_never(given)

    def _list_hooks(self, listed: HooksListed, actions: list[Action]) -> None:
        """Take a runner's script table; runner 0's first one lets events in."""
        renumbered = not self._runners.has_listed(listed.runner)
        self._return(self._runners.list_hooks(listed.runner, listed.hooks, actions))
        if listed.runner == self._keys[0]:
            for path in self._pauses.review(self._hooks.get_all(), renumbered=renumbered):
                actions.append(_note_resumed(path, "its file has changed"))
        if self._early is None or not self._runners.have_listed():
            return
        early, self._early = self._early, None
        self._looked_up = self._looked_up or bool(early)
        self._unheard = []
        for event, scripts in early or ():
            self.add(event, actions, scripts)

    def _take_over(self, given: RunnerConnected, now: Now, actions: list[Action]) -> None:
        """
        Find the remembered runs of a runner again, which an earlier worker handed to it.

        One that it does not know was never begun, if it is still the runner that was asked; if it
        is another, the run is lost.
        """
        lost = []
        for active in [each for each in self._active.values() if each.runner == given.runner]:
            run = active.run
            if active.incarnation != given.incarnation:
                lost.append(active)
            elif run.number in given.runs:
                active.note_start(now)
                self._touched[run.number] = None
                actions.append(AdoptRun(run.number, active.hook, run.event, active.runner))
            else:
                del self._active[run.number]
                self._touched[run.number] = None
                self._leave(active)
                self._lanes.put_back(run)
        self._lose_runs(lost, actions)

    def _return(self, runs: list[Run]) -> None:
        for run in runs:
            self._lanes.put_back(run)

    def _lose(self, runner: int, actions: list[Action]) -> None:
        """End what the lost runner had; what waits goes on with the next one."""
        self._runners.lose(runner)
        self._lose_runs([each for each in self._active.values() if each.runner == runner], actions)

    def _lose_runs(self, lost: list[Active], actions: list[Action]) -> None:
        for active in lost:
            del self._active[active.run.number]
            self._leave(active)
            reason = "the runner died and its scripts with it"
            self._end_unstarted(active.run, "lost", reason, actions, active)
            actions.append(note_run(active.run, "warn", f"is lost: {reason}", Kind.SCRIPT_NOT_RUN))
            self._release(active.run)

    # --- ends ---------------------------------------------------------------------------------

    def _finish(self, active: Active, ended: RunFinished, now: Now, actions: list[Action]) -> None:
        """Record the end of an attempt and say it; have it tried again if it has failed."""
        run, result = active.run, active.judge(ended)
        rule = self._find_treatment(run).rule
        again = result != "ok" and active.attempt <= rule.retries
        end = EndRun(
            run.number, active.hook, run.event, result, ended.status,
            ended.duration_s, ended.cpu_s, ended.leftovers,
            runner=active.runner, attempt=active.attempt, final=not again,
        )  # fmt: skip
        actions.append(end)
        note_end(run, ended, actions)
        if again:
            delay = self._retries.rest(run, end, rule, now)
            text = "is tried again " + (
                "by the next netevd" if self._stopping else f"in {delay:g} s"
            )
            more = {"attempt": active.attempt + 1, "attempts": rule.retries + 1}
            actions.append(note_run(run, "info", text, Kind.SCRIPT_ENDED, **more))
            self._touched[run.number] = None
            return
        # what a stop has ended is no failure of the script's
        if not self._stopping and self._pauses.count(
            self._hooks.renew(run.hook) or run.hook, result
        ):
            text = (
                f"is paused, since {self._pauses.after} runs in a row have failed: mend it; it runs"
            )
            advice = "again once its file has changed, as by chmod -x and then chmod +x"
            actions.append(note_run(run, "error", f"{text} {advice}", Kind.SCRIPT_PAUSED))
        self._release(run)

    def _refuse(
        self, run: Run, reason: str, actions: list[Action], active: Active | None = None
    ) -> None:
        self._end_unstarted(run, "refused", reason, actions, active)
        actions.append(note_run(run, "warn", f"was not run: {reason}", Kind.SCRIPT_NOT_RUN))

    def _end_unstarted(
        self,
        run: Run,
        result: str,
        reason: str,
        actions: list[Action],
        active: Active | None = None,
    ) -> None:
        """Record the end of a run of whose process nothing is known, in its attempt of now."""
        attempt = self._retries.count_attempt(run)
        runner = 0 if active is None else active.runner
        actions.append(
            EndRun(
                run.number, run.hook, run.event, result, None, 0.0, 0.0, 0, reason, runner, attempt
            )
        )

    def _leave(self, active: Active) -> None:
        """Give back what a run holds while it is with its runner."""
        rule = self._find_treatment(active.run).rule
        if rule.mutex is not None:
            self._mutexes.release(rule.mutex)
            self._wake(rule)

    def _release(self, run: Run) -> None:
        """Let go of a run that has ended; what comes after it may start."""
        self._retries.forget(run)
        self._lanes.release(run)
        self._open.pop(run.number, None)
        self._touched[run.number] = None
        self._dropping.discard(run.lane)

    # --- time --------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Return when `tick` is wanted, in monotonic seconds; None for never."""
        times = [each.due for each in self._active.values()]
        if not self._stopping:
            times += self._retries.deadline(), self._occasions.deadline()
        return find_earliest(times)

    def tick(self, now: Now, actions: list[Action]) -> None:
        """Do what is due."""
        for number, active in self._active.items():
            if active.press(now, actions):
                self._touched[number] = None

    # --- what is asked -------------------------------------------------------------------------

    def find_held(self, sequence: int) -> list[tuple[str, str]]:
        """Return tree and action of what waits for an event's delay to be over."""
        return self._occasions.find_held(sequence)

    def find_skipped(self, event: Event) -> list[Hook]:
        """Return the files of trees that are not run for an event, with their reasons."""
        return self._occasions.find_skipped(event)

    def count_open(self) -> int:
        """Return how many runs have not ended."""
        return len(self._open)

    def count_full_lanes(self) -> int:
        """Return how many lanes take no more runs."""
        return self._lanes.count_full()

    def get_active(self) -> tuple[Active, ...]:
        """Return every run that was handed to its runner and has not ended."""
        return tuple(self._active.values())

    # --- what is remembered --------------------------------------------------------------------

    def take_memory(self) -> RunMemory | None:
        """Return what is to be remembered otherwise since the last call, None for nothing."""
        changed = self._pauses.changed or self._occasions.changed
        if not (self._touched or self._unheard or self._looked_up or changed):
            return None
        touched, self._touched = self._touched, {}
        unheard, self._unheard = self._unheard, []
        looked_up, self._looked_up = self._looked_up, False
        changed, self._pauses.changed = self._pauses.changed, False
        held, self._occasions.changed = self._occasions.changed, False
        return RunMemory(
            tuple(self._describe(self._open[each]) for each in touched if each in self._open),
            tuple(each for each in touched if each not in self._open),
            tuple(unheard),
            looked_up,
            self._pauses.get_memory() if changed else None,
            self._occasions.get_memory() if held else None,
        )

    def get_memory(self) -> RunMemory:
        """Return all that is to be remembered."""
        return RunMemory(
            tuple(self._describe(run) for _, run in sorted(self._open.items())),
            early=tuple(_remember_early(*each) for each in self._early or ()),
            streaks=self._pauses.get_memory(),
            held=self._occasions.get_memory(),
        )

    def get_events(self) -> dict[int, Event]:
        """Return the events of what `get_memory` tells, by sequence number."""
        events = [run.event for run in self._open.values()]
        events += [event for event, _ in self._early or ()]
        return {event.sequence: event for event in sorted(events, key=lambda each: each.sequence)}

    def _describe(self, run: Run) -> OpenRun:
        due, failed = self._retries.get_memory(run)
        active = self._active.get(run.number)
        if active is None:
            stage = WAITING if due is None else RESTING
            return OpenRun(
                run.number, run.event.sequence, run.hook, stage, due=due, failed=failed,
                event=_find_changed(run.event), action=run.action,
            )  # fmt: skip
        return OpenRun(
            run.number, run.event.sequence, active.hook, active.stage.name, active.runner,
            active.incarnation, active.timeout_s, active.due, failed, _find_changed(run.event),
            run.action,
        )  # fmt: skip

    def restore(self, state: State) -> None:
        """
        Take what was remembered. Its runners connect later, and tell what came of their runs.

        Raises: ValueError for what no worker can have left.
        """
        events = {event.sequence: event for event in state.events}
        self._pauses.restore(state.runs.streaks or ())
        self._occasions.restore(state.runs.held or ())
        if self._early is not None:
            for early in state.runs.early:
                event = early.event or events.get(early.sequence)
                if event is not None:
                    self._early.append((event, early.scripts))
        for each in state.runs.runs:
            event = each.event or events.get(each.sequence)
            if event is None:
                continue
            run = Run(each.number, each.hook, event, each.action)
            if run.number in self._open:
                raise ValueError(f"there are two runs {run.number}")
            self._open[run.number] = run
            self._lanes.restore(run, taken=each.stage != WAITING)
            self._retries.restore(run, each)
            if each.stage not in {WAITING, RESTING}:
                attempt = self._retries.count_attempt(run)
                self._active[run.number] = Active(
                    run, each.hook, each.runner, each.incarnation, attempt, each.timeout_s,
                    each.due, Stage[each.stage],
                )  # fmt: skip
                rule = self._find_treatment(run).rule
                if rule.mutex is not None:
                    self._mutexes.hold(rule.mutex)


def _find_changed(event: Event) -> Event | None:
    """Return an event that is not as it was published: it stands for several."""
    return event if event.coalesced else None


def _remember_early(event: Event, scripts: tuple[str, ...] | None) -> EarlyEvent:
    return EarlyEvent(event.sequence, scripts, _find_changed(event))


def _note_resumed(path: str, why: str) -> Note:
    text = f"Script {printable(path)} is no longer paused: {why}"
    return Note("info", text, {}, Kind.SCRIPT_RESUMED)
