"""
The gate before the application: judges each request, bounds what it sends, completes the answers.

Belongs here: what holds for every path and every listener. Who may do what is `auth`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import trio
from structlog.typing import FilteringBoundLogger

from netevd.http.auth import BODY_LIMIT, Access, Refusal
from netevd.http.peer import WHO
from netevd.http.problem import describe
from netevd.report.audit import Note
from privsep.protocol import escape

Message: TypeAlias = dict[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
App: TypeAlias = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

ANSWER_S: Final = 15.0
"""Seconds for one part of an answer; the connection cuts a client that does not read before that."""

TELL_S: Final = 60.0
"""Seconds between two lines of the log about refused requests."""
CALLER: Final = "netevd.caller"
"""Key of the ASGI scope under which the application finds the `auth.Caller`."""

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""What every answer says that does not say otherwise."""


class Gate:
    """An ASGI application around another one."""

    def __init__(self, app: App, access: Access, note: Note, log: FilteringBoundLogger) -> None:
        """note: for the audit log."""
        self._app = app
        self._access = access
        self._note = note
        self._log = log
        self._refused = 0
        """Requests that the log has not told of."""
        self._told = float("-inf")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        judged = self._access.judge(scope, trio.current_time())
        if isinstance(judged, Refusal):
            self._tell(scope, judged)
            await answer.refuse(judged)
            return
        scope[CALLER] = judged
        scope[WHO] = judged.name
        body = _Body(receive)
        try:
            await self._app(scope, body.receive, answer.send)
        except Exception as error:  # events matter more than who asks about them
            path = scope["path"][:200]
            self._log.error(f"an answer to {judged.name} failed ({path!r}): {error!r}")
            detail = "this is a mistake in netevd; its log says more"
            await answer.refuse(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, detail))
        if body.size > BODY_LIMIT:
            detail = f"a body has at most {BODY_LIMIT} octets"
            await answer.refuse(Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail))

    def _tell(self, scope: dict[str, Any], refusal: Refusal) -> None:
        """Note a refusal, in the log once a minute at most."""
        peer = str(scope["state"]["peer"])
        what = f"{scope.get('method', 'WebSocket')[:20]} {scope['path'][:100]!r}: {refusal.detail}"
        self._note("request", "refused", by=peer, detail=what)
        self._refused += 1
        now = trio.current_time()
        if now - self._told >= TELL_S:
            self._told = now
            others = f" ({self._refused - 1} others since the last such line)"
            text = f"refused a request of {peer}, {what}{others if self._refused > 1 else ''}"
            self._log.warning(escape(text))
            self._refused = 0


class _Body:
    """What comes of a request's body, until it is too much."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.size = 0

    async def receive(self) -> Message:
        if self.size > BODY_LIMIT:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            self.size += len(message.get("body", b""))
            if self.size > BODY_LIMIT:
                return {"type": "http.disconnect"}
        return message


class _Answer:
    """What goes back, sent to its end."""

    def __init__(self, scope: dict[str, Any], send: Send) -> None:
        self._is_websocket = scope["type"] == "websocket"
        self._send = send
        self._begun = False

    async def send(self, message: Message) -> None:
        """
        Send one part of an answer, whatever becomes of the request.

        quart-trio cancels the task of a request once it is answered; the last part would be lost with
        it, and the connection never be closed.
        """
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start"}:
            self._begun = True
            headers = [*message.get("headers", ())]
            said = {bytes(name).lower() for name, _ in headers}
            headers += [each for each in _HEADERS if each[0] not in said]
            message = {**message, "headers": headers}
        elif kind == "websocket.accept":
            self._begun = True
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ANSWER_S):
            await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a problem, if nothing was answered yet, and have the connection closed."""
        if self._begun:
            return
        content = describe(refusal.status, refusal.detail)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
            *refusal.headers,
        ]
        kind = "websocket.http.response" if self._is_websocket else "http.response"
        await self.send(
            {"type": f"{kind}.start", "status": refusal.status.value, "headers": headers}
        )
        await self.send({"type": f"{kind}.body", "body": content, "more_body": False})
