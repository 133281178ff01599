"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from quart import Response


MEDIA_TYPE: Final = "application/problem+json"

_DOCUMENT: Final = "docs/reference/http.md"
"""Where each problem is described, under a heading of its title."""


def find_address(status: HTTPStatus) -> str:
    """Return where a problem is described: relative to netevd's sources."""
    return f"{_DOCUMENT}#{status.phrase.lower().replace(' ', '-')}"


def describe(status: HTTPStatus, detail: str, **more: object) -> bytes:
    """Return a problem as JSON. more: further members."""
    content = {
        "type": find_address(status),
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **more,
    }
    return msgspec.json.encode(content)


class Problem(Exception):
    """A request can't be answered."""

    def __init__(self, status: HTTPStatus, detail: str, **more: object) -> None:
        """detail: what is wrong and what was expected. more: further members."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = more

    def answer(self) -> Response:
        """Return the answer that says so."""
        from quart import Response  # noqa: PLC0415 - a daemon that nobody asks has no memory for it

        content = describe(self.status, self.detail, **self.more)
        return Response(content, self.status.value, content_type=MEDIA_TYPE)


async def send_problem(scope: Any, send: Any, problem: Problem) -> None:
    """Answer a request, or refuse a WebSocket, without Quart. scope, send: of ASGI."""
    content = describe(problem.status, problem.detail, **problem.more)
    if scope.get("method") == "HEAD":
        content = b""
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(content))]
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    status = problem.status.value
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": content, "more_body": False})
