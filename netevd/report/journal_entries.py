"""
Log records as native entries of the systemd journal, with a field for each fact.

Belongs here: the entry of a record and the socket it is sent to. Which records there are is the
business of who writes them. Source: systemd.journal-fields(7), and "Native Journal Protocol" at
systemd.io/JOURNAL_NATIVE_PROTOCOL.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Final

from structlog.typing import EventDict, WrappedLogger

from netevd.model.actions import Kind
from privsep.protocol import escape

SOCKET: Final = "/run/systemd/journal/socket"

PRIORITIES: Final = {"trace": 7, "debug": 7, "info": 6, "warn": 4, "error": 3}
"""Our levels as those of syslog(3)."""

MESSAGE_IDS: Final = {
    Kind.EVENT: "b7ce1cfcc39c4ebdbab00ee9c128678e",
    Kind.OUTPUT: "ce63d22f50384686846b2296f329827e",
    Kind.SCRIPT_ENDED: "25585ecd6890449cadffe10ac7c7bf15",
    Kind.SCRIPT_LATE: "60e7f10a183347f0a72e8edf1c2d8b73",
    Kind.SCRIPT_NOT_RUN: "7b51e0ae68254ba481187800c5b3bed8",
    Kind.SCRIPT_SKIPPED: "8e1b72750d3242149d59561b810ea578",
    Kind.SCRIPT_PAUSED: "6f834c109f0048e0858ff76c85bc8a67",
    Kind.SCRIPT_RESUMED: "c9d1c7f9963447ed9262f00c384fc61a",
    Kind.CONDITION_FAILED: "833af36bd71f4c9c9de52b44ba28b42d",
    Kind.EVENTS_SUPPRESSED: "3a0379a949bc4743b98ccfa0625c3cf1",
    Kind.EVENTS_REUSED: "54cc84162a0a41bd8024631c68824962",
    Kind.MESSAGES_LOST: "c0657485d35b4961a69dcea1d985cc45",
    Kind.RESYNCHRONIZED: "75f772e1ab5e487394b3d8fd0a8be621",
    Kind.WEBHOOK_ENDED: "f9f6ab8a31fb4afd997bd283d20fbc72",
    Kind.SERVING: "a787c5a174d64a439310d901dede185c",
    Kind.BACKEND: "5da2eed7a26b4a16acacd13af6a8b76f",
    Kind.ROUTING: "bc67895c427f4c36ae07d7b74449c783",
}
"""One for each kind of record; they never change. See docs/reference/logs.md."""

_MESSAGE_LIMIT: Final = 48 * 1024
"""Bytes of a message; an entry must fit into one datagram of the system's default size."""

_NAME: Final = re.compile(r"[^A-Z0-9_]")


def encode(fields: Mapping[str, str]) -> bytes:
    """Return the entry of these fields, whose names are valid; values may hold anything."""
    parts = []
    for name, value in fields.items():
        raw = value.encode("utf-8", "backslashreplace")
        if b"\n" in raw:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n")
        else:
            parts.append(name.encode() + b"=" + raw + b"\n")
    return b"".join(parts)


def name_subject(record: Mapping[str, object]) -> str:
    """Return what a record's words are about, as they begin for people: interface and event."""
    parts = (record.get("interface"), record.get("event_type"))
    subject = " ".join(escape(str(part)) for part in parts if part)
    return f"{subject}: " if subject else ""


def name_fields(record: Mapping[str, object]) -> dict[str, str]:
    """Return the journal's fields of a record, whose message is `event` as structlog has it."""
    rest = dict(record)
    level = str(rest.pop("level"))
    kind = rest.pop("kind", None)
    rest.pop("timestamp", None)
    message = name_subject(record) + escape(str(rest.pop("event")))
    named = {
        "MESSAGE": message.encode()[:_MESSAGE_LIMIT].decode("utf-8", "ignore"),
        "PRIORITY": str(PRIORITIES[level]),
        "SYSLOG_IDENTIFIER": "netevd",
    }
    if isinstance(kind, Kind) and kind in MESSAGE_IDS:
        named["MESSAGE_ID"] = MESSAGE_IDS[kind]
    rest["event"] = rest.pop("event_type", None)
    for name, value in rest.items():
        if value is not None:
            named[f"NETEVD_{_NAME.sub('_', name.upper())}"] = escape(str(value))
    return named


def connect(path: str = SOCKET) -> socket.socket | None:
    """
    Return a socket that is connected to the journal, None where there is no journal.

    To be called before the process is confined: no new connection can be made after that. systemd
    holds the journal's end, so it outlives restarts of the journal.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        return None
    sock.setblocking(False)
    return sock


class Journal:
    """Sends entries; what the journal does not take goes to standard error as a line of text."""

    def __init__(
        self, sock: socket.socket, render: Callable[[WrappedLogger, str, EventDict], str]
    ) -> None:
        """render: makes the line of text; journald reads it from there under systemd."""
        self._sock = sock
        self._render = render

    def process(
        self, logger: WrappedLogger, method: str, record: EventDict
    ) -> tuple[tuple[bytes, Callable[[], str]], dict[str, object]]:
        """Return the entry of a record, and what makes its line of text, as arguments of `msg`."""
        kept = dict(record)
        return (encode(name_fields(record)), lambda: self._render(logger, method, kept)), {}

    def msg(self, entry: bytes, show: Callable[[], str]) -> None:
        """Send one entry, or write its line of text if the journal does not take it."""
        try:
            self._sock.send(entry)
        except OSError:
            with contextlib.suppress(OSError):
                os.write(2, show().encode("utf-8", "backslashreplace") + b"\n")

    log = trace = debug = info = warn = warning = error = msg
