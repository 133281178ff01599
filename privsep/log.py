"""The few lines that the privileged side itself says, in the form the configuration asks for."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

import msgspec

from privsep.protocol import escape

_PRIORITIES: Final = {"trace": 7, "debug": 7, "info": 6, "warn": 4, "error": 3}


def show_time(time_ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339 time in UTC with milliseconds."""
    seconds, rest = divmod(time_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 10**6:03}Z"


def tell(line: bytes) -> None:
    """Write to standard error; that nobody reads it is nothing that the daemon's work depends on."""
    with contextlib.suppress(OSError):
        os.set_blocking(2, True)  # it is the same for all roles: one could have what we say be lost
        os.write(2, line)


class Log:
    """Writes lines to standard error; format and level may change once they are known."""

    def __init__(self, level: str = "info", form: str = "text") -> None:
        """level: one of _PRIORITIES; form: text, json or journal."""
        self.level = level
        self.form = form

    def write(self, level: str, message: str) -> None:
        """Write one line; under journal with its priority in front, see sd-daemon(3)."""
        if _PRIORITIES[level] > _PRIORITIES[self.level]:
            return
        now, message = time.time(), escape(message)
        if self.form == "json":
            record = {"timestamp": show_time(time.time_ns()), "level": level, "message": message}
            line = msgspec.json.encode(record)
        elif self.form == "journal":
            line = f"<{_PRIORITIES[level]}>{message}".encode()
        else:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
            line = f"{stamp}.{int(now % 1 * 1000):03} {level:<5} {message}".encode()
        tell(line + b"\n")
