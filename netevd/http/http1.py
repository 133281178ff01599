"""
HTTP/1.1 of one connection: Hypercorn's, but for what it refuses and how.

HTTP/2 is not spoken: nothing here needs it, and it has its own ways to keep a server busy.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import h11
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, Data, EndBody
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import WSStream
from wsproto.connection import ConnectionState

from netevd.http.auth import BODY_LIMIT
from netevd.http.problem import describe

HEADER_LIMIT: Final = 100
"""Headers of a request."""
HEAD_LIMIT: Final = 16 * 1024
"""Octets of all of them."""
TARGET_LIMIT: Final = 8 * 1024
"""Octets of path and query."""
_KEY_LENGTH: Final = 24
"""Characters of 16 octets in base64."""
_OVER: Final = frozenset({h11.MUST_CLOSE, h11.CLOSED, h11.ERROR})
"""States in which nothing that a client sends means anything any more."""


class _Unacceptable(Exception):
    """A request that is answered before anybody looks at what it wants."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Http1(H11Protocol):
    """
    HTTP/1.1 that refuses with a reason.

    An answer whose length is known goes out in one piece: each piece of its own costs a system call
    and a turn of the event loop.
    """

    _held = b""
    """Head of an answer whose body follows."""

    _refused = False

    async def handle(self, event: Event) -> None:
        """Take what has come."""
        try:
            await super().handle(event)
        except _Unacceptable as refused:
            await self.refuse(refused.status, refused.detail)

    async def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer with a problem in place of the application, and close; what is begun is answered."""
        ours = getattr(self.connection, "h11_connection", self.connection).our_state
        if ours is h11.SEND_BODY:
            return
        self._refused = True
        await self._close_stream()
        if ours in {h11.IDLE, h11.SEND_RESPONSE}:
            content = describe(status, detail)
            headers = [
                (b"content-type", b"application/problem+json"),
                (b"content-length", str(len(content)).encode()),
                (b"connection", b"close"),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
            response = h11.Response(status_code=status.value, headers=headers)
            for part in (response, h11.Data(data=content), h11.EndOfMessage()):
                await self._send_h11_event(part)
        await self.send(Closed())

    async def _send_h11_event(self, event: Any) -> None:
        """Send a part of an answer, or hold it until there is more of it."""
        try:
            data = self._held + self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        self._held = b""
        if isinstance(event, h11.Response) and _tells_length(event):
            self._held = data
        elif data:
            await self.send(RawData(data=data))

    async def stream_send(self, event: StreamEvent) -> None:
        """Take what the application has to say, unless the request was taken away from it."""
        if self._refused:
            return
        await super().stream_send(event)
        if self._is_over(event):
            self._refused = True
            await self.send(Closed())

    async def _maybe_recycle(self) -> None:
        """
        Go on after an answer unless it said that it is the last one.

        Hypercorn's closes at the end of the worker after any answer, which takes away the next request
        from a client that was not told. Source: RFC 9112, 9.6.
        """
        await self._close_stream()
        states = {self.connection.our_state, self.connection.their_state}
        if states == {h11.DONE} and isinstance(self.connection, h11.Connection):
            self.connection.start_next_cycle()
            last: Event = Updated(idle=True)
        else:
            last = Closed()
        await self.can_read.set()
        await self.send(last)

    def _is_over(self, event: StreamEvent) -> bool:
        """Tell whether this was the last word of a WebSocket that is closed, or has not come about."""
        if isinstance(event, EndBody):
            return isinstance(self.connection, H11WSConnection)
        is_frame = isinstance(event, Data) and isinstance(self.stream, WSStream)
        return is_frame and self.stream.connection.state is not ConnectionState.OPEN  # type: ignore[union-attr]

    async def _handle_events(self) -> None:
        """
        Take what h11 has understood.

        Unlike Hypercorn's, this takes the answer away from the application before it refuses the rest of
        a request, and passes over what comes behind a last request.
        """
        while self.connection.their_state not in _OVER:
            if self.connection.they_are_waiting_for_100_continue:
                await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))
            try:
                event = self.connection.next_event()
            except h11.RemoteProtocolError as error:
                status = HTTPStatus(error.error_status_hint)
                await self.refuse(status, f"the request is not understood: {str(error)[:200]}")
                return
            if isinstance(event, h11.ConnectionClosed) or event is h11.NEED_DATA:
                return
            if event is h11.PAUSED:
                await self.can_read.clear()
                await self.can_read.wait()
            elif isinstance(event, h11.Request):
                await self.send(Updated(idle=False))
                await self._check_protocol(event)
                await self._create_stream(event)
            elif self.stream is None:
                return
            elif isinstance(event, h11.Data):
                await self.stream.handle(Body(stream_id=STREAM_ID, data=event.data))
            elif isinstance(event, h11.EndOfMessage):
                await self.stream.handle(EndBody(stream_id=STREAM_ID))
            elif isinstance(self.stream, WSStream) and not self.stream.handshake.accepted:
                detail = "a client speaks once its WebSocket is accepted"
                await self.refuse(HTTPStatus.BAD_REQUEST, detail)
                return
            elif isinstance(event, Data):
                await self.stream.handle(event)

    async def _create_stream(self, request: h11.Request) -> None:
        """Begin to serve; a WebSocket is not compressed, since 200 kB could become 200 MB at once."""
        kept = [each for each in request.headers if each[0] != b"sec-websocket-extensions"]
        if len(kept) != len(request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=kept,
                http_version=request.http_version,
            )
        await super()._create_stream(request)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Refuse what is too much or of another version; an offer of h2c is passed over."""
        if event.http_version not in {b"1.0", b"1.1"}:
            detail = "HTTP/1.1 is spoken here, and HTTP/1.0"
            raise _Unacceptable(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, detail)
        if len(event.target) > TARGET_LIMIT:
            detail = f"a path with its query has at most {TARGET_LIMIT} octets"
            raise _Unacceptable(HTTPStatus.REQUEST_URI_TOO_LONG, detail)
        size = sum(len(name) + len(value) + 4 for name, value in event.headers)
        if len(event.headers) > HEADER_LIMIT or size > HEAD_LIMIT:
            detail = f"a request has at most {HEADER_LIMIT} headers of {HEAD_LIMIT} octets in all"
            raise _Unacceptable(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        _check_framing(event)
        _check_websocket(event)


def _check_framing(event: h11.Request) -> None:
    """Refuse a request whose end two programs could see at two places. Source: RFC 9112, 6.1, 11.2."""
    headers = dict(event.headers)
    length = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers:
        if b"content-length" in headers:
            detail = "a body has chunks or a length, and not both"
            raise _Unacceptable(HTTPStatus.BAD_REQUEST, detail)
        if event.http_version == b"1.0":
            detail = "HTTP/1.0 knows no chunks"
            raise _Unacceptable(HTTPStatus.BAD_REQUEST, detail)
    if int(length) > BODY_LIMIT:
        detail = f"a body has at most {BODY_LIMIT} octets"
        raise _Unacceptable(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _check_websocket(event: h11.Request) -> None:
    """Refuse to become a WebSocket of another version, or with an odd key. Source: RFC 6455, 4.2.1."""
    headers = dict(event.headers)
    if headers.get(b"upgrade", b"").lower() == b"websocket" and event.method == b"GET":
        if headers.get(b"sec-websocket-version") != b"13":
            raise _Unacceptable(HTTPStatus.BAD_REQUEST, "WebSockets are of version 13 here")
        if (
            len(headers.get(b"sec-websocket-key", b"")) != _KEY_LENGTH
            or event.http_version != b"1.1"
        ):
            raise _Unacceptable(HTTPStatus.BAD_REQUEST, "a WebSocket has a key of 16 octets")


def _tells_length(response: h11.Response) -> bool:
    return any(name == b"content-length" for name, _ in response.headers)
