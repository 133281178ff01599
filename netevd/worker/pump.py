"""
Inputs to the engine, and what it wants done: one after another, in the order in which they came.

What was decided is kept before any of it is done. Who waits for what is decided here, and nothing else:
keeping is `ledger`'s, doing is `perform`'s.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import trio
from structlog.typing import FilteringBoundLogger

from netevd.core.engine import Engine
from netevd.model.actions import Action, Note, Outcome, Publish
from netevd.model.inputs import Input, Now, Tick
from netevd.worker.perform import Performer


class Pump:
    """Hands inputs to one engine, and performs what comes of them."""

    def __init__(
        self,
        engine: Engine,
        performer: Performer,
        log: FilteringBoundLogger,
        *,
        tracing: bool,
        keep: Callable[[list[Action], Now, float], None],
        done: Callable[[list[Action]], None],
    ) -> None:
        """
        tracing: each input is logged. keep: writes down what was decided, at a time and about messages
        that were read at another, monotonic seconds. done: hears of it when it has been performed.
        """
        self._engine = engine
        self._performer = performer
        self._log = log
        self._tracing = tracing
        self._keep = keep
        self._done = done
        self._inputs: deque[Input] = deque()
        self._handling = False
        self._alarm = trio.CancelScope()
        self._alarm_for: float | None = None
        """The deadline that the alarm is set for."""
        self.closed = False
        """Whether what comes from here on is the next worker's: runners tell it again."""

    def submit(self, inputs: list[Input], received: float | None = None) -> None:
        """
        Hand inputs that came at once to the engine, and perform what comes of all of them.

        received: when their packet was read, monotonic seconds; None: now.
        """
        if self._tracing:
            for each in inputs:
                self._log.debug(f"input {each}")
        self._inputs.extend(inputs)
        if self._handling or self.closed:
            return  # an action had an immediate outcome: the loop below takes it
        self._handling = True
        decided: list[Action] = []
        try:
            while self._inputs:
                actions: list[Action] = []
                while self._inputs:
                    now = Now(time.monotonic(), time.time_ns())
                    actions += self._engine.handle(self._inputs.popleft(), now)
                self._keep(actions, now, received or now.monotonic)
                # a script waits for its request, nobody waits for a line in the log
                for action in sorted(actions, key=_is_told) if len(actions) > 1 else actions:
                    outcome = self._performer.perform(action)
                    if outcome is not None:
                        self._inputs.append(outcome)
                decided += actions
        finally:
            self._handling = False
        self._set_alarm()
        self._done(decided)

    async def keep_time(self) -> None:
        """Hand a tick to the engine whenever it wants one, for ever."""
        while True:
            with trio.CancelScope() as self._alarm:
                self._alarm_for = None  # as a new scope has it
                self._set_alarm()
                await trio.sleep_forever()
            self.submit([Tick()])

    def _set_alarm(self) -> None:
        deadline = self._engine.deadline()
        if deadline == self._alarm_for:
            return  # most inputs change nothing about it
        self._alarm_for = deadline
        if deadline is None:
            self._alarm.deadline = float("inf")
        else:
            self._alarm.deadline = trio.current_time() + deadline - time.monotonic()


def _is_told(action: Action) -> bool:
    return isinstance(action, Publish | Outcome | Note)
