"""
The daemon as commands ask it: HTTP over the unix socket in its runtime directory.

Answers are the API's own JSON. A daemon that is not there, or that the caller may not ask, is an error
of its own, with what to do about it.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlencode

import click

from netevd.cli.failure import Exit, Failure
from netevd.cli.options import SOCKET_KEY
from netevd.cli.output import say

Parameters: TypeAlias = Mapping[str, str | int | Sequence[str] | None]

_TIMEOUT_S: Final = 30.0
_SILENCE_S: Final = 45.0
"""After this the stream is dead: the daemon sends something every 15 s."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("netevd", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Message(NamedTuple):
    """One message of the stream."""

    kind: str
    number: int
    """Sequence number, 0 for a message that has none."""
    content: dict[str, Any]


def _list_paths() -> list[str]:
    given = click.get_current_context().meta.get(SOCKET_KEY)
    if given is not None:
        return [str(given)]
    base = os.environ.get("XDG_RUNTIME_DIR")
    own = f"{base}/netevd" if base else f"/tmp/netevd-{os.getuid()}"  # noqa: S108 - the daemon's rule
    return ["/run/netevd/api.sock", f"{own}/api.sock"]


def _connect(timeout: float) -> _Connection:
    """Return a connection to the first daemon that is there. Raises: Failure."""
    denied = ""
    paths = _list_paths()
    for path in paths:
        connection = _Connection(path, timeout)
        try:
            connection.connect()
        except PermissionError:
            denied = path
        except OSError:
            continue
        else:
            return connection
    if denied:
        text = f"you may not ask the daemon at {denied}: be root or a member of the group netevd"
        raise Failure(text, Exit.DENIED)
    where = " or ".join(paths)
    text = f"no daemon answers at {where}; is it running? (--socket names another one)"
    raise Failure(text, Exit.UNREACHABLE)


def ask(path: str, parameters: Parameters | None = None, *, method: str = "GET") -> dict[str, Any]:
    """Return the answer to one request. Raises: Failure."""
    connection = _connect(_TIMEOUT_S)
    try:
        connection.request(method, _join(path, parameters), headers={"Accept": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failure(f"the daemon broke off its answer ({error!r})", Exit.UNREACHABLE) from None
    finally:
        connection.close()
    if answer.status >= 400:
        raise Refusal(answer.status, content)
    return dict(content)


class Refusal(Failure):
    """The daemon said no, and why."""

    def __init__(self, status: int, content: Mapping[str, Any]) -> None:
        """content: a problem as of RFC 9457."""
        code = Exit.UNKNOWN if status == 404 else Exit.FAILED
        super().__init__(str(content.get("detail", f"status {status}")), code)
        self.status = status
        self.problems: list[str] = list(content.get("problems", ()))


def _join(path: str, parameters: Parameters | None) -> str:
    given = {key: value for key, value in (parameters or {}).items() if value not in (None, (), "")}
    query = urlencode(given, doseq=True)
    return f"/api/v1/{path}" + (f"?{query}" if query else "")


def follow(parameters: Parameters) -> Iterator[Message]:
    """
    Yield the messages of the stream for ever, over reloads and restarts of the daemon.

    After a break it goes on behind the last event that was told. Raises: Failure, if no daemon is
    there at the beginning.
    """
    last = 0
    first = True
    silent_since = 0.0
    while True:
        try:
            connection = _connect(_SILENCE_S)
        except Failure as failure:
            if first or failure.code is not Exit.UNREACHABLE:
                raise
            if silent_since and time.monotonic() - silent_since > 2:
                say("the daemon is gone; waiting for it")
                silent_since = 0.0
            time.sleep(0.1)
            continue
        first = False
        try:
            for message in _read_stream(connection, parameters, last):
                last = message.number or last
                yield message
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        silent_since = time.monotonic()


def _read_stream(connection: _Connection, parameters: Parameters, last: int) -> Iterator[Message]:
    headers = {"Accept": "text/event-stream"}
    if last:
        headers["Last-Event-ID"] = str(last)
    connection.request("GET", _join("events", parameters), headers=headers)
    answer = connection.getresponse()
    if answer.status >= 400:
        raise Refusal(answer.status, json.loads(answer.read()))
    fields: dict[str, str] = {}
    while line := answer.readline():
        text = line.decode("utf-8", "replace").rstrip("\n")
        if text.startswith(":"):
            continue
        if text:
            key, _, value = text.partition(": ")
            fields[key] = value
        elif fields:
            content = json.loads(fields.get("data", "{}"))
            yield Message(fields.get("event", ""), int(fields.get("id", "0")), content)
            fields = {}
