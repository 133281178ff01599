"""
Actions of the engine made real: log lines, requests to the runners, requests to the helper.

One arm for each kind of action and no decision in any of them. `--dry-run` is the same engine with
`DryPerformer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, assert_never

from structlog.typing import FilteringBoundLogger

from netevd.model.actions import (
    Action,
    EndRun,
    Kind,
    Note,
    Outcome,
    Publish,
    Ready,
    RequestDump,
    RequestHooks,
    RequestRoutes,
    SignalRun,
    StartRun,
)
from netevd.model.event import Event, EventType
from netevd.model.inputs import Input, RunFinished
from netevd.model.shape import describe_route
from netevd.model.snapshot import Snapshot
from netevd.model.verdict import Verdict
from privsep.protocol import Forget, Message, Rescan, Run, Signal


class Runner(Protocol):
    """Where requests to a runner go."""

    def send(self, message: Message) -> None:
        """Send a message, now or later."""


class Performer:
    """Performs actions by the means that the composition root hands in."""

    def __init__(
        self,
        log: FilteringBoundLogger,
        *,
        request_dump: Callable[[int], None],
        request_routes: Callable[[int, tuple[int, ...]], None],
        report_ready: Callable[[], None],
    ) -> None:
        """
        request_dump: starts the dump of this number. request_routes: the same for routes of these
        families. report_ready: tells the supervisor.
        """
        self._log = log
        self._request_dump = request_dump
        self._request_routes = request_routes
        self._report_ready = report_ready
        self._events: dict[int, tuple[Event, str]] = {}
        """Event and script path of each run that was requested and has not ended."""
        self.runners: dict[int, Runner] = {}
        """Those that are there, by number."""

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
                return self.start(action)
            case SignalRun(run=run, which=which, runner=number):
                self._send(number, Signal(run, which))
            case RequestHooks(runner=number):
                self._send(number, Rescan())
            case EndRun(run=run):
                known = self._events.pop(run, None) is not None
                if known and action.result in {"ok", "failed", "timeout"}:
                    self._send(action.runner, Forget(run))
            case RequestDump(dump=dump):
                self._request_dump(dump)
            case RequestRoutes(dump=dump, families=families):
                self._request_routes(dump, families)
            case Note(level=level, message=message, fields=fields, kind=kind):
                write(self._log, level, message, {**fields, "kind": kind})
            case Ready():
                self._report_ready()
            case _:
                assert_never(action)
        return None

    def start(self, action: StartRun) -> Input | None:
        """Ask the script's runner to start it."""
        request = Run(action.run, action.hook.entry, list(action.values), action.detach)
        self._send(action.runner, request)
        return None

    def _send(self, number: int, message: Message) -> None:
        """Send a request to a runner; one that is gone has taken its runs with it."""
        runner = self.runners.get(number)
        if runner is not None:
            runner.send(message)

    def log_output(self, run: int, stream: str, line: str) -> None:
        """Log one line that a script printed."""
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
            f"would run {action.hook.path}",
            interface=action.event.name or None,
            event_type=action.event.type.value,
            sequence=action.event.sequence,
        )
        return RunFinished(action.run, status=0, duration_s=0.0, cpu_s=0.0, leftovers=0)

    def perform(self, action: Action) -> Input | None:
        """Do what an action says; of a run that did not take place, tell no end."""
        if isinstance(action, StartRun):
            return self.start(action)
        if isinstance(action, EndRun) or (isinstance(action, Note) and "run" in action.fields):
            return None
        return super().perform(action)


def describe(event: Event) -> str:
    """Return in a few words what changed."""
    before, after = event.before, event.after
    if event.route is not None:
        words = describe_route(event.route, lambda ifindex: _name_link(after, ifindex))
        return f"{'del' if event.gone else 'new'} {words}"
    if after is None:
        return event.type.value
    if event.type is EventType.CARRIER:
        return "has carrier" if event.initial else "got carrier"
    if event.type is EventType.NO_CARRIER:
        return "has no carrier" if event.initial or before is None else "lost carrier"
    if event.address is not None:
        return f"{event.address.ip}/{event.address.prefix}"
    if event.type is EventType.GATEWAY_CHANGED:
        old = None if before is None else before.gateway4 if event.family == 4 else before.gateway6
        new = after.gateway4 if event.family == 4 else after.gateway6
        return f"IPv{event.family} gateway {new or 'none'} (was {old or 'none'})"
    if event.type is EventType.LINK_ADDED:
        return f"ifindex {after.link.ifindex}" + (f", {after.link.kind}" if after.link.kind else "")
    if before is None or event.initial:
        return f"is {after.state.value}"
    if event.type is EventType.LINK_RENAMED:
        return f"was {before.link.name}"
    if event.type is EventType.LINK_CHANGED:
        pairs = [
            ("up" if after.link.up else "down", "up" if before.link.up else "down"),
            (f"mtu {after.link.mtu}", f"{before.link.mtu}"),
            (f"MAC {after.link.mac}", before.link.mac),
            (f"master {after.master_name or 'none'}", before.master_name or "none"),
        ]
        return ", ".join(f"{now}" if now in {"up", "down"} else f"{now} (was {was})"
                         for now, was in pairs if not now.endswith(was))  # fmt: skip
    if event.type is EventType.LINK_REMOVED:
        return f"was {before.state.value}"
    return f"{before.state.value} -> {after.state.value}"


def _name_link(snapshot: Snapshot | None, ifindex: int) -> str:
    """Return the name of a link where it is the event's own, else its number as ip(8) writes it."""
    if snapshot is not None and snapshot.link.ifindex == ifindex:
        return snapshot.link.name
    return f"if{ifindex}"


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
