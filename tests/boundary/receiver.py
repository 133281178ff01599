"""A webhook's server: real sockets, answers as a test says, and everything that it was sent."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.boundary.rig import wait_for


class Post(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    """By name in small letters."""
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)["event"]

    @property
    def sequence(self) -> int:
        return int(self.headers["netevd-sequence"])


Answer = Callable[[socket.socket], None]
"""Writes what the server answers; then the connection is closed."""


def status(code: int, *headers: str, body: bytes = b"") -> Answer:
    """Return an answer of this status with these header lines."""
    lines = [f"HTTP/1.1 {code} Whatever", *headers, f"Content-Length: {len(body)}", "", ""]
    return lambda sock: sock.sendall("\r\n".join(lines).encode() + body)


def raw(content: bytes) -> Answer:
    """Return an answer of these bytes."""
    return lambda sock: sock.sendall(content)


class Receiver:
    """A server on a port of its own. Answers are used up one after another, then it is 204."""

    def __init__(
        self,
        *answers: Answer,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._sock = socket.create_server((address, port), family=family)
        self._tls = tls
        self.answers = deque(answers)
        self.posts: list[Post] = []
        self.connections = 0
        self.closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._sock.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(60)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with sock:
                post = self._read(sock)
                if post is None:
                    return
                self.posts.append(post)
                answer = self.answers.popleft() if self.answers else status(204)
                answer(sock)

    def _read(self, sock: socket.socket) -> Post | None:
        content = b""
        while b"\r\n\r\n" not in content:
            part = sock.recv(65536)
            if not part:
                return None
            content += part
        head, _, body = content.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        headers = {name.lower(): value for name, _, value in pairs}
        while len(body) < int(headers["content-length"]):
            body += sock.recv(65536)
        return Post(first.split(" ")[1], headers, body)

    def wait(self, count: int = 1) -> list[Post]:
        """Return what was posted, once it is so many."""
        wait_for(lambda: len(self.posts) >= count or None, f"post number {count}")
        return list(self.posts)

    def never(self, sock: socket.socket) -> None:
        """An answer that does not come before the server is closed."""
        self.closing.wait(60)

    def close(self) -> None:
        """Close the server and what it has open."""
        self.closing.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
