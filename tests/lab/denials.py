"""What the kernel refuses, read from its audit messages as they come. Source: linux/audit.h."""

from __future__ import annotations

import re
import select
import socket
import struct
import time
from typing import Final, NamedTuple

_NETLINK_AUDIT: Final = 9
_RCVBUFFORCE: Final = 33
"""SO_RCVBUFFORCE; Python does not name it. Source: asm-generic/socket.h."""
_READLOG: Final = 1
"""AUDIT_NLGRP_READLOG; needs CAP_AUDIT_READ."""
_AVC: Final = 1400
"""AUDIT_AVC: SELinux, and AppArmor from 1500 on by the same format."""
_HEADER: Final = struct.Struct("=IHHII")
_FIELD: Final = re.compile(r'(\w+)=("[^"]*"|\S+)')


class Denial(NamedTuple):
    """One refusal."""

    domain: str
    """The profile that refused, or the type of the process."""
    what: str
    """The record, without its time."""


class Log:
    """Everything that is refused from now on."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT)
        self._sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 8 << 20)
        self._sock.bind((0, _READLOG))

    def close(self) -> None:
        """Hear no more."""
        self._sock.close()

    def read(self, seconds: float = 1.0) -> list[Denial]:
        """Return what was refused; it is complete once nothing has come for so long."""
        found = []
        until = time.monotonic() + 60
        while select.select([self._sock], [], [], seconds)[0] and time.monotonic() < until:
            datagram = self._sock.recv(65536)
            text = datagram[_HEADER.size :].rstrip(b"\0\n").decode(errors="replace")
            if denial := read_denial(text):
                found.append(denial)
        return found


def read_denial(text: str) -> Denial | None:
    """Return the refusal that an audit record tells of, None for any other."""
    fields = {name: value.strip('"') for name, value in _FIELD.findall(text)}
    what = text.partition("): ")[2] or text
    if fields.get("apparmor") == "DENIED":
        return Denial(fields["profile"], what)
    if "avc:  denied" in text:
        return Denial(fields["scontext"].split(":")[2], what)
    return None
