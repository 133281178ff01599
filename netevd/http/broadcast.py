"""
What happens, as messages for everybody who listens: each is made once, and kept for a while.

A reader holds nothing but its place in what is kept. One that falls behind further than that is cut,
and comes again with the number of the last event it got.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

import msgspec
import trio

from netevd.model.event import Event
from netevd.model.objects import GapObject
from netevd.model.show import (
    shape_decided,
    shape_described_event,
    shape_filtered,
    shape_outcome,
)
from netevd.report.choice import Choice
from netevd.report.families import STREAM_CLIENTS
from netevd.report.journal import Entry, EventEntry, OutcomeEntry, RunEntry
from netevd.report.view import View

BACKLOG: Final = 4096
"""Messages that a reader may be behind before it is cut."""

BATCH: Final = 64
"""Messages that are sent at once at most."""

BEAT_S: Final = 15.0
"""Something is sent after this long without a message, so that both sides notice a dead peer."""


class Message:
    """One message in the two forms in which it is sent."""

    __slots__ = ("_text", "event", "interface", "kind", "number", "sse")

    def __init__(
        self, kind: str, content: object, *, number: int = 0, event: str = "", interface: str = ""
    ) -> None:
        """
        number: of an event, 0 for other messages. event, interface: what it is about, "" if that is
        everybody's business.
        """
        self.kind = kind
        self.number = number
        self.event = event
        self.interface = interface
        packed = msgspec.json.encode(content)
        self.sse = b"%sevent: %s\ndata: %s\n\n" % (
            b"id: %d\n" % number if number else b"", kind.encode(), packed,
        )  # fmt: skip
        self._text = ""

    @property
    def text(self) -> str:
        """The message as one object: kind, id of an event, data."""
        if not self._text:
            data = self.sse[self.sse.index(b"\ndata: ") + 7 : -2].decode()
            number = f'"id":{self.number},' if self.number else ""
            self._text = f'{{"kind":"{self.kind}",{number}"data":{data}}}'
        return self._text

    def fits(self, choice: Choice) -> bool:
        """Tell whether a choice wants to hear of it."""
        return not self.event or choice.names(self.event, self.interface)


def tell_event(event: Event) -> Message:
    """Return the message of an event."""
    return Message(
        "event", shape_described_event(event),
        number=event.sequence, event=event.type.value, interface=event.name,
    )  # fmt: skip


def tell_gap(first: int, last: int) -> Message:
    """Return the message that events are not known any more."""
    gap: GapObject = {"from": first, "to": last}
    return Message("gap", gap)


class Broadcast:
    """The latest messages, as long as anybody listens."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._kept: deque[Message] = deque(maxlen=BACKLOG)
        self._subjects: dict[int, tuple[str, str]] = {}
        """Type and interface of the latest events, for what is decided about them later."""
        self._readers = 0
        self._news = trio.Event()
        self.end = 0
        """Place behind the last message; places are never used again."""
        self.closed = False
        """Whether no more will come."""

    # --- readers ------------------------------------------------------------------------------------

    def join(self) -> int:
        """Begin to listen; return the place of the next message."""
        self._readers += 1
        self._view.metrics.tell(STREAM_CLIENTS, {(): self._readers})
        if self._readers == 1:
            self._view.listeners.add(self._hear)
        return self.end

    def leave(self) -> None:
        """Listen no more."""
        self._readers -= 1
        self._view.metrics.tell(STREAM_CLIENTS, {(): self._readers})
        if not self._readers:
            self._view.listeners.discard(self._hear)
            self._kept.clear()
            self._subjects.clear()

    @property
    def readers(self) -> int:
        """How many listen."""
        return self._readers

    def take(self, place: int) -> list[Message] | None:
        """Return what there is from a place on, at most a batch; None if that is too long ago."""
        behind = self.end - place
        if behind > len(self._kept):
            return None
        begin = len(self._kept) - behind
        return list(islice(self._kept, begin, begin + BATCH))

    @staticmethod
    def find_beat() -> float:
        """Return when a reader is told that the stream lives, in seconds of trio's clock."""
        # all readers have the same deadlines: the process wakes up once for all of them
        due = (trio.current_time() // BEAT_S + 1) * BEAT_S
        return due if due - trio.current_time() >= BEAT_S / 2 else due + BEAT_S

    async def wait(self, place: int, due: float) -> bool:
        """Return once there is something at this place, or nothing more; False at this time."""
        with trio.move_on_at(due):
            while self.end == place and not self.closed:
                await self._news.wait()
            return True
        return False

    # --- what happens -------------------------------------------------------------------------------

    def close(self) -> None:
        """Let everybody read what there is, and then the end."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _hear(self, entry: Entry) -> None:
        match entry:
            case EventEntry(event=event, verdict=verdict):
                subject = event.type.value, event.name
                self._subjects[event.sequence] = subject
                if len(self._subjects) > BACKLOG:
                    del self._subjects[next(iter(self._subjects))]
                self._add(tell_event(event))
                if verdict is not None:
                    content = shape_filtered(event.sequence, verdict)
                    self._add(Message("verdict", content, event=subject[0], interface=subject[1]))
            case OutcomeEntry(outcome=outcome):
                event_type, interface = self._subjects.get(outcome.sequences[-1], ("", ""))
                self._add(
                    Message(
                        "verdict", shape_decided(outcome), event=event_type, interface=interface
                    )
                )
            case RunEntry(outcome=run):
                self._add(
                    Message("run", shape_outcome(run), event=run.event, interface=run.interface)
                )
            case _:
                return
        self._wake()

    def _add(self, message: Message) -> None:
        self._kept.append(message)
        self.end += 1
