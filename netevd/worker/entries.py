"""What of the engine's actions goes into the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netevd.model.actions import Action, EndDelivery, EndRun, Kind, Note, Outcome, Publish
from netevd.model.history import DeliveryOutcome, RunOutcome
from netevd.model.verdict import EXECUTE
from netevd.report.journal import (
    DeliveryEntry,
    Entry,
    EventEntry,
    LossEntry,
    OutcomeEntry,
    RereadEntry,
    RunEntry,
)


def list_entries(
    actions: Iterable[Action],
    sequence: int,
    time_ns: int,
    tell_run: Callable[[EndRun, int], RunOutcome],
) -> list[Entry]:
    """
    Return the entries of what the engine has decided, in its order.

    sequence: number of the first event that these actions may tell. time_ns: now, nanoseconds since
    1970. tell_run: how a run ended.
    """
    entries: list[Entry] = []
    for action in actions:
        if isinstance(action, Publish):
            verdict = action.verdict
            entries.append(EventEntry(action.event, None if verdict == EXECUTE else verdict))
            sequence = action.event.sequence + 1
        elif isinstance(action, Outcome):
            entries.append(OutcomeEntry(action))
        elif isinstance(action, EndRun):
            entries.append(RunEntry(tell_run(action, time_ns)))
        elif isinstance(action, EndDelivery):
            entries.append(DeliveryEntry(_tell_delivery(action, time_ns)))
        elif isinstance(action, Note) and action.kind is Kind.MESSAGES_LOST:
            entries.append(LossEntry(time_ns, sequence, action.message))
        elif isinstance(action, Note) and action.kind is Kind.RESYNCHRONIZED:
            count = int(action.fields["events"])
            entries.append(RereadEntry(time_ns, sequence - count, count, action.message))
    return entries


def _tell_delivery(action: EndDelivery, time_ns: int) -> DeliveryOutcome:
    """Return how a delivery ended, as the journal keeps it."""
    event = action.event
    return DeliveryOutcome(
        action.target, event.sequence, event.type.value, event.name, action.result, action.status,
        action.reason, action.duration_s, action.attempt, action.final, time_ns,
    )  # fmt: skip
