"""
Deliveries: events on their way to webhooks. Queues, attempts and what is said of them.

Belongs here: for each webhook one queue, in order, of which the first is posted, or rests until it
is tried again. That an address may be posted to, and how, is the courier's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias, assert_never

from attrs import define, field

from netevd.config.schema import Configuration
from netevd.config.webhooks import find_target, list_webhooks
from netevd.core.deadlines import find_earliest
from netevd.core.environment import fit_json
from netevd.model.actions import Action, Deliver, EndDelivery, Kind, Note
from netevd.model.event import Event
from netevd.model.inputs import CourierConnected, CourierLost, DeliveryAnswered, Now
from netevd.model.memory import RESTING, WAITING, DeliveryMemory, OpenDelivery, State
from netevd.model.shape import printable
from netevd.model.webhook import Target

QUEUE_LIMIT: Final = 1000
"""Events that wait for one webhook at most; one more drops the oldest that is not under way."""

BODY_LIMIT: Final = 96 * 1024
"""Bytes of what is posted, if an event can be told in so few."""

FIRST_DELAY_S: Final = 1.0
"""From the first attempt to the second; twice as long each further time."""

LONGEST_DELAY_S: Final = 300.0

LONGEST_WISH_S: Final = 900.0
"""A webhook that wants to be left alone for longer is asked again after this."""

POSTING: Final = "posting"
"""Stage of a delivery that the courier has. The others are those of runs."""

DeliveryInput: TypeAlias = CourierConnected | CourierLost | DeliveryAnswered


@define(slots=True, eq=False)
class _Delivery:
    """One event for one webhook."""

    event: Event
    attempt: int = 1
    due: float | None = None
    """When it is tried again, monotonic seconds; None: it does not rest."""
    posting: bool = False


@define(slots=True, eq=False)
class _Queue:
    """What one webhook is to be told of; only the first may be under way."""

    target: Target
    number: int
    retries: int
    name: str
    """What people call it."""
    waiting: deque[_Delivery] = field(factory=deque)
    dropping: bool = False
    """It is full, which was said."""


class Deliveries:
    """Every event that is to be posted and was not yet."""

    def __init__(self, configuration: Configuration) -> None:
        self._queues: dict[Target, _Queue] = {}
        for number, webhook in enumerate(list_webhooks(configuration)):
            target = find_target(webhook)
            name = f"Webhook {number + 1} ({target.shown})"
            self._queues[target] = _Queue(target, number, webhook.retries, name)
        self._by_number = list(self._queues.values())
        self._connected = False
        self._stopping = False
        self._gone: list[tuple[Target, Event, int]] = []
        """What was remembered of webhooks that are not in the configuration any more."""
        self._open: dict[tuple[Target, int], _Delivery] = {}
        """Every delivery in the queues, by webhook and event."""
        self._touched: dict[tuple[Target, int], None] = {}
        """Deliveries of which something is to be remembered, see `take_memory`."""

    @property
    def wanted(self) -> bool:
        """Whether there is any webhook."""
        return bool(self._queues)

    def add(self, event: Event, targets: tuple[Target, ...], actions: list[Action]) -> None:
        """Queue an event for each of these webhooks."""
        for target in targets:
            queue = self._queues.get(target)
            if queue is None:  # a window of before a reload has named it
                self._gone.append((target, event, 1))
                continue
            if len(queue.waiting) >= QUEUE_LIMIT:
                self._drop(queue, actions)
            self._push(queue, _Delivery(event))
            self._touched[target, event.sequence] = None

    def _push(self, queue: _Queue, delivery: _Delivery) -> None:
        queue.waiting.append(delivery)
        self._open[queue.target, delivery.event.sequence] = delivery

    def _drop(self, queue: _Queue, actions: list[Action]) -> None:
        """Let go of the oldest that is not under way."""
        place = 1 if queue.waiting[0].posting else 0
        dropped = queue.waiting[place]
        del queue.waiting[place]
        del self._open[queue.target, dropped.event.sequence]
        self._touched[queue.target, dropped.event.sequence] = None
        reason = f"{QUEUE_LIMIT} later events were waiting"
        end = EndDelivery(queue.target, dropped.event, "dropped", 0, reason, 0.0, dropped.attempt)
        actions.append(end)
        if not queue.dropping:
            queue.dropping = True
            text = f"is not told of event {dropped.event.sequence}: {reason}; so are others"
            actions.append(_note(queue.name, "warn", f"{text} until fewer wait", end))

    # --- from the queues to the courier ----------------------------------------------------

    def start(self, now: Now, actions: list[Action]) -> None:
        """Have posted what may be posted."""
        if self._gone:
            self._lose_gone(actions)
        if not self._connected or self._stopping:
            return
        for queue in self._by_number:
            if not queue.waiting:
                continue
            first = queue.waiting[0]
            if first.posting or (first.due is not None and first.due > now.monotonic):
                continue
            first.posting, first.due = True, None
            self._touched[queue.target, first.event.sequence] = None
            body = fit_json(first.event, BODY_LIMIT)
            actions.append(Deliver(queue.number, queue.target, first.event, first.attempt, body))

    def _lose_gone(self, actions: list[Action]) -> None:
        gone, self._gone = self._gone, []
        for target, event, attempt in gone:
            reason = "the configuration does not name it any more"
            end = EndDelivery(target, event, "lost", 0, reason, 0.0, attempt)
            text = f"is not told of event {event.sequence}: {reason}"
            actions += [end, _note(f"Webhook {target.shown}", "warn", text, end)]
            self._touched[target, event.sequence] = None

    # --- what the courier says --------------------------------------------------------------

    def handle(self, given: DeliveryInput, now: Now, actions: list[Action]) -> None:
        """Take in what the courier says. An answer to what is not under way is none."""
        match given:
            case CourierConnected():
                self._connected = True
                for queue in self._find_posting():
                    queue.waiting[0].posting = False  # `start` asks once more, for the same attempt
            case CourierLost():
                self._connected = False
                if not self._stopping:
                    for queue in self._find_posting():
                        reason = "the process that posts died"
                        lost = DeliveryAnswered(
                            queue.number, queue.waiting[0].event.sequence, queue.waiting[0].attempt,
                            "again", 0, reason, 0.0, 0.0, 1.0,
                        )  # fmt: skip
                        self._end(queue, lost, "lost", now, actions)
            case DeliveryAnswered(number=number):
                if number >= len(self._by_number) or not self._by_number[number].waiting:
                    return
                queue = self._by_number[number]
                first = queue.waiting[0]
                asked = (first.posting, first.event.sequence, first.attempt)
                if asked == (True, given.sequence, given.attempt):
                    result = "failed" if given.result == "again" else given.result
                    self._end(queue, given, result, now, actions)
            case _:
                assert_never(given)

    def _find_posting(self) -> Iterator[_Queue]:
        return (each for each in self._by_number if each.waiting and each.waiting[0].posting)

    def _end(
        self,
        queue: _Queue,
        given: DeliveryAnswered,
        result: Literal["ok", "failed", "refused", "lost"],
        now: Now,
        actions: list[Action],
    ) -> None:
        """Record the end of an attempt and say it; have it tried again if that is of use."""
        first = queue.waiting[0]
        again = given.result == "again" and first.attempt <= queue.retries
        end = EndDelivery(
            queue.target, first.event, result, given.status, given.reason, given.duration_s,
            first.attempt, final=not again,
        )  # fmt: skip
        actions.append(end)
        self._touched[queue.target, first.event.sequence] = None
        number = first.event.sequence
        if again:
            delay = _find_delay(given)
            first.attempt += 1
            first.posting, first.due = False, now.monotonic + delay
            text = (
                f"has not taken event {number}: {given.reason}; it is tried again in {delay:.1f} s"
            )
            level = "info"
        elif result == "ok":
            text, level = f"has taken event {number} (status {given.status})", "info"
        else:
            text, level = f"was not told of event {number}: {given.reason}", "warn"
        if not again:
            queue.waiting.popleft()
            del self._open[queue.target, number]
            queue.dropping = queue.dropping and len(queue.waiting) >= QUEUE_LIMIT - 1
        actions.append(_note(queue.name, level, text, end))

    # --- time -------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Return when the next attempt is due, in monotonic seconds; None for never."""
        if not self._connected or self._stopping:
            return None
        return find_earliest([each.waiting[0].due for each in self._by_number if each.waiting])

    def stop(self) -> int:
        """Post nothing more; return how many deliveries are open."""
        self._stopping = True
        return sum(len(each.waiting) for each in self._by_number)

    # --- what is remembered -----------------------------------------------------------------

    def take_memory(self) -> DeliveryMemory | None:
        """Return what is to be remembered otherwise since the last call, None for nothing."""
        if not self._touched:
            return None
        touched, self._touched = self._touched, {}
        return DeliveryMemory(
            tuple(_describe(key[0], self._open[key]) for key in touched if key in self._open),
            tuple(key for key in touched if key not in self._open),
        )

    def get_memory(self) -> tuple[OpenDelivery, ...]:
        """Return all that is to be remembered."""
        return tuple(
            _describe(queue.target, each) for queue in self._by_number for each in queue.waiting
        )

    def get_events(self) -> dict[int, Event]:
        """Return the events of what `get_memory` tells, by sequence number."""
        return {each.event.sequence: each.event for each in self._open.values()}

    def restore(self, state: State) -> None:
        """Take what was remembered; a courier connects later."""
        events = {event.sequence: event for event in state.events}
        for each in state.deliveries:
            event = each.event or events.get(each.sequence)
            queue = self._queues.get(each.target)
            if event is None:
                continue
            if queue is None:
                self._gone.append((each.target, event, each.attempt))
            else:
                self._push(queue, _Delivery(event, each.attempt, each.due, each.stage == POSTING))


def _describe(target: Target, delivery: _Delivery) -> OpenDelivery:
    """Return a delivery as it is remembered."""
    event, due = delivery.event, delivery.due
    stage = POSTING if delivery.posting else WAITING if due is None else RESTING
    changed = event if event.coalesced else None
    return OpenDelivery(target, event.sequence, stage, delivery.attempt, due, changed)


def _find_delay(given: DeliveryAnswered) -> float:
    """Return seconds until the next attempt: doubled each time, halved at random, longer if wished."""
    doubled = min(FIRST_DELAY_S * 2.0 ** min(given.attempt - 1, 40), LONGEST_DELAY_S)
    own = doubled * (0.5 + 0.5 * given.jitter)
    return max(own, min(given.retry_after_s, LONGEST_WISH_S))


def _note(name: str, level: str, text: str, end: EndDelivery) -> Note:
    event = end.event
    return Note(
        level,
        f"{name} {printable(text)}",
        {
            "interface": printable(event.name),
            "event": event.type.value,
            "sequence": event.sequence,
            "webhook": printable(end.target.shown),
            "attempt": end.attempt,
            "status": end.status,
            "duration": round(end.duration_s, 3),
        },
        Kind.WEBHOOK_ENDED,
    )
