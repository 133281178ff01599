"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from quart import Response


def describe(status: HTTPStatus, detail: str, **more: object) -> bytes:
    """Return a problem as JSON. more: further members."""
    content = {
        "type": "about:blank",
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
        return Response(content, self.status.value, content_type="application/problem+json")
