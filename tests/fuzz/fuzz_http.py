"""Requests: whatever comes over a connection, each answer is one of HTTP, and nothing is raised."""

from __future__ import annotations

import re
from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from trio.testing import MockClock, memory_stream_pair

from netevd.http.auth import BODY_LIMIT
from netevd.http.connection import Connection, Hosting
from netevd.http.peer import Peer

_HEAD = re.compile(rb"HTTP/1\.1 [1-5]\d\d [ -~]*\r\n")


def seeds() -> list[bytes]:
    """Return requests as clients send them, and as those do that want to be seen as two."""
    return [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        b"POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
        b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        (b"GET /live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x85\0\0\0\0hello"),
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    ]  # fmt: skip


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answer everything with what was asked."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        return
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    assert size <= BODY_LIMIT
    body = repr(scope["path"]).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def check(data: bytes) -> None:
    """Have a connection served that says this and then no more."""
    answer = trio.run(_serve, data, clock=MockClock(autojump_threshold=0))
    if answer:
        assert _HEAD.match(answer), answer[:200]


async def _serve(data: bytes) -> bytes:
    near, far = memory_stream_pair()
    hosting = Hosting(ASGIWrapper(_app), Config(), WorkerContext(None), trio.Event())
    answer = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(hosting, far, Peer("api", address="127.0.0.1")).run)
        await near.send_all(data or b"\0")
        await near.send_eof()
        async for piece in near:
            answer += piece
    return answer
