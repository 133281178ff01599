"""
The life of runs: from an event's hooks through the lanes to the one record of each run's end.

Belongs here: what is asked of the runner and when, timeouts, results and what is said of them.
Does not belong here: processes and pipes (the runner, worker.runs), order (core.lanes).
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from signal import Signals
from typing import Final, TypeAlias, assert_never

from attrs import define

from netevd.config.schema import Configuration
from netevd.core.environment import build_values, find_bad_name
from netevd.core.hooks import HookTable
from netevd.core.lanes import LIMIT, Lanes, Run
from netevd.model.actions import Action, EndRun, Note, SignalRun, StartRun
from netevd.model.event import Event
from netevd.model.inputs import (
    Hook,
    Now,
    RunFinished,
    RunnerConnected,
    RunnerLost,
    RunRefused,
    RunStarted,
)
from netevd.model.shape import printable

START_PATIENCE_S: Final = 10.0
"""After this the runner's silence is reported."""

KILL_DELAY_S: Final = 5.0
"""From TERM to KILL."""

EARLY_LIMIT: Final = 10_000
"""Events that wait for the first script table at most."""

RunnerInput: TypeAlias = RunStarted | RunRefused | RunFinished | RunnerLost | RunnerConnected


class _Stage(Enum):
    """What a run that was handed to the runner waits for."""

    STARTING = "the runner's word that it runs"
    RUNNING = "its end"
    TERMINATING = "its end after TERM"
    KILLED = "its end after KILL"


@define(slots=True, eq=False)
class _Active:
    """A run that was handed to the runner."""

    run: Run
    hook: Hook
    stage: _Stage
    due: float | None
    """Monotonic seconds when something has to be done about it."""


class Runs:
    """Every run that has not ended, and what is known of the runner."""

    def __init__(self, configuration: Configuration, hooks: HookTable, first_run: int) -> None:
        self._timeout_s = configuration.script_timeout
        self._concurrency = configuration.scripts.concurrency
        self._initial = configuration.scripts.initial
        self._emit_json = configuration.network.emit_json
        self._hooks = hooks
        self._number = first_run
        self._lanes = Lanes()
        self._active: dict[int, _Active] = {}
        self._dropping: set[int] = set()
        """Lanes that are full, which was said."""
        self._early: deque[Event] | None = deque()
        """Events from before the first script table."""
        self._connected = False
        self._listed = False
        """Whether the table is this runner's: another numbers its entries anew."""
        self._stopping = False

    # --- from events to the lanes ------------------------------------------------------------

    def add(self, event: Event, actions: list[Action]) -> None:
        """Queue the scripts of an event, as the table is now."""
        if self._stopping or (event.initial and not self._initial):
            return
        if self._early is not None:
            if len(self._early) < EARLY_LIMIT:
                self._early.append(event)
            return
        hooks = self._hooks.find(event.type)
        if not hooks:
            return
        fault = find_bad_name(event.name)
        for hook in hooks:
            run = Run(self._number, hook, event)
            self._number += 1
            if fault is not None:
                self._end_unstarted(run, "refused", fault, actions)
                actions.append(_note(run, "warn", f"was not run: {fault}"))
            elif self._lanes.is_full(event.lane):
                self._drop(run, actions)
            else:
                self._lanes.add(run)

    def list_hooks(self, hooks: tuple[Hook, ...], actions: list[Action]) -> None:
        """Take the runner's script table."""
        actions.extend(self._hooks.replace(hooks))
        self._listed = True
        early, self._early = self._early, None
        for event in early or ():
            self.add(event, actions)

    def start(self, now: Now, actions: list[Action]) -> None:
        """Start what may start, oldest first."""
        if not (self._connected and self._listed):
            return
        lanes = self._lanes
        while lanes.ready and len(self._active) < self._concurrency:
            run = lanes.take()
            hook = self._hooks.renew(run.hook)
            if hook is None or not hook.runnable:
                reason = "it is not there any more" if hook is None else hook.reason
                self._end_unstarted(run, "refused", reason, actions)
                actions.append(_note(run, "warn", f"was not run: {reason}"))
                self._release(run)
                continue
            due = now.monotonic + START_PATIENCE_S
            self._active[run.number] = _Active(run, hook, _Stage.STARTING, due)
            values = build_values(run.event, emit_json=self._emit_json)
            actions.append(StartRun(run.number, hook, run.event, values))

    def stop(self, actions: list[Action]) -> None:
        """Start nothing more."""
        waiting = self._lanes.size - len(self._active)
        self._stopping = True
        self._early = None
        self._lanes.close()
        if waiting > 0:
            text = f"{waiting} scripts were waiting and are not run: netevd stops"
            actions.append(Note("warn", text, {"runs": waiting}))

    def _drop(self, run: Run, actions: list[Action]) -> None:
        lane = run.event.lane
        reason = f"{LIMIT} scripts of this link were waiting"
        self._end_unstarted(run, "dropped", reason, actions)
        if lane not in self._dropping:
            self._dropping.add(lane)
            text = "and later ones are dropped until fewer are waiting"
            actions.append(_note(run, "warn", f"was not run: {reason}; it {text}"))

    def _release(self, run: Run) -> None:
        self._lanes.release(run)
        self._dropping.discard(run.event.lane)

    # --- what the runner says --------------------------------------------------------------------

    def handle(self, given: RunnerInput, now: Now, actions: list[Action]) -> None:
        """Take in what the runner says. A run that is not known has ended before: nothing to do."""
        match given:
            case RunStarted(run=number):
                active = self._active.get(number)
                if active is not None and active.stage is _Stage.STARTING:
                    active.stage = _Stage.RUNNING
                    active.due = now.monotonic + self._timeout_s
            case RunRefused(run=number, reason=reason):
                active = self._active.pop(number, None)
                if active is not None:
                    self._end_unstarted(active.run, "refused", reason, actions)
                    actions.append(_note(active.run, "warn", f"was not run: {reason}"))
                    self._release(active.run)
            case RunFinished():
                active = self._active.pop(given.run, None)
                if active is not None:
                    self._finish(active, given, actions)
                    self._release(active.run)
            case RunnerLost():
                self._lose(actions)
            case RunnerConnected():
                self._connected = True
            case _:
                assert_never(given)

    def _finish(self, active: _Active, ended: RunFinished, actions: list[Action]) -> None:
        """Record the end of a run and say it."""
        run, status = active.run, ended.status
        late = active.stage in (_Stage.TERMINATING, _Stage.KILLED)
        result = "timeout" if late else "failed" if status else "ok"
        actions.append(
            EndRun(
                run.number, active.hook, run.event, result, status,
                ended.duration_s, ended.cpu_s, ended.leftovers,
            )
        )  # fmt: skip
        if status < 0:
            text = f"was ended by signal {_show_signal(-status)}"
        else:
            text = f"exited with code {status}"
        duration = round(ended.duration_s, 3)
        actions.append(_note(run, "warn" if status else "info", text, duration=duration))
        if ended.leftovers:
            text = f"left {ended.leftovers} processes behind, which were killed"
            actions.append(_note(run, "warn", text, leftovers=ended.leftovers))

    def _lose(self, actions: list[Action]) -> None:
        """End what the lost runner had; what waits goes on with the next one."""
        self._connected = False
        self._listed = False
        lost, self._active = self._active, {}
        for active in lost.values():
            reason = "the runner died and its scripts with it"
            self._end_unstarted(active.run, "lost", reason, actions)
            actions.append(_note(active.run, "warn", f"is lost: {reason}"))
            self._release(active.run)

    @staticmethod
    def _end_unstarted(run: Run, result: str, reason: str, actions: list[Action]) -> None:
        actions.append(EndRun(run.number, run.hook, run.event, result, None, 0.0, 0.0, 0, reason))

    # --- time --------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Return when `tick` is wanted, in monotonic seconds; None for never."""
        if not self._active:
            return None
        return min(
            (each.due for each in self._active.values() if each.due is not None), default=None
        )

    def tick(self, now: Now, actions: list[Action]) -> None:
        """Do what is due."""
        for active in self._active.values():
            if active.due is None or active.due > now.monotonic:
                continue
            match active.stage:
                case _Stage.STARTING:
                    active.due = None
                    text = f"was not started within {START_PATIENCE_S:g} s; still waiting for the runner"
                    actions.append(_note(active.run, "warn", text))
                case _Stage.RUNNING:
                    active.stage = _Stage.TERMINATING
                    active.due = now.monotonic + KILL_DELAY_S
                    actions.append(SignalRun(active.run.number, "TERM"))
                    text = f"has run for {self._timeout_s:g} s, its limit, and gets TERM"
                    actions.append(_note(active.run, "warn", text))
                case _Stage.TERMINATING:
                    active.stage = _Stage.KILLED
                    active.due = None
                    actions.append(SignalRun(active.run.number, "KILL"))
                    text = f"has not ended within {KILL_DELAY_S:g} s after TERM and gets KILL"
                    actions.append(_note(active.run, "warn", text))
                case _Stage.KILLED:
                    pass  # nothing more can be done about it, so nothing is due
                case _:
                    assert_never(active.stage)


def _note(run: Run, level: str, text: str, **more: float) -> Note:
    """Return a log line about a run's script."""
    return Note(
        level,
        f"Script {printable(run.hook.path)} {text}",
        {
            "interface": printable(run.name),
            "event": run.event.type.value,
            "sequence": run.event.sequence,
            "run": run.number,
            **more,
        },
    )


def _show_signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return str(number)
