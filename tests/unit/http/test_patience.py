"""The stream through all that stands before it, for longer than any answer may take: by a clock that jumps."""

from __future__ import annotations

from typing import Any

import structlog
import trio
import trio.testing

from netevd.config.schema import Configuration
from netevd.config.sealed import Secrets
from netevd.core.engine import Engine
from netevd.http.assembly import Assembly
from netevd.http.auth import Access
from netevd.http.broadcast import BEAT_S
from netevd.http.peer import Peer
from netevd.http.server import Means
from netevd.report.about import About
from netevd.report.gauges import Gauges
from netevd.report.journal import Journal
from netevd.report.metrics import Before, Metrics
from netevd.report.tally import Tally
from netevd.report.view import View

STREAM = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
LONG_S = 600.0
"""Ten times what Quart gives an answer."""


def make_view(configuration: Configuration) -> View:
    """Return the view of a daemon to which nothing happens."""
    engine = Engine(configuration, 1)
    about = About("0", 1, "observe", 0.0)
    metrics = Metrics(configuration.metrics, Before(0.0, 0.0, 1, {}, 0, reload_ok=True, loaded=0.0))
    return View(
        engine, Journal(), about, metrics, Gauges(engine, metrics, about),
        tally=Tally(0.0), configuration=configuration,
    )  # fmt: skip


def make_assembly() -> Assembly:
    """Return all that answers, of such a daemon."""
    configuration = Configuration()
    view = make_view(configuration)
    nobody: Any = None
    """Who would change something; a reader never asks."""

    class Unasked:
        examine = None

    steering: Any = Unasked()
    access = Access(configuration.api, ())

    def note(*_: object, **__: object) -> None:
        pass

    return Assembly(Means(access, Secrets(), view, steering, nobody, note, structlog.get_logger()))


def test_a_stream_outlives_every_limit_of_an_answer() -> None:
    """It has a heartbeat now and then, and ends when the worker does, with the last chunk."""

    async def run() -> tuple[bytes, float]:
        near, far = trio.testing.memory_stream_pair()
        assembly = make_assembly()
        closing = trio.Event()
        connection = assembly.connect(near, Peer("socket", uid=0), closing)
        heard = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            await far.send_all(STREAM)
            with trio.move_on_after(LONG_S):
                while part := await far.receive_some():
                    heard += part
            lasted = trio.current_time()
            closing.set()
            assembly.end()
            connection.finish()
            while part := await far.receive_some():
                heard += part
            await far.aclose()
        return heard, lasted

    clock = trio.testing.MockClock(autojump_threshold=0)
    began = clock.current_time()
    heard, ended = trio.run(run, clock=clock)

    assert heard.startswith(b"HTTP/1.1 200 ")
    assert ended - began >= LONG_S
    assert heard.count(b": still there") >= LONG_S / (2 * BEAT_S)
    assert heard.endswith(b"0\r\n\r\n")
