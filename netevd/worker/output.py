"""What scripts print: read as it comes, cut into lines, capped, never waited for."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

import trio
from attrs import define, field

_CHUNK = 16384
_LINE_LIMIT = 4096
"""Bytes after which a line is taken as complete, so that one without end costs no memory."""


_LAST_CHUNKS = 64
"""Chunks read at the end of a run; a pipe holds 64 KiB, more comes only from somebody else's."""


@define(slots=True)
class _Pipe:
    run: int
    stream: str
    rest: bytearray = field(factory=bytearray)


@define(slots=True)
class Captured:
    """What is known of the output of one run."""

    taken: int = 0
    """Bytes that were passed on, both streams together."""
    dropped: int = 0
    """Bytes beyond the limit, read and thrown away."""


class OutputReader:
    """
    Reads the pipes of all runs through one epoll descriptor, so that a run costs no task.

    What a script writes beyond the limit is read and dropped: its writing never blocks.
    """

    def __init__(self, limit: int, tell: Callable[[int, str, str], None]) -> None:
        """limit: bytes of a run; tell: called with run, stream ("out", "err") and one line."""
        self._limit = limit
        self._tell = tell
        self._epoll = select.epoll()
        self._pipes: dict[int, _Pipe] = {}
        self._captured: dict[int, Captured] = {}

    def add(self, run: int, out: int, err: int) -> None:
        """Take over the read ends of a run's pipes."""
        self._captured[run] = Captured()
        for descriptor, stream in ((out, "out"), (err, "err")):
            os.set_blocking(descriptor, False)
            self._pipes[descriptor] = _Pipe(run, stream)
            self._epoll.register(descriptor, select.EPOLLIN)

    async def read(self) -> None:
        """Read for ever. Cancellation loses nothing: what was not read is still in the pipes."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for descriptor, _ in self._epoll.poll(0):
                self._read_once(descriptor)
            await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Let go of all pipes; the runner still holds its ends."""
        for descriptor in list(self._pipes):
            os.close(descriptor)
        self._pipes.clear()
        self._epoll.close()

    def finish(self, run: int) -> Captured:
        """Read what is left of a run that has ended, close its pipes, return what came of it."""
        for descriptor in [fd for fd, pipe in self._pipes.items() if pipe.run == run]:
            for _ in range(_LAST_CHUNKS):
                if not self._read_once(descriptor):
                    break
            if descriptor in self._pipes:
                self._close(descriptor)
        return self._captured.pop(run, Captured())

    def _read_once(self, descriptor: int) -> bool:
        pipe = self._pipes[descriptor]
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._close(descriptor)
            return False
        captured = self._captured[pipe.run]
        room = max(0, self._limit - captured.taken)
        captured.taken += min(room, len(chunk))
        captured.dropped += max(0, len(chunk) - room)
        pipe.rest += chunk[:room]
        *lines, rest = pipe.rest.split(b"\n")
        if len(rest) > _LINE_LIMIT:
            lines.append(rest)
            rest = bytearray()
        pipe.rest = rest
        for line in lines:
            self._say(pipe, line)
        return True

    def _say(self, pipe: _Pipe, line: bytes | bytearray) -> None:
        self._tell(pipe.run, pipe.stream, line.decode("utf-8", "backslashreplace"))

    def _close(self, descriptor: int) -> None:
        pipe = self._pipes.pop(descriptor)
        if pipe.rest:
            self._say(pipe, pipe.rest)
        self._epoll.unregister(descriptor)
        os.close(descriptor)
