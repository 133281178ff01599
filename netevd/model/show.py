"""Events, how runs ended and what is still open as the API tells it, see model.shape."""

from __future__ import annotations

from typing import Literal

from netevd.model.actions import Outcome
from netevd.model.describe import describe
from netevd.model.event import Event
from netevd.model.history import DeliveryOutcome, RunOutcome
from netevd.model.memory import OpenDelivery, OpenRun
from netevd.model.objects import (
    DecidedObject,
    DecisionObject,
    DeliveryObject,
    DescribedEventObject,
    OutputLineObject,
    RunObject,
    VerdictObject,
)
from netevd.model.shape import printable, shape_event, show_time
from netevd.model.verdict import EXECUTE, Verdict


def shape_described_event(event: Event) -> DescribedEventObject:
    """Return the object of an event, with a few words for people."""
    return {**shape_event(event), "description": printable(describe(event))}


def shape_outcome(outcome: RunOutcome) -> RunObject:
    """Return the object of a run that has ended, or of an attempt of it."""
    return {
        "run": outcome.run,
        "sequence": outcome.sequence,
        "event": outcome.event,
        "interface": printable(outcome.interface) or None,
        "script": printable(outcome.script),
        "result": outcome.result,
        "stage": None,
        "reason": outcome.reason or None,
        "status": outcome.status,
        "duration_seconds": round(outcome.duration_s, 6),
        "cpu_seconds": round(outcome.cpu_s, 6),
        "leftovers": outcome.leftovers,
        "attempt": outcome.attempt,
        "final": outcome.final,
        "time": show_time(outcome.time_ns),
        "output": [_shape_line(stream, line) for stream, line in outcome.output],
        "output_is_incomplete": outcome.incomplete,
    }


def _shape_line(stream: str, line: str) -> OutputLineObject:
    which: Literal["out", "err"] = "err" if stream == "err" else "out"
    return {"stream": which, "line": printable(line)}


def shape_verdict(verdict: Verdict | None) -> VerdictObject:
    """Return the object of what the filters say of an event."""
    said = verdict or EXECUTE
    return {
        "action": said.action,
        "filter": said.rule,
        "reason": printable(said.reason),
        "scripts": None if said.scripts is None else [printable(each) for each in said.scripts],
        "webhooks": [printable(each.shown) for each in said.webhooks],
    }


def shape_decision(outcome: Outcome) -> DecisionObject:
    """Return the object of what was decided about events that had waited."""
    return {
        "sequences": list(outcome.sequences),
        "result": outcome.result,
        "into": outcome.into or None,
        "reason": printable(outcome.reason),
    }


def shape_decided(outcome: Outcome) -> DecidedObject:
    """Return what was decided about events that had waited, as the stream tells it."""
    return {
        "sequences": list(outcome.sequences),
        "result": outcome.result,
        "filter": None,
        "into": outcome.into or None,
        "reason": printable(outcome.reason),
    }


def shape_filtered(sequence: int, verdict: Verdict) -> DecidedObject:
    """Return what a filter says of an event, as the stream tells it."""
    return {
        "sequences": [sequence],
        "result": verdict.action,
        "filter": verdict.rule,
        "into": None,
        "reason": printable(verdict.reason),
    }


def shape_open_run(run: OpenRun, event: str, interface: str) -> RunObject:
    """Return the object of a run that has not ended."""
    return {
        "run": run.number,
        "sequence": run.sequence,
        "event": event,
        "interface": printable(interface) or None,
        "script": printable(run.hook.path),
        "result": None,
        "stage": run.stage.lower(),
        "reason": None,
        "status": None,
        "duration_seconds": None,
        "cpu_seconds": None,
        "leftovers": 0,
        "attempt": 1 if run.failed is None else run.failed.number + 1,
        "final": False,
        "time": None,
        "output": [],
        "output_is_incomplete": False,
    }


def shape_delivery(outcome: DeliveryOutcome) -> DeliveryObject:
    """Return the object of a delivery to a webhook that has ended, or of an attempt of it."""
    return {
        "webhook": printable(outcome.target.shown),
        "sequence": outcome.sequence,
        "result": outcome.result,
        "stage": None,
        "status": outcome.status or None,
        "reason": printable(outcome.reason) or None,
        "duration_seconds": round(outcome.duration_s, 6),
        "attempt": outcome.attempt,
        "final": outcome.final,
        "time": show_time(outcome.time_ns),
    }


def shape_open_delivery(delivery: OpenDelivery) -> DeliveryObject:
    """Return the object of a delivery that has not ended."""
    return {
        "webhook": printable(delivery.target.shown),
        "sequence": delivery.sequence,
        "result": None,
        "stage": delivery.stage,
        "status": None,
        "reason": None,
        "duration_seconds": None,
        "attempt": delivery.attempt,
        "final": False,
        "time": None,
    }
