"""
One connection: HTTP/1.1 between a stream and the application, within limits of time.

Hypercorn's own server waits for ever for who sends half a request, reads no answer, or goes on
sending after the end; here each of these has its time, and whoever is cut is told why if HTTP allows.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, NamedTuple

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext

from netevd.http.http1 import Http1
from netevd.http.peer import Peer

IDLE_S: Final = 60.0
"""Seconds that a connection may stay open without a request."""
FIRST_S: Final = 10.0
"""Seconds until the first request of a connection has to begin."""
HEAD_S: Final = 10.0
"""Seconds that the head of a request may take, from its first octet to its last."""
BODY_S: Final = 20.0
"""Seconds that its body may take."""
SEND_S: Final = 10.0
"""Seconds that a client may take to read what was sent to it."""
LINGER_S: Final = 1.0
"""Seconds for a client to read the last answer; to close at once could take it away from it."""
LEFT_S: Final = 5.0
"""Seconds for the application to end once its client has gone."""
HALF_CLOSED_S: Final = 2.0
"""Seconds for an answer to a client that sends no more: it may still read, as `nc -N` does, or have gone."""
LAST_CALL_S: Final = 0.05
"""Seconds for a request that was on its way on an idle connection when the worker ended."""

_RECEIVE: Final = 65536
_LIMITS: Final = {"first": FIRST_S, "idle": IDLE_S, "head": HEAD_S, "body": BODY_S}
_QUIET: Final = frozenset({"first", "idle"})
"""Phases in which no request is under way."""
_SLOW: Final = {
    "head": f"the head of a request may take {HEAD_S:.0f} s",
    "body": f"the body of a request may take {BODY_S:.0f} s",
}


class Hosting(NamedTuple):
    """What all connections have in common."""

    app: Any
    """Hypercorn's wrapper around the application."""
    config: Config
    context: WorkerContext
    closing: trio.Event
    """Set once the worker is about to end."""


class Connection:
    """Serves one client until it has gone, or has used up what it may."""

    def __init__(self, hosting: Hosting, stream: Any, peer: Peer) -> None:
        """stream: of Trio, plain or TLS."""
        self._hosting = hosting
        self._stream = stream
        self._peer = peer
        self._protocol: Http1
        self._send_lock = trio.Lock()
        self._scope = trio.CancelScope()
        """Around all reading and understanding; its deadline is that of a request that is under way."""
        self._waiting = trio.CancelScope()
        """Around each wait; its deadline, kept in _quiet_until, is that of a connection without a request."""
        self._quiet_until = float("inf")
        self._phase = "first"
        self._phase_over = trio.Event()
        """Set with the next change of the phase."""
        self._gone = False
        """Whether there is nobody any more who reads answers."""

    async def run(self) -> None:
        """Serve."""
        peer = self._peer
        client = None if peer.uid is not None else (peer.address, 0)
        try:
            async with TaskGroup() as group:
                self._protocol = Http1(
                    *self._hosting[:3], group, {"peer": peer},  # type: ignore[arg-type]
                    peer.secure, client, None, self._send,
                )  # fmt: skip
                self._enter("first")
                with self._scope:
                    await self._read()
                if self._scope.cancelled_caught and self._phase in _SLOW:
                    await self._protocol.refuse(HTTPStatus.REQUEST_TIMEOUT, _SLOW[self._phase])
                self._gone = True
                await self._protocol.handle(Closed())
                nursery = group._nursery  # noqa: SLF001 - whoever does not notice has to end too
                if nursery is not None:
                    nursery.cancel_scope.deadline = trio.current_time() + LEFT_S
        finally:
            await self._close()

    def finish(self) -> None:
        """Let the request that is under way be the last one."""
        if self._phase in _QUIET:
            self._enter(self._phase)

    async def _read(self) -> None:
        while data := await self._receive():
            if self._phase == "end":
                continue  # what comes behind the last answer is nobody's
            await self._protocol.handle(RawData(bytes(data)))
            if self._phase != "end":
                self._note_phase()
        with trio.move_on_after(HALF_CLOSED_S):
            while self._phase == "answer" and not self._gone:
                await self._phase_over.wait()

    async def _receive(self) -> bytes:
        """
        Return what has come, b"" if nothing will.

        A deadline of its own, so that a request that comes in the very moment of it is not given up.
        """
        with trio.CancelScope(deadline=self._quiet_until) as self._waiting:
            try:
                return bytes(await self._stream.receive_some(_RECEIVE))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._gone = True
        return b""

    def _note_phase(self) -> None:
        connection = self._protocol.connection
        if not isinstance(connection, h11.Connection):
            phase = "websocket"
        elif connection.their_state is h11.SEND_BODY:
            phase = "body"
        elif connection.their_state is not h11.IDLE:
            phase = "answer"
        elif connection.trailing_data[0]:
            phase = "head"
        else:
            phase = self._phase if self._phase in _QUIET else "idle"
        if phase != self._phase:
            self._enter(phase)

    def _enter(self, phase: str) -> None:
        self._change(phase)
        limit = _LIMITS.get(phase, float("inf"))
        is_quiet = phase in _QUIET
        if is_quiet and self._hosting.closing.is_set():
            limit = LAST_CALL_S
        deadline = trio.current_time() + limit
        self._scope.deadline = float("inf") if is_quiet else deadline
        self._quiet_until = self._waiting.deadline = deadline if is_quiet else float("inf")

    def _change(self, phase: str) -> None:
        self._phase = phase
        self._phase_over.set()
        self._phase_over = trio.Event()

    async def _send(self, event: Event) -> None:
        """Take what the protocol has to say."""
        if isinstance(event, RawData):
            await self._send_data(event.data)
        elif isinstance(event, Closed):
            await self._end()
        elif isinstance(event, Updated) and self._phase != "end":
            self._enter("idle" if event.idle else "answer")

    async def _send_data(self, data: bytes) -> None:
        async with self._send_lock:
            if self._gone:
                return
            with trio.CancelScope(shield=True, deadline=trio.current_time() + SEND_S) as sending:
                try:
                    await self._stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self._gone = True
            self._gone = self._gone or sending.cancelled_caught
        if self._gone:
            self._scope.cancel()
            await self._protocol.handle(Closed())

    async def _end(self) -> None:
        """Say that nothing more comes, and let the client read what has."""
        if self._phase == "end":
            return
        self._change("end")
        self._scope.deadline = trio.current_time() + LINGER_S
        scope = trio.CancelScope(shield=True, deadline=trio.current_time() + LINGER_S)
        with scope:
            async with self._send_lock:
                await self._send_end()
        if scope.cancelled_caught:
            self._scope.cancel()
        await self._protocol.handle(Closed())

    async def _send_end(self) -> None:
        try:  # TLS knows no half-closed connection, what is below it does
            await getattr(self._stream, "transport_stream", self._stream).send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._scope.cancel()

    async def _close(self) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LINGER_S):
            await self._stream.aclose()
