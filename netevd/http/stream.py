"""
The live stream: server-sent events that begin where the client has stopped and end with the worker.

A client that reads too slowly is cut, and comes again with Last-Event-ID; nothing is kept for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec
import trio

from netevd.model.event import Event
from netevd.model.shape import Json
from netevd.model.show import shape_decision, shape_described_event, shape_outcome
from netevd.report.journal import Entry, EventEntry, OutcomeEntry, RunEntry
from netevd.report.view import Choice, View

BACKLOG: Final = 4096
"""Messages that may wait for a client before it is cut."""

HEARTBEAT_S: Final = 15.0
"""A comment is sent after this long without a message, so that both sides notice a dead peer."""


def _format(kind: str, content: dict[str, Json], number: int = 0) -> bytes:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: ".encode() + msgspec.json.encode(content) + b"\n\n"


class Stream:
    """What one client hears."""

    def __init__(self, view: View, choice: Choice, *, history: bool) -> None:
        """history: begin with what the journal has of the choice, not with what happens now."""
        self._view = view
        self._choice = choice
        self._history = history
        self._send, self._receive = trio.open_memory_channel[Entry](BACKLOG)
        self._last = 0

    def hear(self, entry: Entry) -> None:
        """Take a new entry of the journal."""
        try:
            self._send.send_nowait(entry)
        except trio.WouldBlock:
            self.end()
        except trio.BrokenResourceError:
            return

    def end(self) -> None:
        """Let the client read what waits, and then end of stream."""
        self._view.listeners.discard(self.hear)
        self._send.close()

    async def read(self) -> AsyncIterator[bytes]:
        """Yield messages until the worker or the client ends."""
        self._view.listeners.add(self.hear)
        try:
            yield b": netevd\n\n"
            if self._history:
                for message in self._tell_history():
                    yield message
            while True:
                try:
                    with trio.move_on_after(HEARTBEAT_S) as waited:
                        entry = await self._receive.receive()
                except trio.EndOfChannel:
                    return
                if waited.cancelled_caught:
                    yield b": still there\n\n"
                    continue
                told = self._tell(entry)
                if told is not None:
                    yield told
        finally:
            self._view.listeners.discard(self.hear)

    def _tell_history(self) -> list[bytes]:
        first = self._view.find_first()
        told = []
        if self._choice.since and self._choice.since + 1 < first:
            gap: dict[str, Json] = {"from": self._choice.since + 1, "to": first - 1}
            told.append(_format("gap", gap))
        for event in self._view.find_events(self._choice):
            told.append(self._tell_event(event))
        return told

    def _tell(self, entry: Entry) -> bytes | None:
        if isinstance(entry, EventEntry):
            event = entry.event
            if event.sequence <= self._last or not self._choice.takes(event):
                return None
            return self._tell_event(event)
        if isinstance(entry, OutcomeEntry):
            return _format("verdict", shape_decision(entry.outcome))
        if isinstance(entry, RunEntry) and self._choice.takes_run(entry.outcome):
            return _format("run", shape_outcome(entry.outcome))
        return None  # who may follow events need not hear who asked for what, nor of webhooks

    def _tell_event(self, event: Event) -> bytes:
        self._last = event.sequence
        return _format("event", shape_described_event(event), event.sequence)
