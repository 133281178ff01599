"""
The gate between an event and its scripts: filters, then debounce, then damping.

Composition only, and what is said of it: each part decides by itself and tells why.
"""

from __future__ import annotations

from attrs import evolve

from netevd.config.schema import Configuration
from netevd.core.damping import Damping, Released
from netevd.core.deadlines import find_earliest
from netevd.core.debounce import Closed, Debounce
from netevd.core.deliveries import Deliveries
from netevd.core.facts import describe_fact, find_fact, is_back
from netevd.core.filters import Filters
from netevd.core.runs import Runs
from netevd.model.actions import Action, Kind, Note, Outcome, Publish
from netevd.model.event import Event
from netevd.model.inputs import ClearDamping, Now
from netevd.model.shape import printable
from netevd.model.waiting import FlapKey, Waiting, WaitingChanges
from netevd.model.webhook import Target


class Gate:
    """What decides whether, and when, an event runs scripts."""

    def __init__(
        self,
        configuration: Configuration,
        runs: Runs,
        deliveries: Deliveries,
        waiting: Waiting | None = None,
    ) -> None:
        """
        runs, deliveries: where events go that run scripts, and that are posted. waiting: what an
        earlier gate had.
        """
        waiting = waiting or Waiting()
        self._filters = Filters(configuration.filters)
        self._debounce = Debounce(configuration.debounce, waiting.windows)
        self._damping = Damping(configuration.scripts.damping, waiting.flaps)
        self._initial = configuration.scripts.initial
        self._runs = runs
        self._deliveries = deliveries
        enabled = configuration.debounce.enabled or configuration.scripts.damping.enabled
        self._holds = enabled or bool(waiting.windows or waiting.flaps)
        """Whether anything can ever wait here; where nothing can, an event passes more quickly."""

    def state(self) -> Waiting:
        """Return all that stands between events and their scripts."""
        return Waiting(self._debounce.state(), self._damping.state())

    def take_changes(self) -> WaitingChanges | None:
        """Return what `state` tells otherwise since the last call, None for nothing."""
        if not self._holds:
            return None
        windows, flaps = self._debounce.take_changes(), self._damping.take_changes()
        return WaitingChanges(windows, flaps) if windows or flaps else None

    def add(self, event: Event, now: Now, actions: list[Action]) -> None:
        """Publish an event with its verdict, and have its scripts run, now, later or not at all."""
        verdict = self._filters.judge(event, actions)
        actions.append(Publish(event, verdict))
        if verdict.action != "execute":
            return
        if not self._holds:
            self._react(event, verdict.scripts, verdict.webhooks, actions)
            return
        if event.initial and not self._initial:
            return
        scripts, webhooks = verdict.scripts, verdict.webhooks
        closed = self._debounce.admit(event, scripts, now.monotonic, webhooks)
        if closed is None:
            self._pass(event, scripts, webhooks, now, actions)
            return
        for each in closed:
            self._close(each, now, actions)

    def _react(
        self,
        event: Event,
        scripts: tuple[str, ...] | None,
        webhooks: tuple[Target, ...],
        actions: list[Action],
    ) -> None:
        """Have the scripts of an event run, and the event posted."""
        self._runs.add(event, actions, scripts)
        if webhooks and (self._initial or not event.initial):
            self._deliveries.add(event, webhooks, actions)

    def tick(self, now: Now, actions: list[Action]) -> None:
        """Do what is due. To be called before any input is handled, so that none joins too late."""
        if not self._holds:
            return
        for closed in self._debounce.close_due(now.monotonic):
            self._close(closed, now, actions)
        for released in self._damping.release_due(now.monotonic):
            self._release(released, "it has been quiet long enough", actions)

    def deadline(self) -> float | None:
        """Return when `tick` is wanted, in monotonic seconds; None for never."""
        if not self._holds:
            return None
        return find_earliest((self._debounce.deadline(), self._damping.deadline()))

    def clear(self, given: ClearDamping, actions: list[Action]) -> None:
        """Take in that somebody wants suppressed scripts to run again."""
        for released in self._damping.clear(given.interface):
            self._release(released, "somebody said so", actions)

    def count_windows(self) -> int:
        """Return how many events, or rows of them, wait for the end of their window."""
        return len(self._debounce)

    # --- debounce ------------------------------------------------------------------------------

    def _close(self, closed: Closed, now: Now, actions: list[Action]) -> None:
        window = closed.window
        first, last, sequences = window.first, window.last, window.sequences
        if len(sequences) > 1 and window.net_effect and is_back(first, last):
            fact = describe_fact(printable(last.name), *find_fact(last))
            reason = f"{closed.why} left {fact} as it was: nothing runs"
            actions.append(Outcome(sequences, "unchanged", 0, reason))
            return
        if len(sequences) > 1:
            reason = f"coalesced into event {last.sequence}, the last of {closed.why}"
            actions.append(Outcome(sequences[:-1], "coalesced", last.sequence, reason))
        event = evolve(last, before=first.before, coalesced=len(sequences))
        self._pass(event, window.scripts, window.webhooks, now, actions)

    # --- damping -------------------------------------------------------------------------------

    def _pass(
        self,
        event: Event,
        scripts: tuple[str, ...] | None,
        webhooks: tuple[Target, ...],
        now: Now,
        actions: list[Action],
    ) -> None:
        """Have the scripts of an event run unless its fact flaps."""
        held = self._damping.admit(event, scripts, now.monotonic, webhooks)
        if held is None:
            self._react(event, scripts, webhooks, actions)
            return
        flap, is_new = held
        assert flap.until is not None
        fact = describe_fact(printable(event.name), *find_fact(event))
        seconds = round(flap.until - now.monotonic, 1)
        reason = f"{fact} flaps: penalty {flap.penalty:.0f}, suppressed for {seconds:g} s"
        actions.append(Outcome((event.sequence,), "suppressed", 0, reason))
        if is_new:
            text = f"Scripts are suppressed: {reason} unless more events come"
            actions.append(Note("warn", text, _name(event), Kind.EVENTS_SUPPRESSED))

    def _release(self, released: Released, why: str, actions: list[Action]) -> None:
        """Have the scripts of the latest suppressed event run, if it tells anything new."""
        key, flap = released
        first, last = flap.first, flap.last
        assert first is not None
        assert last is not None
        text = f"Scripts are no longer suppressed: {_describe(key)} may run them again: {why}"
        actions.append(Note("info", text, _name(last), Kind.EVENTS_REUSED))
        if is_back(first, last):
            reason = f"{_describe(key)} is as it was before {flap.count} suppressed events"
            actions.append(Outcome((last.sequence,), "unchanged", 0, f"{reason}: nothing runs"))
            return
        reason = f"the latest of {flap.count} suppressed events runs now: {why}"
        actions.append(Outcome((last.sequence,), "released", last.sequence, reason))
        event = evolve(last, before=first.before, coalesced=flap.count)
        self._react(event, flap.scripts, flap.webhooks, actions)


def _describe(key: FlapKey) -> str:
    return describe_fact(printable(key.interface), key.group, key.subject)


def _name(event: Event) -> dict[str, str | int | float | bool]:
    return {
        "interface": printable(event.name),
        "event": event.type.value,
        "sequence": event.sequence,
    }
