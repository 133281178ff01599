"""
Actions of the engine made real: log lines, requests to the runners, requests to the helper.

One arm for each kind of action and no decision in any of them. `--dry-run` is the same engine with
`DryPerformer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, assert_never

from structlog.typing import FilteringBoundLogger

from netevd.core.policyhints import describe_change
from netevd.model.actions import (
    Action,
    AdoptRun,
    ChangeRouting,
    Deliver,
    EndDelivery,
    EndRun,
    GiveAdvice,
    Kind,
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
from netevd.model.describe import describe
from netevd.model.event import Event
from netevd.model.history import RunOutcome
from netevd.model.inputs import AdviceAnswered, ChangesMade, DeliveryAnswered, Input, RunFinished
from netevd.model.verdict import Verdict
from privsep.protocol import Forget, Message, Rescan, Run, Signal


class Runner(Protocol):
    """Where requests to a runner go."""

    def send(self, message: Message) -> None:
        """Send a message, now or later."""

    def adopt(self, run: int) -> None:
        """Take in that a run of an earlier worker is this one's now."""


class Performer:
    """Performs actions by the means that the composition root hands in."""

    def __init__(
        self,
        log: FilteringBoundLogger,
        runners: Mapping[int, Runner],
        *,
        request_dump: Callable[[int], None],
        request_routes: Callable[[int, tuple[int, ...]], None],
        read_wireguard: Callable[[ReadWireguard], None],
        resolve_endpoint: Callable[[ResolveEndpoint], None],
        set_endpoint: Callable[[SetEndpoint], None],
        request_changes: Callable[[ChangeRouting], None],
        report_ready: Callable[[], None],
        note_request: Callable[[int, Event], None],
        deliver: Callable[[Deliver], None],
        give_advice: Callable[[GiveAdvice], None],
    ) -> None:
        """
        runners: those that are there, by key. request_dump: starts the dump of this number. request_routes: the same for routes of these
        families. read_wireguard: has a device read. resolve_endpoint: has the courier look a peer's name
        up. set_endpoint: has a device send to it elsewhere. request_changes: has rules and routes changed. report_ready:
        tells the supervisor. note_request: hears of each run before it is asked for. deliver: has the courier
        post an event. give_advice: has a service of the host told.
        """
        self._log = log
        self._runners = runners
        self._request_dump = request_dump
        self._request_routes = request_routes
        self._read_wireguard = read_wireguard
        self._resolve_endpoint = resolve_endpoint
        self._set_endpoint = set_endpoint
        self._request_changes = request_changes
        self._report_ready = report_ready
        self._note_request = note_request
        self._deliver = deliver
        self._give_advice = give_advice
        self._events: dict[int, tuple[Event, str]] = {}
        """Event and script path of each run that was requested and has not ended."""
        self._output: dict[int, list[tuple[str, str]]] = {}
        """What each of these runs has printed."""
        self._adopted: set[int] = set()

    def perform(self, action: Action) -> Input | None:
        """Do what an action says; return an input when the action has an immediate outcome."""
        match action:
            case Publish(event=event, verdict=verdict):
                log_event(self._log, event, verdict)
            case Outcome(result=result, reason=reason, sequences=sequences):
                level = "info" if result == "unchanged" else "debug"
                write(self._log, level, reason, {"sequence": sequences[-1]})
            case StartRun():
                self._events[action.run] = (action.event, action.hook.path)
                self._note_request(action.run, action.event)
                return self.start(action)
            case AdoptRun():
                self._events[action.run] = (action.event, action.hook.path)
                self._adopted.add(action.run)
                self._runners[action.runner].adopt(action.run)
            case SignalRun(run=run, which=which, runner=number):
                self._send(number, Signal(run, which))
            case RequestHooks(runner=number):
                self._send(number, Rescan())
            case EndRun(run=run):
                known = self._events.pop(run, None) is not None
                self._output.pop(run, None)
                self._adopted.discard(run)
                if known and action.result in {"ok", "failed", "timeout"}:
                    self._send(action.runner, Forget(run))
            case Deliver():
                self._deliver(action)
            case EndDelivery():
                pass  # a note tells it to people, the journal keeps it
            case GiveAdvice():
                return self.advise(action)
            case RequestDump(dump=dump):
                self._request_dump(dump)
            case RequestRoutes(dump=dump, families=families):
                self._request_routes(dump, families)
            case ReadWireguard():
                self._read_wireguard(action)
            case ResolveEndpoint():
                self._resolve_endpoint(action)
            case SetEndpoint():
                self._set_endpoint(action)
            case ChangeRouting():
                return self.change(action)
            case Note(level=level, message=message, fields=fields, kind=kind):
                write(self._log, level, message, {**fields, "kind": kind})
            case Ready():
                self._report_ready()
            case _:
                assert_never(action)
        return None

    def tell_outcome(self, action: EndRun, time_ns: int) -> RunOutcome:
        """Return how a run ended, with what it has printed. To be called before it is performed."""
        return RunOutcome(
            action.run, action.event.sequence, action.event.type.value, action.event.name,
            action.hook.path, action.result, action.reason, action.status, action.duration_s,
            action.cpu_s, action.leftovers, action.attempt, action.final, time_ns,
            tuple(self._output.get(action.run, ())), action.run in self._adopted,
        )  # fmt: skip

    def start(self, action: StartRun) -> Input | None:
        """Ask the script's runner to start it."""
        request = Run(
            action.run, action.hook.entry, list(action.values), action.detach, [*action.words]
        )
        self._send(action.runner, request)
        return None

    def change(self, action: ChangeRouting) -> Input | None:
        """Have rules and routes changed."""
        self._request_changes(action)
        return None

    def advise(self, action: GiveAdvice) -> Input | None:
        """Have a service of the host told what a lease says."""
        self._give_advice(action)
        return None

    def _send(self, number: int, message: Message) -> None:
        """Send a request to a runner; one that is gone has taken its runs with it."""
        runner = self._runners.get(number)
        if runner is not None:
            runner.send(message)

    def log_output(self, run: int, stream: str, line: str) -> None:
        """Log one line that a script printed."""
        self._output.setdefault(run, []).append((stream, line))
        event, path = self._events.get(run, (None, None))
        fields: dict[str, object] = {"script": path, "stream": stream, "kind": Kind.OUTPUT}
        if event is not None:
            fields |= {"interface": event.name or None, "sequence": event.sequence}
        self._log.info(line, **fields)


class DryPerformer(Performer):
    """Says what would run and runs nothing."""

    def start(self, action: StartRun) -> Input | None:
        """Log the script that would run, and have it end well at once."""
        self._log.info(
            " ".join(("would run", action.hook.path, *action.words)),
            interface=action.event.name or None,
            event_type=action.event.type.value,
            sequence=action.event.sequence,
        )
        return RunFinished(action.run, status=0, duration_s=0.0, cpu_s=0.0, leftovers=0)

    def change(self, action: ChangeRouting) -> Input | None:
        """Log what would be changed."""
        for change in action.changes:
            self._log.info(f"would ask for: {describe_change(change)}")
        return ChangesMade(action.number, dry=True)

    def advise(self, action: GiveAdvice) -> Input | None:
        """Log what would be told."""
        words = "take back what it was told" if action.withdraw else "take"
        self._log.info(f"would have {action.advice.service} {words}: {action.advice}")
        return AdviceAnswered(action.number)

    def perform(self, action: Action) -> Input | None:
        """Do what an action says; of a run or post that did not take place, tell no end."""
        if isinstance(action, StartRun):
            return self.start(action)
        if isinstance(action, Deliver):
            return self._would_post(action)
        if isinstance(action, ResolveEndpoint | SetEndpoint):
            return None
        if isinstance(action, EndRun) or (
            isinstance(action, Note) and action.fields.keys() & {"run", "webhook"}
        ):
            return None
        return super().perform(action)

    def _would_post(self, action: Deliver) -> Input:
        """Log where an event would be posted to, and have it taken at once."""
        event = action.event
        self._log.info(
            f"would post to {action.target.shown}",
            interface=event.name or None,
            event_type=event.type.value,
            sequence=event.sequence,
        )
        return DeliveryAnswered(
            action.number, event.sequence, action.attempt, "ok", 200, "", 0.0, 0.0, 0.0
        )


def log_event(log: FilteringBoundLogger, event: Event, verdict: Verdict) -> None:
    """Write the record of one event; of an ignored one at level debug."""
    addresses = () if event.after is None else event.after.addresses
    usable = (address.ip for address in addresses if address.usable)
    address = event.address.ip if event.address is not None else next(usable, None)
    write_it = log.debug if verdict.action == "ignore" else log.info
    write_it(
        describe(event),
        interface=event.name or None,
        event_type=event.type.value,
        ip=address,
        sequence=event.sequence,
        initial=event.initial or None,
        verdict=None if verdict.rule is None else verdict.reason,
        kind=Kind.EVENT,
    )


def write(
    log: FilteringBoundLogger,
    level: str,
    message: str,
    fields: dict[str, str | int | float | bool | None],
) -> None:
    """Write one record at a level of ours."""
    if "event" in fields:
        fields["event_type"] = fields.pop("event")
    match level:
        case "trace" | "debug":
            log.debug(message, **fields)
        case "info":
            log.info(message, **fields)
        case "warn":
            log.warning(message, **fields)
        case _:
            log.error(message, **fields)
