"""
What others may know of the daemon: a read-only facade, asked by the API.

Everything is shaped when it is asked for; nothing here is ever waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from attrs import frozen

from netevd.core.engine import Engine
from netevd.model.actions import Outcome
from netevd.model.event import Event
from netevd.model.history import RunOutcome
from netevd.model.shape import Json, printable, shape_interface, shape_route, show_time
from netevd.model.show import (
    shape_decision,
    shape_delivery,
    shape_described_event,
    shape_open_delivery,
    shape_open_run,
    shape_outcome,
    shape_verdict,
)
from netevd.model.verdict import EXECUTE, Verdict
from netevd.report.about import About
from netevd.report.audit import shape_audited
from netevd.report.gauges import Gauges
from netevd.report.journal import (
    AuditEntry,
    DeliveryEntry,
    Entry,
    EventEntry,
    Journal,
    LossEntry,
    OutcomeEntry,
    RereadEntry,
    RunEntry,
)
from netevd.report.metrics import Metrics


@frozen(slots=True)
class Choice:
    """Which events somebody wants to hear of."""

    types: tuple[str, ...] = ()
    """Globs of event types; none: all."""
    interfaces: tuple[str, ...] = ()
    """Globs of names; none: all, those of the host included."""
    since: int = 0
    """Only those with a higher sequence number."""
    since_ns: int = 0
    """Only those from this wall-clock time on, nanoseconds since 1970."""

    def takes(self, event: Event) -> bool:
        """Tell whether an event is among them."""
        if event.sequence <= self.since or event.time_ns < self.since_ns:
            return False
        return self._names(event.type.value, event.name)

    def takes_run(self, outcome: RunOutcome) -> bool:
        """Tell whether a run is one of such an event, whenever that was."""
        return self._names(outcome.event, outcome.interface)

    def _names(self, event: str, interface: str) -> bool:
        if self.types and not any(fnmatchcase(event, each) for each in self.types):
            return False
        name = printable(interface)
        return not self.interfaces or any(fnmatchcase(name, each) for each in self.interfaces)


class View:
    """Answers questions about one worker's engine and journal."""

    def __init__(
        self, engine: Engine, journal: Journal, about: About, metrics: Metrics, gauges: Gauges
    ) -> None:
        self._engine = engine
        self.metrics = metrics
        """What is counted; its version grows whenever any answer may change."""
        self.gauges = gauges
        self._journal = journal
        self._about = about
        self.listeners: set[Callable[[Entry], None]] = set()
        """Called with each new entry of the journal."""
        self.audit_trouble = ""
        """Why the audit log can't be written, "" if it can or is not wanted."""

    def tell(self, entries: list[Entry]) -> None:
        """Tell everybody who listens of new entries of the journal."""
        for entry in entries:
            for listener in list(self.listeners):
                listener(entry)

    # --- now ------------------------------------------------------------------------------------

    def get_status(self) -> dict[str, Json]:
        """Return the daemon's state in one object."""
        snapshots = self._engine.get_snapshots()
        states: dict[str, int] = {}
        for each in snapshots:
            states[each.state] = states.get(each.state, 0) + 1
        last = None
        runs: dict[str, int] = {}
        losses = 0
        for entry in self._journal:
            if isinstance(entry, EventEntry):
                last = entry.event
            elif isinstance(entry, LossEntry):
                losses += 1
            elif isinstance(entry, RunEntry) and entry.outcome.final:
                runs[entry.outcome.result] = runs.get(entry.outcome.result, 0) + 1
        open_runs = self._engine.get_open_runs()
        return {
            "state": "serving",
            "version": self._about.version,
            "mode": self._about.mode,
            "generation": self._about.generation,
            "loaded": show_time(self._about.loaded_ns),
            "uptime_seconds": round(time.monotonic() - self._about.started, 3),
            "interfaces": len(snapshots),
            "interfaces_by_state": dict(sorted(states.items())),
            "routes": sum(1 for _ in self._engine.get_routes()),
            "rules": len(self._engine.get_rules()),
            "sequence": self._engine.numbers.sequence - 1,
            "last_event": None if last is None else shape_described_event(last),
            "runs_by_result": dict(sorted(runs.items())),
            "open_runs": len(open_runs),
            "paused_scripts": list(self._engine.get_paused()),
            "losses": losses,
            "audit_trouble": self.audit_trouble or None,
        }

    def get_interfaces(self) -> list[Json]:
        """Return every link that exists."""
        return [shape_interface(each) for each in self._engine.get_snapshots()]

    def get_routes(self) -> list[Json]:
        """Return every route that is known."""
        return [shape_route(each) for each in self._engine.get_routes()]

    # --- before -----------------------------------------------------------------------------------

    def find_events(self, choice: Choice) -> list[Event]:
        """Return the events that the journal still has, oldest first."""
        found = (each.event for each in self._journal if isinstance(each, EventEntry))
        return [event for event in found if choice.takes(event)]

    def find_first(self) -> int:
        """Return the sequence number of the oldest event of the journal, or the next one."""
        for each in self._journal:
            if isinstance(each, EventEntry):
                return each.event.sequence
        return self._engine.numbers.sequence

    def find_last(self) -> int:
        """Return the sequence number of the last event."""
        return self._engine.numbers.sequence - 1

    def find_runs(self, sequence: int = 0, run: int = 0) -> Iterator[dict[str, Json]]:
        """Yield runs, those that have ended first; of one event or one number, if given."""
        for each in self._journal:
            if isinstance(each, RunEntry) and (
                (sequence in {0, each.outcome.sequence}) and run in {0, each.outcome.run}
            ):
                yield shape_outcome(each.outcome)
        events = self._engine.get_open_events()
        for open_run in self._engine.get_open_runs():
            if sequence in {0, open_run.sequence} and run in {0, open_run.number}:
                event = events[open_run.sequence]
                yield shape_open_run(open_run, event.type.value, event.name)

    def find_noted(self) -> list[Json]:
        """Return the records of the audit log that the journal still has, oldest first."""
        return [shape_audited(each.noted) for each in self._journal if isinstance(each, AuditEntry)]

    def find_deliveries(self, sequence: int) -> Iterator[dict[str, Json]]:
        """Yield what became of an event's deliveries to webhooks, those that have ended first."""
        for each in self._journal:
            if isinstance(each, DeliveryEntry) and each.outcome.sequence == sequence:
                yield shape_delivery(each.outcome)
        for delivery in self._engine.get_open_deliveries():
            if delivery.sequence == sequence:
                yield shape_open_delivery(delivery)

    def explain(self, event: Event) -> dict[str, Json]:
        """Return what became of an event, and why."""
        verdict = None
        decisions = []
        for entry in self._journal:
            if isinstance(entry, EventEntry) and entry.event.sequence == event.sequence:
                verdict = entry.verdict
            elif isinstance(entry, OutcomeEntry) and event.sequence in entry.outcome.sequences:
                decisions.append(entry.outcome)
        into = next((each.into for each in decisions if each.into), event.sequence)
        runs = list(self.find_runs(into))
        deliveries = list(self.find_deliveries(into))
        return {
            "event": shape_described_event(event),
            "verdict": shape_verdict(verdict),
            "decisions": [shape_decision(each) for each in decisions],
            "runs": list[Json](runs),
            "deliveries": list[Json](deliveries),
            "explanation": [
                *self._tell(event, verdict, decisions, runs),
                *map(_describe_delivery, deliveries),
            ],
        }

    def _tell(
        self,
        event: Event,
        verdict: Verdict | None,
        decisions: list[Outcome],
        runs: list[dict[str, Json]],
    ) -> Iterator[str]:
        yield from self._tell_loss(event)
        yield printable((verdict or EXECUTE).reason)
        for decision in decisions:
            yield f"{decision.result}: {decision.reason}"
        waits = list(self._tell_waiting(event))
        yield from waits
        for run in runs:
            yield _describe_run(run)
        held = waits or any(each.result in {"unchanged", "suppressed"} for each in decisions[-1:])
        if not runs and not held and (verdict or EXECUTE).action == "execute":
            yield self._tell_absence(event, verdict or EXECUTE)
        if (verdict or EXECUTE).action == "execute" and (verdict or EXECUTE).scripts is None:
            for each in self._engine.get_skipped(event.type):
                yield printable(f"{each.path} is not run: {each.reason}")

    def _tell_loss(self, event: Event) -> Iterator[str]:
        """Yield that an event was found by reading all again after a loss, if it was."""
        for each in self._journal:
            if isinstance(each, RereadEntry) and 0 <= event.sequence - each.first < each.count:
                what = (
                    "it is what had changed by then, and what came and went before can't be known"
                )
                yield printable(f"{each.reason}: {what}")

    def _tell_waiting(self, event: Event) -> Iterator[str]:
        for _, window in self._engine.get_waiting().windows:
            if event.sequence in window.sequences:
                rest = max(0.0, window.due - time.monotonic())
                count = len(window.sequences)
                yield f"waits with {count - 1} others for the end of its window, in {rest:.1f} s"

    def _tell_absence(self, event: Event, verdict: Verdict) -> str:
        if event.initial and not self._engine.runs_initial:
            return "it told the state at start, for which no script runs (scripts.initial: false)"
        if verdict.scripts is not None:
            return "none of the scripts that the filter names was run"
        hooks = self._engine.get_hooks(event.type)
        directory = f"{event.type.value}.d"
        if not hooks:
            return f"no script: there is none in {directory} that may be run"
        paths = ", ".join(printable(each.path) for each in hooks)
        return f"no script was there when it happened; now {directory} has {paths}"


def _describe_run(run: dict[str, Json]) -> str:
    name, result = f"run {run['run']}: {run['script']}", run["result"]
    if result is None:
        return f"{name} has not ended: {run['stage']}"
    attempt = f", attempt {run['attempt']}" if run["attempt"] != 1 or not run["final"] else ""
    reason = f": {run['reason']}" if run["reason"] else ""
    if result == "lost":
        return f"{name} is lost{reason}"
    if run["status"] is None:
        return f"{name} did not run: {result}{reason}"
    status = run["status"]
    assert isinstance(status, int)
    how = f"exit code {status}" if status >= 0 else f"signal {-status}"
    return f"{name} {result} ({how}, {run['duration_seconds']} s{attempt}){reason}"


def _describe_delivery(delivery: dict[str, Json]) -> str:
    name, result = f"webhook {delivery['webhook']}", delivery["result"]
    attempt = f"attempt {delivery['attempt']}"
    if result is None:
        return f"{name}: {delivery['stage']}, {attempt}"
    if result == "ok":
        return f"{name} has taken it (status {delivery['status']}, {attempt})"
    again = "" if delivery["final"] else "; it is tried again"
    return f"{name}: {result}, {attempt}: {delivery['reason']}{again}"
