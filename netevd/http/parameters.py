"""Query parameters: read with their meaning, refused with what was expected."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from http import HTTPStatus
from typing import Final

from netevd.http.endpoints import Endpoint, Parameter
from netevd.http.problem import Problem
from netevd.model.event import EventType
from netevd.model.route import read_table
from netevd.report.choice import Choice

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO: Final = re.compile(r"(\d{1,9})([smhd])\Z", re.ASCII)

TEXT_LIMIT: Final = 1024
"""Characters of a parameter's value."""

GLOB_LIMIT: Final = 64
"""Globs of one choice: each event is compared with all of them."""


class Given:
    """The parameters of one request, each checked as its endpoint describes it."""

    def __init__(self, endpoint: Endpoint, query: Mapping[str, Sequence[str]]) -> None:
        """query: every value by name, of the query and of the path. Raises: Problem."""
        known = {each.name: each for each in endpoint.parameters}
        for name in query:
            if name not in known:
                expected = ", ".join(known) or "none"
                raise _refuse(f"unknown parameter {name[:80]!r}; known here: {expected}")
        for each in endpoint.parameters:
            _check(each, query.get(each.name, ()))
        self._query = query

    def get(self, name: str, otherwise: str = "") -> str:
        """Return the value of a parameter."""
        return next(iter(self._query.get(name, ())), otherwise)

    def has(self, name: str) -> bool:
        """Tell whether a parameter was given."""
        return name in self._query

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter."""
        return tuple(self._query.get(name, ()))

    def get_number(self, name: str, otherwise: int) -> int:
        """Return the value of a number."""
        return int(self.get(name)) if name in self._query else otherwise

    def get_table(self) -> int | None:
        """Return the number of the routing table that was asked for, None for none. Raises: Problem."""
        if not self.has("table"):
            return None
        try:
            number = read_table(self.get("table"))
        except ValueError as error:
            raise _refuse(f"table: {error}") from None
        return number or None


def _refuse(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def _check(parameter: Parameter, values: Sequence[str]) -> None:
    if not values and parameter.required:
        raise _refuse(f"{parameter.name} is needed: {parameter.description}")
    if len(values) > 1 and not parameter.many:
        raise _refuse(f"{parameter.name} was given {len(values)} times, expected once")
    for value in values[:1] if not parameter.many else values:
        _check_value(parameter, value)


def _check_value(parameter: Parameter, value: str) -> None:
    name, kind = parameter.name, parameter.kind
    if len(value) > TEXT_LIMIT:
        raise _refuse(f"{name}: expected at most {TEXT_LIMIT} characters, got {len(value)}")
    if kind is int:
        number = int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else -1
        if not parameter.minimum <= number <= parameter.maximum:
            expected = f"a number from {parameter.minimum} to {parameter.maximum}"
            raise _refuse(f"{name}: expected {expected}, got {value[:80]!r}")
    elif kind is not str and value not in (words := [str(each) for each in kind]):  # type: ignore[union-attr]
        raise _refuse(f"{name}: expected one of {', '.join(words)}, got {value[:80]!r}")


def read_choice(since: str, types: Sequence[str], interfaces: Sequence[str]) -> Choice:
    """Return which events are asked for. Raises: Problem."""
    if len(types) + len(interfaces) > GLOB_LIMIT:
        raise _refuse(f"type, interface: expected at most {GLOB_LIMIT} of both")
    if any(len(each) > TEXT_LIMIT for each in (*types, *interfaces)):
        raise _refuse(f"type, interface: expected at most {TEXT_LIMIT} characters each")
    for word in types:
        if not any(each in word for each in "*?[") and word not in set(EventType):
            near = get_close_matches(word, list(EventType), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise _refuse(f"type: {word[:80]!r} is no event type{hint}")
    sequence, time_ns = _read_since(since)
    return Choice(tuple(types), tuple(interfaces), sequence, time_ns)


def _read_since(text: str) -> tuple[int, int]:
    """Return sequence number and nanoseconds since 1970, one of which is 0."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text), 0
    if not text:
        return 0, 0
    if match := _AGO.match(text):
        return 0, max(0, time.time_ns() - int(match[1]) * _UNITS[match[2]] * 10**9)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return 0, round(moment.timestamp() * 1e9)
    except (ValueError, OverflowError):
        raise _refuse(
            "since: expected a sequence number, a time such as 2026-01-21T10:30:00Z or 10m (10"
            f" minutes ago), got {text[:80]!r}"
        ) from None
