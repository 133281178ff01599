"""
A run that was handed to its runner: what it waits for, its limit, and what is said of it.

Belongs here: one run by itself. Which run is handed over when is `runs`'.
"""

from __future__ import annotations

from enum import Enum
from signal import Signals
from typing import Final, assert_never

from attrs import define

from netevd.core.lanes import Run
from netevd.model.actions import Action, Kind, Note, SignalRun
from netevd.model.inputs import Hook, Now, RunFinished
from netevd.model.shape import printable

START_PATIENCE_S: Final = 10.0
"""After this the runner's silence is reported."""

KILL_DELAY_S: Final = 5.0
"""From TERM to KILL."""


class Stage(Enum):
    """What a run that was handed to the runner waits for."""

    STARTING = "the runner's word that it runs"
    RUNNING = "its end"
    TERMINATING = "its end after TERM"
    KILLED = "its end after KILL"


@define(slots=True, eq=False)
class Active:
    """A run that was handed to a runner."""

    run: Run
    hook: Hook
    """As its runner has it."""
    runner: int
    """Its key."""
    incarnation: str
    """Which life of it."""
    attempt: int
    """Counts from 1."""
    timeout_s: float
    """Seconds that it may run."""
    due: float | None
    """Monotonic seconds when something has to be done about it; None: nothing more can be."""
    stage: Stage = Stage.STARTING

    def note_start(self, now: Now) -> None:
        """Take in that its first process exists; only the first such word counts."""
        if self.stage is Stage.STARTING:
            self.stage = Stage.RUNNING
            self.due = now.monotonic + self.timeout_s

    def judge(self, ended: RunFinished) -> str:
        """Return the result of a run that ended so."""
        if self.stage in (Stage.TERMINATING, Stage.KILLED):
            return "timeout"
        return "failed" if ended.status else "ok"

    def press(self, now: Now, actions: list[Action]) -> bool:
        """Do what is due; tell whether something was."""
        if self.due is None or self.due > now.monotonic:
            return False
        run = self.run
        match self.stage:
            case Stage.STARTING:
                self.due = None
                text = (
                    f"was not started within {START_PATIENCE_S:g} s; still waiting for the runner"
                )
                actions.append(note_run(run, "warn", text, Kind.SCRIPT_LATE))
            case Stage.RUNNING:
                self.stage = Stage.TERMINATING
                self.due = now.monotonic + KILL_DELAY_S
                actions.append(SignalRun(run.number, "TERM", self.runner))
                text = f"has run for {self.timeout_s:g} s, its limit, and gets TERM"
                actions.append(note_run(run, "warn", text, Kind.SCRIPT_LATE))
            case Stage.TERMINATING:
                self.stage = Stage.KILLED
                self.due = now.monotonic + KILL_DELAY_S
                actions.append(SignalRun(run.number, "KILL", self.runner))
                text = f"has not ended within {KILL_DELAY_S:g} s after TERM and gets KILL"
                actions.append(note_run(run, "warn", text, Kind.SCRIPT_LATE))
            case Stage.KILLED:
                self.due = None  # nothing more can be done about it
                text = f"has not ended within {KILL_DELAY_S:g} s after KILL; what its link runs waits for it"
                actions.append(note_run(run, "error", text, Kind.SCRIPT_LATE))
            case _:
                assert_never(self.stage)
        return True


def note_end(run: Run, ended: RunFinished, actions: list[Action]) -> None:
    """Say how a script ended and what it left behind."""
    if ended.status < 0:
        text = f"was ended by signal {_show_signal(-ended.status)}"
    else:
        text = f"exited with code {ended.status}"
    duration = round(ended.duration_s, 3)
    level = "warn" if ended.status else "info"
    actions.append(note_run(run, level, text, Kind.SCRIPT_ENDED, duration=duration))
    if ended.leftovers:
        text = f"left {ended.leftovers} processes behind, which were killed"
        actions.append(note_run(run, "warn", text, Kind.SCRIPT_ENDED, leftovers=ended.leftovers))


def note_run(run: Run, level: str, text: str, kind: Kind, **more: float) -> Note:
    """Return a log line about a run's script."""
    return Note(
        level,
        f"Script {printable(run.hook.path)} {text}",
        {
            "interface": printable(run.name),
            "event": run.event.type.value,
            "sequence": run.event.sequence,
            "run": run.number,
            "script": printable(run.hook.path),
            **more,
        },
        kind,
    )


def _show_signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return str(number)
