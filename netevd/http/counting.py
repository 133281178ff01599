"""Around everything that answers: counts the answers, by listener and status."""

from __future__ import annotations

from typing import Any, Final

from netevd.http.gate import App, Message, Receive, Send
from netevd.report.metrics import Metrics

_BEGINS: Final = frozenset({"http.response.start", "websocket.http.response.start"})


class Counting:
    """An ASGI application around another one."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """
        Serve one request.

        Whoever reads metrics would find them changed by having read them: that is not counted.
        """
        if scope["type"] == "lifespan" or scope["path"] == "/metrics":
            await self._app(scope, receive, send)
            return
        listener = scope["state"]["peer"].kind

        async def note(message: Message) -> None:
            kind = message["type"]
            if kind in _BEGINS or kind == "websocket.accept":
                self._metrics.note_answered(listener, message.get("status", 101))
            await send(message)

        await self._app(scope, receive, note)
