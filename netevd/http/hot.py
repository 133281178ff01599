"""
Answers before Quart, which costs two thirds of a request: bodies that are kept until they change.

Stands behind whatever decides who may ask. A page that depends on the time of day does not belong
here: what is kept is told again as long as nothing has happened.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Final, Protocol

from attrs import field, frozen

from netevd.http.problem import describe

_LEAST: Final = 1024
"""Octets from which on a body is compressed for a client that asks for it."""

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application. Source: asgi.readthedocs.io, HTTP connection scope 2.5."""


class Page(Protocol):
    """What is at one path."""

    alone: bool
    """Whether nobody else answers at this path: then queries are ignored, other methods refused."""

    def choose(self, accept: str) -> str | None:
        """Return the content type for a client that accepts this, None if somebody else refuses it."""

    async def prepare(self) -> None:
        """Find out what can't be found out at once."""

    def find_version(self) -> object:
        """Return what is different once the body may be."""

    def make(self, content_type: str) -> bytes | None:
        """Return the body of now; None: somebody else has to answer."""


@frozen(slots=True)
class _Kept:
    """One body."""

    version: object
    body: bytes
    headers: list[tuple[bytes, bytes]]
    tag: bytes
    packed: list[bytes] = field(factory=list)
    """The same with gzip, once somebody has asked for it."""


class Hot:
    """An ASGI application before another one."""

    def __init__(self, app: App, pages: Mapping[str, Page]) -> None:
        """pages: by path."""
        self._app = app
        self._pages = pages
        self._kept: dict[tuple[str, str], _Kept] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or let the other application do it."""
        page = self._pages.get(scope["path"]) if scope["type"] == "http" else None
        asks = page is not None and scope["method"] in {"GET", "HEAD"}
        if page is None or not (page.alone or (asks and not scope["query_string"])):
            await self._app(scope, receive, send)
            return
        if not asks:
            await _refuse(scope, send)
            return
        headers = _read_headers(scope["headers"])
        await page.prepare()
        content_type = page.choose(headers.get(b"accept", b"*/*").decode("latin-1"))
        kept = content_type and self._find(scope["path"], page, content_type)
        if not kept:
            await self._app(scope, receive, send)
            return
        body, tag, more = kept.body, kept.tag, kept.headers
        if len(body) >= _LEAST and _takes_gzip(headers.get(b"accept-encoding", b"")):
            body, tag = _pack(kept), kept.tag[:-1] + b'-gzip"'
            more = [*more, (b"content-encoding", b"gzip")]
        if _names(headers.get(b"if-none-match"), tag):
            await _send(send, 304, [*more[1:], (b"etag", tag)], b"")
            return
        length = (b"content-length", str(len(body)).encode())
        sent = b"" if scope["method"] == "HEAD" else body
        await _send(send, 200, [*more, (b"etag", tag), length], sent)

    def _find(self, path: str, page: Page, content_type: str) -> _Kept | None:
        version = page.find_version()
        kept = self._kept.get((path, content_type))
        if kept is not None and kept.version == version:
            return kept
        body = page.make(content_type)
        if body is None:
            return None
        if kept is None or kept.body != body:
            headers = [
                (b"content-type", content_type.encode()),
                (b"cache-control", b"no-cache"),
                (b"vary", b"Accept, Accept-Encoding"),
            ]
            tag = b'"' + blake2b(body, digest_size=12).hexdigest().encode() + b'"'
            kept = _Kept(version, body, headers, tag)
        else:
            kept = _Kept(version, body, kept.headers, kept.tag, kept.packed)
        self._kept[path, content_type] = kept
        return kept


def _read_headers(headers: Any) -> dict[bytes, bytes]:
    """Return headers by name; those that came more than once are joined. Source: RFC 9110, 5.3."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b"," + value if name in found else value
    return found


def _names(wanted: bytes | None, tag: bytes) -> bool:
    """Tell whether If-None-Match names a tag, compared weakly. Source: RFC 9110, 13.1.2."""
    if wanted is None:
        return False
    tags = [each.strip().removeprefix(b"W/") for each in wanted.split(b",")]
    return tag in tags or tags == [b"*"]


def _takes_gzip(header: bytes) -> bool:
    """Tell whether a client takes gzip. Source: RFC 9110, 12.5.3."""
    for each in header.lower().split(b","):
        coding, _, rest = each.partition(b";")
        if coding.strip() in {b"gzip", b"x-gzip"}:
            weight = rest.replace(b" ", b"").removeprefix(b"q=")
            return not weight or weight.strip(b"0.") != b""
    return False


def _pack(kept: _Kept) -> bytes:
    if not kept.packed:
        packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        kept.packed.append(packer.compress(kept.body) + packer.flush())
    return kept.packed[0]


async def _refuse(scope: Any, send: Any) -> None:
    detail = f"{scope['path']} is read by GET or HEAD, got {scope['method']}"
    body = describe(HTTPStatus.METHOD_NOT_ALLOWED, detail)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"allow", b"GET, HEAD"),
        (b"content-length", str(len(body)).encode()),
    ]
    await _send(send, 405, headers, body)


async def _send(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
