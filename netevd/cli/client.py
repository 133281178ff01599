"""
The daemon as commands ask it: requests, answers, and the stream of what happens.

Answers are the API's own JSON. A daemon that is not there, or that the caller may not ask, is an error
of its own, with what to do about it. How it is reached is cli.connections'.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote, urlencode

from netevd.cli.connections import connect, read_headers
from netevd.cli.failure import Exit, Failure
from netevd.cli.output import say

Parameters: TypeAlias = Mapping[str, str | int | Sequence[str] | None]

TIMEOUT_S: Final = 30.0
"""For each step of a request."""
_SILENCE_S: Final = 45.0
"""After this the stream is dead: the daemon sends something every 15 s."""
_TRIES: Final = 3
"""A worker may die while it answers; the next one knows the same."""
_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0
_PATIENCE_S: Final = 2.0
"""A daemon that is away for longer is said to be."""
_ANSWER_LIMIT: Final = 256 << 20
"""Octets of an answer; half a million routes are less."""
_LINE_LIMIT: Final = 4 << 20
"""Octets of a message of the stream."""

OPENED: Final = "opened"
"""Kind of the message that says that from here on nothing is missed; it is ours, not the daemon's."""


class Message(NamedTuple):
    """One message of the stream."""

    kind: str
    number: int
    """Sequence number, 0 for a message that has none."""
    content: dict[str, Any]


class Refusal(Failure):
    """The daemon said no, and why."""

    def __init__(self, status: int, content: Mapping[str, Any]) -> None:
        """content: a problem as of RFC 9457."""
        code = {400: Exit.USAGE, 401: Exit.DENIED, 403: Exit.DENIED, 404: Exit.UNKNOWN}
        super().__init__(
            str(content.get("detail") or content.get("title") or f"status {status}"),
            code.get(status, Exit.FAILED),
        )
        self.status = status
        self.content = content
        self.problems: list[str] = list(content.get("problems", ()))


def ask(
    path: str,
    parameters: Parameters | None = None,
    *,
    method: str = "GET",
    timeout_s: float = TIMEOUT_S,
    expected: Sequence[int] = (),
) -> dict[str, Any]:
    """
    Return the answer to one request. path: below /api/v1/, or absolute.

    expected: statuses that are answers too, not refusals. Raises: Failure.
    """
    return ask_whole(path, parameters, method=method, timeout_s=timeout_s, expected=expected)[1]


def ask_whole(
    path: str,
    parameters: Parameters | None = None,
    *,
    method: str = "GET",
    timeout_s: float = TIMEOUT_S,
    expected: Sequence[int] = (),
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[Mapping[str, str], dict[str, Any]]:
    """Return headers and content of the answer to one request; see `ask`."""
    reading = method == "GET"
    tries = _TRIES if reading else 1
    while True:
        tries -= 1
        connection = connect(timeout_s, reading=reading)
        try:
            connection.request(method, _join(path, parameters), body=body, headers={
                "Accept": "application/json", **read_headers(), **(headers or {}),
            })  # fmt: skip
            answer = connection.getresponse()
            text = answer.read(_ANSWER_LIMIT)
        except TimeoutError:
            raise Failure(f"the daemon gave no answer within {timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            if tries and not isinstance(error, ssl.SSLError):
                time.sleep(_PAUSE_S)
                continue
            raise _explain(error) from None
        finally:
            connection.close()
        content = _read(answer, text)
        if answer.status >= 400 and answer.status not in expected:
            raise Refusal(answer.status, content)
        return dict(answer.headers), content


def quoted(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def _read(answer: http.client.HTTPResponse, text: bytes) -> dict[str, Any]:
    """Return the object that an answer holds. Raises: Failure."""
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        kind = answer.headers.get("Content-Type", "no type")
        text_ = f"what answers is not netevd's API (status {answer.status}, {kind})"
        raise Failure(text_, Exit.UNREACHABLE)
    return content


def _explain(error: OSError | http.client.HTTPException) -> Failure:
    if isinstance(error, ssl.SSLError):
        text = f"the daemon ends the connection: {error.reason or error}; --cert and --key show who you are"
        return Failure(text, Exit.DENIED)
    return Failure(f"the daemon broke off its answer ({error!r})", Exit.UNREACHABLE)


def _join(path: str, parameters: Parameters | None) -> str:
    given = {key: value for key, value in (parameters or {}).items() if value not in (None, (), "")}
    query = urlencode(given, doseq=True)
    return (path if path[0] == "/" else f"/api/v1/{path}") + (f"?{query}" if query else "")


# --- the stream ----------------------------------------------------------------------------------


def follow(parameters: Parameters, *, until: float | None = None) -> Iterator[Message]:
    """
    Yield the messages of the stream, over reloads and restarts of the daemon.

    After a break it goes on behind the last event that was told; each time that it begins a message
    says so. until: end at this time, monotonic seconds; None: never. Raises: Failure, if no daemon
    is there at the beginning.
    """
    last = 0
    connection: http.client.HTTPConnection | None = connect(_allow(until))
    while connection is not None:
        try:
            for message in _read_stream(connection, parameters, last, until):
                last = message.number or last
                yield message
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, ssl.SSLError):
                raise _explain(error) from None
        finally:
            connection.close()
        connection = _reconnect(until)


def _allow(until: float | None) -> float:
    """Return how long the stream may be silent, seconds."""
    return _SILENCE_S if until is None else min(_SILENCE_S, max(0.001, until - time.monotonic()))


def _reconnect(until: float | None) -> http.client.HTTPConnection | None:
    """Return a connection to the daemon once it is there; None when the time is over."""
    since, pause, said = time.monotonic(), _PAUSE_S, False
    while until is None or time.monotonic() < until:
        try:
            found = connect(_allow(until))
        except Failure as failure:
            away = time.monotonic() - since
            # its socket is there a moment before those who may ask have been allowed to
            if failure.code is not Exit.UNREACHABLE and away > _PATIENCE_S:
                raise
            if away > _PATIENCE_S and not said:
                say("the daemon is gone; waiting for it")
                said = True
            time.sleep(pause if until is None else min(pause, max(0.0, until - time.monotonic())))
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)
            continue
        if said:
            say("the daemon is back")
        return found
    return None


def _read_stream(
    connection: http.client.HTTPConnection, parameters: Parameters, last: int, until: float | None
) -> Iterator[Message]:
    headers = {"Accept": "text/event-stream", **read_headers()}
    if last:
        headers["Last-Event-ID"] = str(last)
    connection.request("GET", _join("events", parameters), headers=headers)
    sock = connection.sock
    answer = connection.getresponse()
    if answer.status >= 400:
        raise Refusal(answer.status, _read(answer, answer.read(_ANSWER_LIMIT)))
    opened = False
    fields: dict[str, str] = {}
    while line := answer.readline(_LINE_LIMIT):
        if len(line) == _LINE_LIMIT:
            raise http.client.LineTooLong("message")
        if not opened:
            opened = True
            yield Message(OPENED, 0, {})
        text = line.decode("utf-8", "replace").rstrip("\n")
        if text and not text.startswith(":"):
            key, _, value = text.partition(": ")
            fields[key] = value
        elif not text and "data" in fields:
            content = json.loads(fields["data"])
            yield Message(fields.get("event", ""), int(fields.get("id", "0")), content)
            fields = {}
        if until is not None:
            sock.settimeout(_allow(until))
