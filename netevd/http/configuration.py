"""The configuration over HTTP: shown, replaced, patched, confirmed, taken back."""

from __future__ import annotations

import os
import re
import time
from http import HTTPStatus
from typing import Final

import msgspec
from quart import Response, request

from netevd.http import accept
from netevd.http.auth import Caller, Role
from netevd.http.difference import show_difference
from netevd.http.endpoints import JSON, PATCH, YAML, Flag
from netevd.http.gate import CALLER
from netevd.http.parameters import Given
from netevd.http.peer import Peer
from netevd.http.problem import Problem
from netevd.http.writer import Settlement, Writer
from netevd.model.answers import ChangedObject, ConfigurationObject, PlacedProblemObject
from netevd.report.view import View
from privsep.protocol import CANDIDATE_LIMIT

YAML_TYPES: Final = (YAML, "application/x-yaml", "text/yaml", "text/x-yaml")
"""The registered one, and those that came before it. Source: RFC 9512 section 2.1."""

_PROBLEM: Final = re.compile(
    r"(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?P<detail>.*)", re.DOTALL
)
_TAG: Final = re.compile(r'(W/)?"([^"]*)"')
_AS_YAML: Final = "-yaml"
"""Ends the entity tag of the text: it is not the same representation as the values."""


class ConfigurationPages:
    """Answers for /api/v1/config and what is below it."""

    def __init__(self, view: View, writer: Writer) -> None:
        self._view = view
        self._writer = writer

    async def get(self) -> Response:
        """Answer with what is in force: as values, or as the main file has it."""
        origins = self._writer.sealed.origins
        tag = f'"{origins.tag}"'
        if accept.choose(request.headers.get("Accept", ""), (JSON, YAML)) == YAML:
            self._refuse_strangers()
            tag = f'"{origins.tag}{_AS_YAML}"'
            answer = Response(origins.text, content_type=f"{YAML}; charset=utf-8")
        else:
            answer = Response(msgspec.json.encode(self._show()), content_type=JSON)
        if tag in request.headers.get("If-None-Match", ""):
            answer = Response(b"", HTTPStatus.NOT_MODIFIED.value)
        answer.headers["ETag"] = tag
        answer.headers["Vary"] = "Accept"
        return answer

    def _refuse_strangers(self) -> None:
        """Refuse the text of the file to those who could not read it where it is."""
        peer: Peer = request.scope["state"]["peer"]
        if peer.uid is None and _find_caller().role < Role.OPERATE:
            detail = "the file itself is shown to those who have a token, or the unix socket"
            raise Problem(HTTPStatus.FORBIDDEN, detail)

    def _show(self) -> ConfigurationObject:
        origins = self._writer.sealed.origins
        return {
            **self._view.get_configuration(),
            "file": origins.path or None,
            "included": list(origins.included),
            "tag": origins.tag,
            "writable": self._writer.sealed.configuration.api.config_writes,
            "confirm_within_seconds": self._find_time_left(),
        }

    def _find_time_left(self) -> float | None:
        until = self._writer.confirm_until
        return round(max(0.0, until - time.monotonic()), 3) if until else None

    # --- change -----------------------------------------------------------------------------------

    async def put(self, given: Given) -> Response:
        """Write the main file anew, octet by octet."""
        content = await _read_body()
        kind = request.mimetype
        if kind and kind not in YAML_TYPES:
            detail = f"expected the file as {YAML}, found {kind[:80]}; for a part of it use PATCH"
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        return await self._change(given, content, patch=False)

    async def patch(self, given: Given) -> Response:
        """Change some settings of the main file; comments stay."""
        content = await _read_body()
        if request.mimetype != PATCH:
            detail = f"expected {PATCH}, found {request.mimetype[:80] or 'no type'}"
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        return await self._change(given, content, patch=True)

    async def _change(self, given: Given, content: bytes, *, patch: bool) -> Response:
        dry_run = given.get("dry_run") == Flag.YES
        confirm_s = given.get_number("confirm", 0)
        by = _find_asker()
        self._refuse_if_closed()
        self._check_tag(needed=not dry_run)
        if len(content) > CANDIDATE_LIMIT:
            detail = f"expected at most {CANDIDATE_LIMIT} octets, found {len(content)}"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        before = self._writer.sealed
        settled = await self._writer.write(
            content, by, patch=patch, dry_run=dry_run, confirm_s=confirm_s
        )
        self._refuse_unless_fine(settled)
        if not dry_run:
            return _answer({"outcome": "in force", "confirm_within_seconds": confirm_s or None})
        if settled.sealed is None:
            raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the reader has told nothing")
        found = show_difference(before, settled.sealed)
        return _answer({
            "outcome": "not tried", "tag": before.origins.tag, "changes": found["changes"],
            "count": found["count"], "diff": found["diff"],
        })  # fmt: skip

    def _refuse_if_closed(self) -> None:
        if not self._writer.sealed.configuration.api.config_writes:
            detail = (
                "the configuration can't be changed over the API; root allows it in the file, by"
                " api.config_writes: true"
            )
            raise Problem(HTTPStatus.FORBIDDEN, detail)

    def _check_tag(self, *, needed: bool) -> None:
        """Refuse a change of what the client has not seen. Source: RFC 9110 section 13.1.1."""
        given = request.headers.get("If-Match", "").strip()
        if not given and needed:
            detail = "expected If-Match with the ETag that GET has given"
            raise Problem(HTTPStatus.PRECONDITION_REQUIRED, detail)
        tag = self._writer.sealed.origins.tag
        strong = {found[2].removesuffix(_AS_YAML) for found in _TAG.finditer(given) if not found[1]}
        if given and given != "*" and tag not in strong:
            detail = f"another configuration is in force, its ETag is {tag}; GET it, then try again"
            raise Problem(HTTPStatus.PRECONDITION_FAILED, detail)

    def _refuse_unless_fine(self, settled: Settlement) -> None:
        problems = list(settled.problems)
        first = problems[0] if problems else ""
        match settled.outcome:
            case "fine" | "kept" | "rolled-back":
                return
            case "invalid":
                detail = "the configuration was refused; nothing was changed"
                errors = [_split(problem) for problem in problems]
                status = HTTPStatus.UNPROCESSABLE_ENTITY
                raise Problem(status, detail, problems=problems, errors=errors)
            case "changed":
                detail = f"{first}; look at it, and put it in force with: netevd reload"
                raise Problem(HTTPStatus.PRECONDITION_FAILED, detail)
            case "unwritable":
                raise Problem(HTTPStatus.INSUFFICIENT_STORAGE, first)
            case "nothing":
                detail = "nothing waits for confirmation; it may have been rolled back"
                raise Problem(HTTPStatus.CONFLICT, detail)
            case _:
                waits = self._find_time_left()
                detail = "the configuration is being read or written; try again when that is over"
                if waits is not None:
                    detail = (
                        f"the last change is confirmed or rolled back first: {waits:.0f} s left"
                    )
                raise Problem(HTTPStatus.CONFLICT, detail)

    # --- confirm ----------------------------------------------------------------------------------

    async def confirm(self) -> Response:
        """Keep what waits for confirmation."""
        self._refuse_unless_fine(await self._writer.confirm(_find_asker()))
        return _answer({"outcome": "confirmed"})

    async def roll_back(self) -> Response:
        """Take it back."""
        self._refuse_unless_fine(await self._writer.roll_back(_find_asker()))
        return _answer({"outcome": "rolled back"})


async def _read_body() -> bytes:
    """Return the body; it is read before anything is refused, so that the connection can be used on."""
    content = await request.get_data(as_text=False)
    assert isinstance(content, bytes)
    return content


def _find_caller() -> Caller:
    caller = dict(request.scope)[CALLER]
    assert isinstance(caller, Caller)
    return caller


def _find_asker() -> str:
    """
    Return who asks, for the audit log, if it may: admins by the gate's judgement, locally root alone.

    Whoever the mode of the unix socket lets in may steer; what stays is for root, and in observe mode
    for who has started the daemon. Raises: Problem.
    """
    peer: Peer = request.scope["state"]["peer"]
    if peer.uid in {None, 0, os.getuid()}:
        return _find_caller().name
    detail = (
        f"over the unix socket only root changes the configuration, not {peer};"
        " over TCP a token with the role admin does"
    )
    raise Problem(HTTPStatus.FORBIDDEN, detail)


def _answer(content: ChangedObject) -> Response:
    return Response(msgspec.json.encode(content), content_type=JSON)


def _split(problem: str) -> PlacedProblemObject:
    """Return a problem as file, line, column and what is wrong; without a place it is all of it."""
    found = _PROBLEM.fullmatch(problem)
    if found is None:
        return {"file": None, "line": None, "column": None, "detail": problem}
    return {
        "file": found["file"],
        "line": int(found["line"]),
        "column": int(found["column"]),
        "detail": found["detail"],
    }
