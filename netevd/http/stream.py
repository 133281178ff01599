"""
What one client of the stream hears: events from where it has stopped, then what happens, then the end.

Server-sent events are made here; `live` sends the same over a WebSocket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Self, TypeAlias

import trio
from attrs import evolve

from netevd.http.broadcast import BATCH, Broadcast, Message, tell_event, tell_gap
from netevd.http.pace import STEP
from netevd.model.event import Event
from netevd.report.choice import Choice
from netevd.report.past import Past

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]

RETRY_MS: Final = 2000
"""What a browser waits before it comes again."""

_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class TooSlow(Exception):
    """A reader is too far behind: it is cut, and comes again."""


class Reader:
    """The place of one client in what is told; listens while it is entered."""

    def __init__(self, broadcast: Broadcast, past: Past, choice: Choice) -> None:
        self._broadcast = broadcast
        self._past = past
        self.choice = choice
        """May be replaced while it is read."""
        self._last = choice.since
        self._place = 0
        self._scanning = bool(choice.since or choice.since_ns)
        """Whether it still has to be told what is in the journal."""
        self._scan: Iterator[Event | None] | None = None

    def __enter__(self) -> Self:
        self._place = self._broadcast.join()
        return self

    def __exit__(self, *_: object) -> None:
        self._broadcast.leave()

    async def next(self) -> list[Message] | None:
        """
        Return messages, [] after a long time without any, None when there will be no more.

        Raises: TooSlow.
        """
        while self._scanning:
            found = await self._read_past()
            if found:
                return found
        due = self._broadcast.find_beat()
        while True:
            taken = self._broadcast.take(self._place)
            if taken is None:
                raise TooSlow
            if taken:
                self._place += len(taken)
                wanted = [each for each in taken if self._wants(each)]
                if wanted:
                    return wanted
            elif self._broadcast.closed:
                return None
            elif not await self._broadcast.wait(self._place, due):
                return []

    def _wants(self, message: Message) -> bool:
        return not 0 < message.number <= self._last and message.fits(self.choice)

    async def _read_past(self) -> list[Message]:
        """Return some of what the journal has; at its end go on with what happens."""
        if self._scan is None:
            gap = self._begin_scan()
            if gap:
                return gap
        assert self._scan is not None
        found: list[Message] = []
        for looked, event in enumerate(self._scan, 1):
            if event is not None:
                self._last = event.sequence
                found.append(tell_event(event))
            if len(found) == BATCH or looked == STEP:
                await trio.lowlevel.checkpoint()
                return found
        self._scan = None
        self._scanning = self._broadcast.take(self._place) is None
        return found

    def _begin_scan(self) -> list[Message]:
        """Look into the journal from where the client is; return the message of a gap, if any."""
        self._place = self._broadcast.end
        choice, first, last = self.choice, self._past.find_first(), self._past.find_last()
        since = max(choice.since, self._last)
        if since > last:  # of another history: such a number never comes, or comes again
            self._last = last
            self.choice = evolve(choice, since=last)
            return [tell_gap(last + 1, since)]
        self._scan = self._past.scan_events(
            Choice(choice.types, choice.interfaces, since, choice.since_ns)
        )
        return [tell_gap(since + 1, first - 1)] if 0 < since < first - 1 else []


async def serve_events(reader: Reader, receive: Receive, send: Send, *, head: bool) -> None:
    """Send server-sent events until client or worker end. head: nothing but the headers."""
    start = {"type": "http.response.start", "status": 200, "headers": _HEADERS}
    if head:
        await send(start)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    with reader:  # listening first: who is answered misses nothing
        await send(start)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, receive, nursery.cancel_scope)
            await _send_part(send, b"retry: %d\n: netevd\n\n" % RETRY_MS)
            with suppress(TooSlow):
                while (batch := await reader.next()) is not None:
                    body = b"".join([each.sse for each in batch]) or b": still there\n\n"
                    await _send_part(send, body)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            nursery.cancel_scope.cancel()


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _watch(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
