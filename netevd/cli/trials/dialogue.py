"""
The command line's end of a scripts channel: what a worker would say to a runner, for one script.

Belongs here: requests, answers and output of one run. Starting the runner is cli.trials.once's.
"""

from __future__ import annotations

import array
import codecs
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Final

from netevd.cli.failure import Failure
from netevd.cli.trials.answers import Answer, Cut, Finished, Output, Refused, Started
from privsep import protocol
from privsep.protocol import (
    PACKET_LIMIT,
    SCRIPTS_REPLY,
    Entries,
    Entry,
    Message,
    ProtocolViolation,
    Rescan,
    Run,
    ScriptsReply,
    Signal,
    pack,
)

GRACE_S: Final = 5.0
"""Seconds between TERM and KILL, as in the daemon."""

_PIECE: Final = 16384
"""Bytes of output that are passed on at a time."""


class Dialogue:
    """One conversation with a runner."""

    def __init__(self, sock: socket.socket) -> None:
        """sock: our end, blocking; taken over."""
        self._sock = sock

    def close(self) -> None:
        """Close our end."""
        self._sock.close()

    def list_entries(self) -> list[Entry]:
        """Return the script table. Raises: Failure."""
        self._send(Rescan())
        entries: list[Entry] = []
        while True:
            message, _ = self._receive()
            if isinstance(message, Entries):
                entries += message.entries
                if not message.more:
                    return entries

    def run(
        self, entry: int, values: Sequence[tuple[str, str]], timeout_s: float, output_limit: int
    ) -> Iterator[Answer]:
        """Run a script and yield all that comes of it. Raises: Failure."""
        self._send(Run(1, entry, list(values)))
        printed = _Printed(output_limit)
        due: float | None = time.monotonic() + timeout_s
        orders = ["TERM", "KILL"]
        while True:
            ready = self._wait(printed, due)
            for descriptor in ready & printed.descriptors:
                yield from printed.read(descriptor)
            if self._sock.fileno() in ready:
                message, descriptors = self._receive()
                match message:
                    case protocol.Started(pid=pid):
                        printed.open(descriptors)
                        yield Started(pid)
                    case protocol.Refused(reason=reason):
                        yield Refused(reason)
                        return
                    case protocol.Finished():
                        while printed.descriptors:
                            yield from printed.read(next(iter(printed.descriptors)))
                        yield Finished(
                            message.status,
                            message.duration,
                            message.cpu,
                            message.leftovers,
                            timeout=len(orders) < 2,
                        )
                        return
            elif due is not None and time.monotonic() >= due:
                self._send(Signal(1, orders.pop(0)))
                due = time.monotonic() + GRACE_S if orders else None

    def _wait(self, printed: _Printed, due: float | None) -> set[int]:
        poll = select.poll()
        for descriptor in (self._sock.fileno(), *printed.descriptors):
            poll.register(descriptor, select.POLLIN)
        left = None if due is None else max(0, int((due - time.monotonic()) * 1000) + 1)
        return {descriptor for descriptor, _ in poll.poll(left)}

    def _send(self, message: Message) -> None:
        try:
            self._sock.send(pack(message))
        except (BrokenPipeError, ConnectionResetError):
            raise Failure("the runner has ended; nothing more is known") from None

    def _receive(self) -> tuple[ScriptsReply, list[int]]:
        try:
            packet, ancillary, _, _ = self._sock.recvmsg(
                PACKET_LIMIT, socket.CMSG_SPACE(8), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            packet, ancillary = b"", []
        if not packet:
            raise Failure("the runner has ended; nothing more is known")
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content)
        try:
            return SCRIPTS_REPLY.unpack(packet), list(descriptors)
        except ProtocolViolation as violation:
            raise Failure(f"the runner said what can't be: {violation}") from None


class _Printed:
    """The pipes of a run and what may still come out of them."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._streams: dict[int, tuple[str, codecs.IncrementalDecoder]] = {}
        self._cut = False

    @property
    def descriptors(self) -> set[int]:
        """Pipes that have not ended."""
        return set(self._streams)

    def open(self, descriptors: list[int]) -> None:
        """Take over the pipes of stdout and stderr."""
        make = codecs.getincrementaldecoder("utf-8")
        for descriptor, stream in zip(descriptors, ("out", "err"), strict=True):
            self._streams[descriptor] = (stream, make("backslashreplace"))

    def read(self, descriptor: int) -> Iterator[Output | Cut]:
        """Yield what one pipe holds; what is beyond the limit is read and dropped."""
        stream, decoder = self._streams[descriptor]
        piece = os.read(descriptor, _PIECE)
        if not piece:
            os.close(descriptor)
            del self._streams[descriptor]
        kept = piece[: self._left]
        self._left -= len(kept)
        text = decoder.decode(kept, final=not piece)
        if text:
            yield Output(stream, text)
        if len(kept) < len(piece) and not self._cut:
            self._cut = True
            yield Cut()
