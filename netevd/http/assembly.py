"""
What is imported with the first client: protocol, gate and application, put together.

Quart comes with the first request for something else than metrics: a daemon that Prometheus alone
asks has no memory for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from netevd.http.connection import Connection, Hosting
from netevd.http.counting import Counting
from netevd.http.gate import Gate
from netevd.http.hot import Hot
from netevd.http.pages import keep_answers, make_pages
from netevd.http.peer import Peer
from netevd.http.server import Means

if TYPE_CHECKING:
    from netevd.http.app import Api

WEBSOCKET_MESSAGE_LIMIT: Final = 64 * 1024
"""Octets of one message that a client sends."""
PING_S: Final = 20.0
"""Seconds between two pings of a WebSocket, so that a dead client is noticed."""


class Assembly:
    """Makes connections that share one application."""

    def __init__(self, means: Means) -> None:
        self._config = config = Config()
        config.accesslog = config.errorlog = None
        config.include_server_header = False
        config.websocket_max_message_size = WEBSOCKET_MESSAGE_LIMIT
        config.websocket_ping_interval = PING_S
        self._context = WorkerContext(None)
        self._means = means
        self._api: Api | None = None
        self._rest: Hot | None = None
        self._ended = False
        hot = Hot(self._answer, make_pages(means.view, means.steering.examine))
        gate = Gate(hot, means.access, means.note, means.log)
        counting: Any = Counting(gate, means.view.metrics)
        self._wrapped = ASGIWrapper(counting)

    def connect(self, stream: Any, peer: Peer, closing: trio.Event) -> Connection:
        """
        Return a connection that was not run yet.

        stream: of Trio, plain or TLS. closing: set once the worker is about to end.
        """
        return Connection(
            Hosting(self._wrapped, self._config, self._context, closing), stream, peer
        )

    def end(self) -> None:
        """Let every answer be the last one of its connection and say so, and streams end."""
        self._ended = True
        self._config.keep_alive_max_requests = 0
        if self._api is not None:
            self._api.end_streams()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Have the API answer."""
        if self._rest is None:
            from netevd.http.app import Api  # noqa: PLC0415 - see above

            view = self._means.view
            self._api = Api(view, self._means.steering, self._means.writer)
            self._rest = Hot(self._api.app, keep_answers(view, self._api.kept))
            if self._ended:
                self._api.end_streams()
        await self._rest(scope, receive, send)
