"""
What has happened, as the journal still has it.

A journal holds many thousand entries, which are unpacked one by one: whoever searches iterates, and
may let others have their turn meanwhile. `None` stands for an entry that was passed over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from netevd.core.engine import Engine
from netevd.model.actions import Outcome
from netevd.model.answers import AuditRecordObject
from netevd.model.event import Event
from netevd.model.objects import DeliveryObject, ExplanationObject, RunObject
from netevd.model.shape import printable
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
from netevd.report.audit import shape_audited
from netevd.report.choice import Choice
from netevd.report.journal import (
    AuditEntry,
    DeliveryEntry,
    Entry,
    EventEntry,
    Journal,
    OutcomeEntry,
    RereadEntry,
    RunEntry,
)


class Past:
    """Searches one worker's journal, and what its engine has not ended yet."""

    def __init__(self, journal: Journal, engine: Engine) -> None:
        self._journal = journal
        self._engine = engine

    def find_first(self) -> int:
        """Return the sequence number of the oldest event of the journal, or the next one."""
        for each in self._journal.scan():
            if isinstance(each, EventEntry):
                return each.event.sequence
        return self._engine.numbers.sequence

    def find_last(self) -> int:
        """Return the sequence number of the last event that ever was."""
        return self._engine.numbers.sequence - 1

    def find_last_event(self) -> Event | None:
        """Return the last event of the journal, None for none."""
        for each in self._journal.scan_back():
            if isinstance(each, EventEntry):
                return each.event
        return None

    def scan_events(self, choice: Choice) -> Iterator[Event | None]:
        """Yield the events of a choice, the oldest first."""
        for each in self._journal.scan(choice.since):
            taken = isinstance(each, EventEntry) and choice.takes(each.event)
            yield each.event if taken and isinstance(each, EventEntry) else None

    def scan_events_back(self, choice: Choice) -> Iterator[Event | None]:
        """Yield the events of a choice, the latest first."""
        for each in self._journal.scan_back():
            if isinstance(each, EventEntry):
                if each.event.sequence <= choice.since:
                    return
                yield each.event if choice.takes(each.event) else None
            else:
                yield None

    def scan_runs_back(self, *, sequence: int = 0, run: int = 0) -> Iterator[RunObject | None]:
        """Yield runs that have ended, the latest first; of one event or one number, if given."""
        for each in self._journal.scan_back():
            if isinstance(each, EventEntry) and each.event.sequence < sequence:
                return
            if isinstance(each, RunEntry) and (
                (sequence in {0, each.outcome.sequence}) and run in {0, each.outcome.run}
            ):
                yield shape_outcome(each.outcome)
            else:
                yield None

    def find_open_runs(self, *, sequence: int = 0, run: int = 0) -> Iterator[RunObject]:
        """Yield runs that have not ended; of one event or one number, if given."""
        events = self._engine.insight.get_open_events()
        for open_run in self._engine.insight.get_open_runs():
            if sequence in {0, open_run.sequence} and run in {0, open_run.number}:
                event = events[open_run.sequence]
                yield shape_open_run(open_run, event.type.value, event.name)

    def scan_noted_back(self) -> Iterator[AuditRecordObject | None]:
        """Yield the records of the audit log, the latest first."""
        for each in self._journal.scan_back():
            yield shape_audited(each.noted) if isinstance(each, AuditEntry) else None

    def scan_about(self, sequence: int) -> Iterator[Entry | None]:
        """Yield what the journal has of an event, the event first, and what was decided later."""
        into = sequence
        for each in self._journal.scan(sequence - 1):
            match each:
                case EventEntry() if each.event.sequence == sequence:
                    yield each
                case OutcomeEntry() if sequence in each.outcome.sequences:
                    into = each.outcome.into or into
                    yield each
                case RereadEntry() if 0 <= sequence - each.first < each.count:
                    yield each
                case RunEntry() | DeliveryEntry() if each.outcome.sequence == into:
                    yield each
                case _:
                    yield None

    def explain(self, event: Event, about: list[Entry]) -> ExplanationObject:
        """Return what became of an event, and why. about: what `scan_about` has found."""
        verdict = next((each.verdict for each in about if isinstance(each, EventEntry)), None)
        decisions = [each.outcome for each in about if isinstance(each, OutcomeEntry)]
        into = next((each.into for each in decisions if each.into), event.sequence)
        runs = [shape_outcome(each.outcome) for each in about if isinstance(each, RunEntry)]
        runs += self.find_open_runs(sequence=into)
        deliveries = [
            shape_delivery(each.outcome) for each in about if isinstance(each, DeliveryEntry)
        ]
        deliveries += [
            shape_open_delivery(each)
            for each in self._engine.insight.get_open_deliveries()
            if each.sequence == into
        ]
        losses = [each.reason for each in about if isinstance(each, RereadEntry)]
        return {
            "event": shape_described_event(event),
            "verdict": shape_verdict(verdict),
            "decisions": [shape_decision(each) for each in decisions],
            "runs": runs,
            "deliveries": deliveries,
            "explanation": [
                *map(_describe_loss, losses),
                *self._tell(event, verdict or EXECUTE, decisions, runs),
                *map(_describe_delivery, deliveries),
            ],
        }

    def _tell(
        self,
        event: Event,
        verdict: Verdict,
        decisions: list[Outcome],
        runs: list[RunObject],
    ) -> Iterator[str]:
        yield printable(verdict.reason)
        for decision in decisions:
            yield printable(f"{decision.result}: {decision.reason}")
        waits = list(self._tell_waiting(event))
        yield from waits
        for run in runs:
            yield _describe_run(run)
        held = waits or any(each.result in {"unchanged", "suppressed"} for each in decisions[-1:])
        if not runs and not held and verdict.action == "execute":
            yield self._tell_absence(event, verdict)
        if verdict.action == "execute" and verdict.scripts is None:
            for each in self._engine.insight.get_skipped(event):
                yield printable(f"{each.path} is not run: {each.reason}")

    def _tell_waiting(self, event: Event) -> Iterator[str]:
        for _, window in self._engine.insight.get_waiting().windows:
            if event.sequence in window.sequences:
                rest = max(0.0, window.due - time.monotonic())
                count = len(window.sequences)
                yield f"waits with {count - 1} others for the end of its window, in {rest:.1f} s"
        for tree, action in self._engine.insight.get_held(event.sequence):
            yield f"{tree} runs {action} if this lasts for its delay"

    def _tell_absence(self, event: Event, verdict: Verdict) -> str:
        if event.initial and not self._engine.runs_initial:
            return "it told the state at start, for which no script runs (scripts.initial: false)"
        if verdict.scripts is not None:
            names = "none of the scripts that the filter names was run"
            return names if verdict.scripts else "the filter has no script run"
        hooks = self._engine.insight.find_hooks(event.type)
        directory = f"{event.type.value}.d"
        if not hooks:
            return f"no script: there is none in {directory} that may be run"
        paths = ", ".join(printable(each.path) for each in hooks)
        return f"no script was there when it happened; now {directory} has {paths}"


def _describe_delivery(delivery: DeliveryObject) -> str:
    name, result = f"webhook {delivery['webhook']}", delivery["result"]
    attempt = f"attempt {delivery['attempt']}"
    if result is None:
        return f"{name}: {delivery['stage']}, {attempt}"
    if result == "ok":
        return f"{name} has taken it (status {delivery['status']}, {attempt})"
    again = "" if delivery["final"] else "; it is tried again"
    return f"{name}: {result}, {attempt}: {delivery['reason']}{again}"


def _describe_loss(reason: str) -> str:
    what = "it is what had changed by then, and what came and went before can't be known"
    return printable(f"{reason}: {what}")


def _describe_run(run: RunObject) -> str:
    name, result = f"run {run['run']}: {run['script']}", run["result"]
    if result is None:
        return f"{name} has not ended: {run['stage']}"
    attempt = f", attempt {run['attempt']}" if run["attempt"] != 1 or not run["final"] else ""
    reason = f": {run['reason']}" if run["reason"] else ""
    if result == "lost":
        return f"{name} is lost{reason}"
    status = run["status"]
    if status is None:
        return f"{name} did not run: {result}{reason}"
    how = f"exit code {status}" if status >= 0 else f"signal {-status}"
    return f"{name} {result} ({how}, {run['duration_seconds']:.6f} s{attempt}){reason}"
