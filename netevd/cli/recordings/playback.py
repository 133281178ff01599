"""
The engine in virtual time: inputs with the times they have, deadlines when they come, no script.

What the worker does with a real clock and real runners, without either. Belongs here: whatever a
replay and a single made-up event have in common. Where inputs come from is cli.recordings.replayer's and
cli.trials.foresight's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final, NamedTuple, TypeAlias, assert_never

from netevd.config.identities import Identities
from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.core.makebelieve import MakeBelieveEngine
from netevd.core.policyhints import describe_change
from netevd.model.actions import (
    Action,
    AdoptRun,
    ChangeRouting,
    Deliver,
    EndDelivery,
    EndRun,
    GiveAdvice,
    Note,
    Outcome,
    Publish,
    ReadWireguard,
    Ready,
    RequestDump,
    RequestHooks,
    RequestRoutes,
    ResolveEndpoint,
    SetEndpoint,
    SignalRun,
    StartRun,
)
from netevd.model.event import Event
from netevd.model.inputs import (
    ChangesMade,
    CourierConnected,
    DeliveryAnswered,
    Hook,
    HooksListed,
    Input,
    Now,
    RunFinished,
    RunnerConnected,
    RunStarted,
    Tick,
)

_SIGTERM: Final = 15


class Told(NamedTuple):
    """An event."""

    at: float
    """Seconds of the virtual clock, like all that follow."""
    event: Event


class Begun(NamedTuple):
    """A script would begin here."""

    at: float
    action: StartRun


class Ended(NamedTuple):
    """A script would end here otherwise than well, or was not begun at all."""

    at: float
    action: EndRun


class Posted(NamedTuple):
    """An event would be posted to a webhook here, which then takes it."""

    at: float
    action: Deliver


class Said(NamedTuple):
    """The daemon would say something that is about no single script."""

    at: float
    note: Note


Entry: TypeAlias = Told | Begun | Ended | Posted | Said


class Playback:
    """One engine, its clock, and what came of it so far."""

    def __init__(
        self,
        engine: Engine,
        start_ns: int,
        script_duration_s: float,
        request: Callable[[RequestDump | RequestRoutes], None],
    ) -> None:
        """
        start_ns: wall clock of second 0. script_duration_s: how long each script takes, which then
        ends well. request: has a dump answered, by `submit`, now or later.
        """
        self.engine = engine
        self.at = 0.0
        """Seconds that it is now."""
        self.entries: list[Entry] = []
        self._start_ns = start_ns
        self._script_duration_s = script_duration_s
        self._request = request
        self._inputs: deque[Input] = deque()
        self._handling = False
        self._order = count()
        self._later: list[tuple[float, int, Input]] = []
        """Heap of what scripts will say, by time."""
        self._running: dict[int, float] = {}
        """Runs that were begun, and when."""

    def connect(
        self, configuration: Configuration, hooks: tuple[Hook, ...], *, observe: bool
    ) -> None:
        """Have a runner for each identity, all of which know these scripts, and a courier."""
        self.submit(CourierConnected())
        for key in range(len(Identities(configuration, observe=observe).all)):
            self.submit(RunnerConnected(key, "playback"))
            self.submit(HooksListed(hooks, key))

    def submit(self, *given: Input) -> None:
        """Hand inputs to the engine, now, and perform what comes of them."""
        self._inputs.extend(given)
        if self._handling:
            return  # the loop below takes them
        self._handling = True
        try:
            while self._inputs:
                now = Now(self.at, self._start_ns + round(self.at * 1e9))
                for action in self.engine.handle(self._inputs.popleft(), now):
                    self._perform(action)
                self.engine.take_record()  # remembered by nobody
        finally:
            self._handling = False

    def tell(self, engine: MakeBelieveEngine, event: Event) -> None:
        """Have the engine, which is ours, believe that an event has happened now."""
        for action in engine.tell(event, Now(self.at, self._start_ns + round(self.at * 1e9))):
            self._perform(action)
        self.submit(Tick())

    def advance(self, until: float) -> None:
        """Let time pass, with all that is due."""
        while (due := self._find_due()) is not None and due <= until:
            self.at = max(self.at, due)
            if self._later and self._later[0][0] <= self.at:
                self.submit(heappop(self._later)[2])
            else:
                self.submit(Tick())
        self.at = max(self.at, until)

    def _find_due(self) -> float | None:
        times = [self._later[0][0]] if self._later else []
        deadline = self.engine.deadline()
        if deadline is not None:
            times.append(deadline)
        return min(times, default=None)

    def _perform(self, action: Action) -> None:
        match action:
            case Publish(event=event, verdict=verdict):
                self.entries.append(Told(self.at, event))
                if verdict.action != "execute":
                    self._say(f"event {event.sequence} runs nothing: {verdict.reason}")
            case Outcome(sequences=sequences, result=result, reason=reason):
                numbers = ", ".join(map(str, sequences))
                self._say(f"event {numbers} {result}: {reason}")
            case StartRun(run=run):
                self.entries.append(Begun(self.at, action))
                self._running[run] = self.at
                self._inputs.append(RunStarted(run))
                self._end_later(run, self._script_duration_s, 0)
            case SignalRun(run=run):
                self._end_later(run, 0.0, -_SIGTERM)
            case EndRun():
                self._running.pop(action.run, None)
                if action.result != "ok":
                    self.entries.append(Ended(self.at, action))
            case Deliver(number=number, event=event, attempt=attempt):
                self.entries.append(Posted(self.at, action))
                self._inputs.append(
                    DeliveryAnswered(number, event.sequence, attempt, "ok", 200, "", 0.0, 0.0, 0.0)
                )
            case EndDelivery():
                pass
            case Note():
                if not action.fields.keys() & {"run", "webhook"}:  # else it is told as such
                    self.entries.append(Said(self.at, action))
            case RequestDump() | RequestRoutes():
                self._request(action)
            case ChangeRouting(number=number, changes=changes):
                for change in changes:
                    self._say(f"would ask for: {describe_change(change)}")
                self._inputs.append(ChangesMade(number, dry=True))
            case Ready() | RequestHooks() | AdoptRun() | ReadWireguard() | GiveAdvice():
                pass  # of devices and leases a recording has nothing
            case ResolveEndpoint() | SetEndpoint():
                pass  # nobody is there to be called
            case _:
                assert_never(action)

    def _say(self, text: str) -> None:
        """Tell why an event runs nothing, or later."""
        self.entries.append(Said(self.at, Note("info", text)))

    def _end_later(self, run: int, delay_s: float, status: int) -> None:
        """Have a run end; of several ends the first one counts."""
        began = self._running.get(run)
        if began is None:
            return
        end = self.at + delay_s
        ended = RunFinished(run, status, end - began, 0.0, 0)
        if delay_s:
            heappush(self._later, (end, next(self._order), ended))
        else:
            self._inputs.append(ended)
