"""Query parameters: read with their meaning, refused with what was expected."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from http import HTTPStatus
from typing import Final

from netevd.http.problem import Problem
from netevd.model.event import EventType
from netevd.report.view import Choice

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO: Final = re.compile(r"(\d+)([smhd])\Z")


def refuse_unknown(names: Iterable[str], *known: str) -> None:
    """Refuse parameters that nobody looks at. Raises: Problem."""
    for name in names:
        if name not in known:
            expected = ", ".join(known) or "none"
            detail = f"unknown parameter {name!r}; known here: {expected}"
            raise Problem(HTTPStatus.BAD_REQUEST, detail)


def read_number(name: str, text: str) -> int:
    """Return a number that is not negative. Raises: Problem."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: expected a number, got {text!r}")
    return int(text)


def read_choice(since: str, types: list[str], interfaces: list[str]) -> Choice:
    """Return which events are asked for. Raises: Problem."""
    for word in types:
        if not any(each in word for each in "*?[") and word not in set(EventType):
            near = get_close_matches(word, list(EventType), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise Problem(HTTPStatus.BAD_REQUEST, f"type: {word!r} is no event type{hint}")
    sequence, time_ns = _read_since(since)
    return Choice(tuple(types), tuple(interfaces), sequence, time_ns)


def _read_since(text: str) -> tuple[int, int]:
    """Return sequence number and nanoseconds since 1970, one of which is 0."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text), 0
    if not text:
        return 0, 0
    if match := _AGO.match(text):
        return 0, time.time_ns() - int(match[1]) * _UNITS[match[2]] * 10**9
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        detail = (
            f"since: expected a sequence number, a time such as 2026-01-21T10:30:00Z or 10m (10"
            f" minutes ago), got {text!r}"
        )
        raise Problem(HTTPStatus.BAD_REQUEST, detail) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return 0, round(moment.timestamp() * 1e9)
