"""
Processes below this one: who was re-parented here, what a process has started, how to end it.

Source: proc(5), /proc/PID/task/TID/children, /proc/PID/stat.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import NamedTuple


class Membership(NamedTuple):
    """What tells to which run a process belongs."""

    group: int
    session: int
    started: float
    """Seconds, CLOCK_BOOTTIME of its start, to the clock tick."""


_TICKS = os.sysconf("SC_CLK_TCK")


def read_children(pid: int | str = "self") -> list[int]:
    """Return the direct children of a process; none when it is gone."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as children:
                found.extend(int(word) for word in children.read().split())
    return found


def read_descendants(pids: Iterable[int]) -> list[int]:
    """Return these processes and all that they have started, parents before children."""
    found: dict[int, None] = {}
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found[pid] = None
            waiting.extend(read_children(pid))
    return list(found)


def read_membership(pid: int) -> Membership | None:
    """Return group, session and start of a process, None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Membership(int(fields[2]), int(fields[3]), int(fields[19]) / _TICKS)


def read_marker(pid: int, name: bytes) -> bytes | None:
    """Return a variable of a process's first environment, None when absent or not readable."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            variables = environ.read().split(b"\0")
    except OSError:
        return None
    prefix = name + b"="
    return next((v[len(prefix) :] for v in variables if v.startswith(prefix)), None)


def send_signal(pids: Iterable[int], which: int) -> None:
    """Signal these processes, passing over those that are gone or not ours."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, which)
