"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from quart import Response


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
        content = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.more,
        }
        return Response(
            msgspec.json.encode(content), self.status.value, content_type="application/problem+json"
        )
