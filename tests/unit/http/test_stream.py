"""When a reader of the stream listens, and that it knows the stream to live whatever others hear."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from netevd.config.schema import Configuration
from netevd.http.broadcast import BEAT_S, Broadcast
from netevd.http.live import serve_live
from netevd.http.stream import Reader, serve_events
from netevd.report.choice import Choice
from netevd.report.journal import EventEntry
from netevd.report.view import View
from tests.unit.core.test_runs import make_event
from tests.unit.http.test_patience import make_view


def tell(view: View, sequence: int) -> None:
    """Let a link get carrier."""
    entry = EventEntry(make_event(sequence))
    for listener in list(view.listeners):
        listener(entry)


def make_reader(view: View, *types: str) -> Reader:
    """Return a reader of events of some types."""
    return Reader(Broadcast(view), view.past, Choice(types))


async def never() -> dict[str, Any]:
    """Wait for a client that says no more."""
    await trio.sleep_forever()
    raise AssertionError


def test_who_is_answered_misses_nothing() -> None:
    """What happens while the acceptance or the headers are being sent is told behind them."""

    async def run(kind: str) -> list[bytes]:
        view = make_view(Configuration())
        reader, sent = make_reader(view), [b""]
        said = iter([{"type": "websocket.connect"}] if kind == "live" else [])

        async def receive() -> dict[str, Any]:
            return next(said, None) or await never()

        async def send(message: dict[str, Any]) -> None:
            if message["type"] in {"websocket.accept", "http.response.start"}:
                tell(view, 7)
            sent.append(message.get("text", "").encode() or message.get("body", b""))
            if b"carrier" in sent[-1]:
                scope.cancel()

        with trio.move_on_after(2 * BEAT_S) as scope:
            if kind == "live":
                await serve_live(reader, receive, send)
            else:
                await serve_events(reader, receive, send, head=False)
        return sent

    for kind in ("live", "events"):
        sent = trio.run(run, kind, clock=trio.testing.MockClock(autojump_threshold=0))
        assert b"carrier" in sent[-1], kind


def test_a_reader_of_little_has_its_heartbeats() -> None:
    """What others hear is no sign of life for one that did not ask for it."""

    async def run() -> tuple[list[Any] | None, float]:
        view = make_view(Configuration())
        told, began = None, trio.current_time()
        with make_reader(view, "link-removed") as reader:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_go_on, view)
                with trio.move_on_after(10 * BEAT_S):
                    told = await reader.next()
                nursery.cancel_scope.cancel()
        return told, trio.current_time() - began

    told, after = trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    assert told == []
    assert after <= 2 * BEAT_S


async def _go_on(view: View) -> None:
    for sequence in range(1, 1000):
        await trio.sleep(1)
        tell(view, sequence)
