"""
Serving: Hypercorn on listening sockets that the supervisor keeps.

Hypercorn and Quart are imported when the first client comes: a daemon that nobody asks has no memory
for them.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import trio
from structlog.typing import FilteringBoundLogger

from netevd.report.view import View

if TYPE_CHECKING:
    from netevd.http.app import Steering

GRACE_S: Final = 0.5
"""Seconds that requests have to end when the worker does."""

SEND_LIMIT_S: Final = 10.0
"""Seconds that a client may take to read what was sent to it."""


class Server:
    """Serves one listening socket until it is told to end."""

    def __init__(
        self,
        listener: socket.socket,
        view: View,
        steering: Steering,
        log: FilteringBoundLogger,
    ) -> None:
        self._log = log
        self._listener = listener
        self._view = view
        self._steering = steering
        self._closing = trio.Event()
        self._end_streams: Callable[[], None] = lambda: None
        self.closed = trio.Event()
        """Set once nobody is served any more."""

    def close(self) -> None:
        """Accept nobody any more and let streams and requests end."""
        self._closing.set()
        self._end_streams()

    async def run(self) -> None:
        """Serve."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cancel_when_closing, nursery.cancel_scope)
                await trio.lowlevel.wait_readable(self._listener)
                nursery.cancel_scope.cancel()
            while not self._closing.is_set():
                try:
                    await self._serve()
                except Exception as error:  # events matter more than who asks about them
                    self._log.error(f"the API failed and begins anew: {error!r}")
                    with trio.move_on_after(1):
                        await self._closing.wait()
        finally:
            self._listener.close()
            self.closed.set()

    async def _cancel_when_closing(self, scope: trio.CancelScope) -> None:
        await self._closing.wait()
        scope.cancel()

    async def _serve(self) -> None:
        from hypercorn.app_wrappers import ASGIWrapper  # noqa: PLC0415 - see above
        from hypercorn.config import Config, Sockets  # noqa: PLC0415
        from hypercorn.trio.run import worker_serve  # noqa: PLC0415

        from netevd.http.app import Api  # noqa: PLC0415
        from netevd.http.hot import Hot  # noqa: PLC0415
        from netevd.http.pages import make_pages  # noqa: PLC0415

        api = Api(self._view, self._steering)
        self._end_streams = api.end_streams
        config = Config()
        config.graceful_timeout = GRACE_S
        config.accesslog = config.errorlog = None
        config.h11_max_incomplete_size = 16 * 1024
        config.include_server_header = False
        # it listens already: the worker's sandbox allows neither bind nor listen; Hypercorn closes
        # the socket that it is given
        sockets = Sockets([], [self._listener.dup()], [])
        app = ASGIWrapper(_shield(Hot(api.app, make_pages(self._view, api.kept))))
        await worker_serve(app, config, sockets=sockets, shutdown_trigger=self._closing.wait)


def _shield(app: Any) -> Callable[..., Awaitable[None]]:
    """
    Return an application whose answers are sent to the end.

    quart-trio cancels the task of a request once it is answered; the last message would be lost with
    it, and the connection never be closed.
    """

    async def run(scope: Any, receive: Any, send: Any) -> None:
        async def send_whole(message: Any) -> None:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + SEND_LIMIT_S):
                await send(message)

        await app(scope, receive, send_whole)

    return run
