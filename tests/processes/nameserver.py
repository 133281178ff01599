"""A name server that says what a test says, or nothing."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

TYPE_A = 1


class NameServer:
    """Answers for IPv4 addresses at 127.0.0.1, port 53; for others there are none."""

    def __init__(self, answer: Callable[[int], list[str] | None]) -> None:
        """answer: the addresses for the n-th question for one, counted from 0; None for no answer at all."""
        self._answer = answer
        self.asked = 0
        """Questions for an IPv4 address."""
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                question, sender = self._sock.recvfrom(4096)
                if not question:
                    return  # closed
                end = question.index(b"\0", 12) + 5
                kind = struct.unpack("!H", question[end - 4 : end - 2])[0]
                found: list[str] | None = []
                if kind == TYPE_A:
                    found = self._answer(self.asked)
                    self.asked += 1
                if found is None:
                    continue
                records = b"".join(
                    b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, 4) + socket.inet_aton(each)
                    for each in found
                )
                head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
                self._sock.sendto(head + question[12:end] + records, sender)

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
