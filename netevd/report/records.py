"""
Log records by structlog: text for people, JSON lines with the keys that were promised.

Belongs here: how a record looks. Which records there are is the business of who writes them.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import IO, Final

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from netevd.model.shape import show_time
from netevd.report.journal_entries import SOCKET, Journal, name_subject
from privsep.protocol import escape

LEVELS: Final = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "error": 40}
"""Our level names with the numbers of the standard library's."""

_COLOURS: Final = {"trace": "2", "debug": "2", "info": "32", "warn": "33", "error": "31"}
"""SGR codes (ECMA-48) by level: faint, green, yellow, red."""

_JSON_ONLY: Final = ("ip", "run", "stream", "kind")
"""Fields that repeat, for programs, what a line for people says in its words."""

_FIRST_KEYS: Final = ("timestamp", "level", "interface", "event", "ip")


def _add_time_and_level(_: WrappedLogger, method: str, record: EventDict) -> EventDict:
    record["timestamp"] = time.time_ns()
    record["level"] = "warn" if method == "warning" else method
    return record


def _clean(value: object) -> object:
    """Escape what could forge a line or move a terminal's cursor."""
    return escape(value) if isinstance(value, str) else value


def render_json(_: WrappedLogger, __: str, record: EventDict) -> str:
    """Return one JSON object; the promised keys come first, `message` last."""
    message = record.pop("event")
    record["event"] = record.pop("event_type", None)
    record["timestamp"] = show_time(record["timestamp"])
    ordered = {key: record.pop(key, None) for key in _FIRST_KEYS}
    whole = {
        key: _clean(value)
        for key, value in {**ordered, **record, "message": message}.items()
        if value is not None
    }
    return msgspec.json.encode(whole).decode()


class TextRenderer:
    """Makes one line for people: time, level, interface, event, message, the rest as key=value."""

    def __init__(self, *, colour: bool) -> None:
        """colour: whether levels are coloured; the words are there in any case."""
        self._colour = colour

    def __call__(self, _: WrappedLogger, __: str, record: EventDict) -> str:
        """Return the line of one record."""
        seconds, rest = divmod(record.pop("timestamp"), 1_000_000_000)
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
        stamp = f"{clock}.{rest // 1_000_000:03}"
        level = str(record.pop("level"))
        message = _clean(str(record.pop("event")))
        subject = name_subject(record)
        record.pop("interface", None)
        record.pop("event_type", None)
        if record.get("run") is not None:
            record.pop("script", None)  # its words name it
        for name in _JSON_ONLY:
            record.pop(name, None)
        extra = "".join(
            f" {key}={_clean(value)}" for key, value in record.items() if value is not None
        )
        word = f"{level:<5}"
        if self._colour:
            word = f"\x1b[{_COLOURS.get(level, '0')}m{word}\x1b[0m"
        return f"{stamp} {word} {subject}{message}{extra}"


def wants_colour(stream: IO[str]) -> bool:
    """Tell whether a stream is a terminal that wants colour. Source: no-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class _Lines:
    """
    Writes whole lines to a descriptor; what nobody reads is dropped, not waited for twice.

    A full pipe blocks like any standard error does; a closed one must not end the daemon.
    """

    def msg(self, line: str) -> None:
        """Write one line."""
        try:
            os.write(2, line.encode("utf-8", "backslashreplace") + b"\n")
        except OSError:
            return

    log = trace = debug = info = warn = warning = error = msg


def make_log(level: str, form: str, journal: socket.socket | None = None) -> FilteringBoundLogger:
    """
    Return the daemon's log. level: a key of LEVELS. form: text, json or journal.

    journal: connected to the journal, None where there is none: then journal is text.
    """
    lines = TextRenderer(colour=wants_colour(sys.stderr))
    writer: _Lines | Journal = _Lines()
    render: Processor = render_json if form == "json" else lines
    if form == "journal" and journal is not None:
        writer = Journal(journal, lines)
        render = writer.process
    log: FilteringBoundLogger = structlog.wrap_logger(
        writer,
        processors=[_add_time_and_level, render],
        wrapper_class=structlog.make_filtering_bound_logger(max(LEVELS[level], LEVELS["debug"])),
        cache_logger_on_first_use=False,
    )
    if form == "journal" and journal is None:
        text = f"there is no journal at {SOCKET}: the log is text on standard error"
        log.warning(text)
    return log
