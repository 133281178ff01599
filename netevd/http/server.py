"""
Serving: an accept loop for each listening socket that the supervisor keeps.

The worker's sandbox has accept, and neither socket, bind nor listen. Hypercorn and Quart are imported
when the first client comes: a daemon that nobody asks has no memory for them.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import trio
from structlog.typing import FilteringBoundLogger

from netevd.config.sealed import Secrets
from netevd.http.auth import Access
from netevd.http.peer import Kind, Peer, identify
from netevd.http.problem import describe
from netevd.report.audit import Note
from netevd.report.view import View

if TYPE_CHECKING:
    from ssl import SSLContext

    from netevd.http.app import Steering
    from netevd.http.assembly import Assembly
    from netevd.http.connection import Connection
    from netevd.http.writer import Writer

GRACE_S: Final = 2.0
"""Seconds that requests have to end when the worker does."""
CONNECTIONS: Final = 2048
"""Of one kind of listener at most: who fills one kind leaves the others free."""
CONNECTIONS_OF_ADDRESS: Final = 64
"""Of one address that is not this host's."""
PAUSE_S: Final = 0.5
"""Seconds until the next try to accept where the system has no descriptor or memory for it."""

_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Means(NamedTuple):
    """What serving takes."""

    access: Access
    secrets: Secrets
    view: View
    steering: Steering
    writer: Writer
    note: Note
    """For the audit log."""
    log: FilteringBoundLogger


class Server:
    """Serves every listener that it is given until it is told to end."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._log = means.log
        self._context: SSLContext | None = None
        self._assembly: Assembly | None = None
        self._waiting: list[tuple[Kind, socket.socket]] = []
        """Listeners that were given before it runs."""
        self._accepting: trio.Nursery | None = None
        self._serving: trio.Nursery
        self._connections: set[Connection] = set()
        self._counts: Counter[str] = Counter()
        """Connections by kind of listener, and by address."""
        self._closing = trio.Event()
        self._told_scarce = False
        self.closed = trio.Event()
        """Set once nobody is served any more."""

    def add(self, kind: Kind, descriptor: int) -> None:
        """Serve this listener too."""
        listener = socket.socket(fileno=descriptor)
        listener.setblocking(False)
        if self._accepting is None:
            self._waiting.append((kind, listener))
        else:
            self._accepting.start_soon(self._accept, kind, listener)

    def close(self) -> None:
        """Accept nobody any more, let streams end and requests be answered."""
        self._closing.set()
        if self._assembly is not None:
            self._assembly.end()
        for connection in self._connections:
            connection.finish()

    async def run(self) -> None:
        """Serve."""
        try:
            async with trio.open_nursery() as self._serving:
                async with trio.open_nursery() as self._accepting:
                    for kind, listener in self._waiting:
                        self._accepting.start_soon(self._accept, kind, listener)
                    await self._closing.wait()
                    self._accepting.cancel_scope.cancel()
                self._serving.cancel_scope.deadline = trio.current_time() + GRACE_S
        finally:
            self.closed.set()

    async def _accept(self, kind: Kind, listener: socket.socket) -> None:
        """Accept for ever. Cancellation loses no connection: who waits is the next worker's."""
        with listener:
            while True:
                await trio.lowlevel.wait_readable(listener)
                try:
                    sock, address = listener.accept()
                except (BlockingIOError, ConnectionError):
                    continue  # it has gone again
                except OSError as error:
                    if error.errno not in _SCARCE:
                        continue  # an error of the connection. Source: accept(2)
                    self._tell_scarce(error)
                    await trio.sleep(PAUSE_S)
                    continue
                self._take(kind, sock, address)

    def _take(self, kind: Kind, sock: socket.socket, address: object) -> None:
        try:
            peer = identify(sock, address, kind)
        except OSError:
            sock.close()
            return
        keys = (kind,) if peer.is_loopback else (kind, peer.address)
        limits = (CONNECTIONS, CONNECTIONS_OF_ADDRESS)
        if any(self._counts[key] >= limit for key, limit in zip(keys, limits, strict=False)):
            _turn_away(sock)
            return
        self._counts.update(keys)
        self._serving.start_soon(self._serve, peer, sock, keys)

    async def _serve(self, peer: Peer, sock: socket.socket, keys: tuple[str, ...]) -> None:
        """Serve one client to its end."""
        self._means.view.metrics.note_connection(peer.kind, 1)
        try:
            stream: Any = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
            if self._means.secrets.certificate and peer.uid is None:
                secured = await self._secure(stream, peer)
                if secured is None:
                    return
                stream, peer = secured
            connection = self._assemble().connect(stream, peer, self._closing)
            self._connections.add(connection)
            try:
                await connection.run()
            finally:
                self._connections.discard(connection)
        except Exception as error:  # events matter more than who asks about them
            self._log.error(f"the connection of {peer} failed: {error!r}")
        finally:
            self._means.view.metrics.note_connection(peer.kind, -1)
            sock.close()
            for key in keys:
                self._counts[key] -= 1
                if not self._counts[key]:
                    del self._counts[key]

    def _assemble(self) -> Assembly:
        if self._assembly is None:
            from netevd.http.assembly import Assembly  # noqa: PLC0415 - see above

            self._assembly = Assembly(self._means)
            _raise_limit()
            if self._closing.is_set():
                self._assembly.end()
        return self._assembly

    async def _secure(
        self, stream: trio.SocketStream, peer: Peer
    ) -> tuple[trio.SSLStream[trio.SocketStream], Peer] | None:
        """Return stream and peer once TLS has come about, else None."""
        from netevd.http import tls  # noqa: PLC0415 - see above

        if self._context is None:
            self._context = tls.make_context(self._means.secrets)
        try:
            return await tls.secure(stream, self._context, peer)
        except tls.Refused as refused:
            self._means.note("tls", "refused", by=str(peer), detail=str(refused))
            return None

    def _tell_scarce(self, error: OSError) -> None:
        if not self._told_scarce:
            self._told_scarce = True
            text = f"clients have to wait: {error.strerror}; raise LimitNOFILE= of the unit"
            self._log.warning(text)


def _raise_limit() -> None:
    """Let this process have as many descriptors as it may: each connection takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS + 1024
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _turn_away(sock: socket.socket) -> None:
    """Say that there are too many already, if that can be said without waiting, and close."""
    detail = "too many connections are open; close some, or come again later"
    content = describe(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    head = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(content)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    )
    with sock, contextlib.suppress(OSError):
        sock.setblocking(False)
        sock.send(head.encode() + content)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(65536)  # what is not read would take the answer away from who has sent it
