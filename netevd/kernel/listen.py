"""
The kernel's messages for a command that records them: own sockets, without any privilege.

Belongs here: event sockets as the daemon's helper has them, dumps one after another over a socket
of their own, and what came of either. Anybody may join these groups. The daemon never uses this:
its sockets are the helper's, which may force their buffers. Sources: netlink(7), rtnetlink(7).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from socket import AF_INET, AF_INET6
from typing import Final, NamedTuple

from netevd.kernel.recording import Kind, Source

EVENT_BUFFER: Final = 8 * 1024 * 1024
"""Bytes that the kernel may queue; without CAP_NET_ADMIN at most net.core.rmem_max."""

_SO_RCVBUFFORCE: Final = 33
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_NETLINK_GET_STRICT_CHK: Final = 12
_GROUPS: Final[dict[Source, tuple[int, ...]]] = {"links": (1, 5, 8, 9, 19), "routes": (7, 11, 32)}
"""RTNLGRP_LINK, IPV4_IFADDR, IPV4_RULE, IPV6_IFADDR, IPV6_RULE; IPV4_ROUTE, IPV6_ROUTE, NEXTHOP."""

_RECEIVE_SIZE: Final = 65536
"""Bytes; the kernel makes datagrams of 32 KiB at most. Source: netlink_recvmsg()."""
_BATCH_BYTES: Final = 64 * 1024

_HEADER: Final = struct.Struct("=IHHII")
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLM_F_REQUEST: Final = 0x1
_NLM_F_DUMP: Final = 0x300
_NLM_F_DUMP_INTR: Final = 0x10
_RTM_GETLINK: Final = 18
_RTM_GETADDR: Final = 22
_RTM_GETROUTE: Final = 26
_RTM_GETRULE: Final = 34
_IFLA_MASTER: Final = 10
_NO_MASTER: Final = struct.pack("=HHI", 8, _IFLA_MASTER, 0x7FFFFFFF)
_REQUESTS: Final[dict[Kind, tuple[int, bytes]]] = {
    "links": (_RTM_GETLINK, bytes(16)),
    # of a master that can't be: empty, and answered after what the kernel was about (RTNL)
    "nothing": (_RTM_GETLINK, bytes(16) + _NO_MASTER),
    "addresses": (_RTM_GETADDR, bytes(8)),
    "rules": (_RTM_GETRULE, bytes(12)),
    "routes4": (_RTM_GETROUTE, bytes((AF_INET, *bytes(11)))),
    "routes6": (_RTM_GETROUTE, bytes((AF_INET6, *bytes(11)))),
}
"""Message type and body (ifinfomsg, ifaddrmsg, fib_rule_hdr, rtmsg) of each dump."""


class _Socket:
    """A netlink socket that does not block."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor, for poll(2)."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _receive(self) -> bytes | None:
        """Return one datagram of the kernel, None when there is none. Raises: OSError."""
        while True:
            try:
                datagram, _, flags, sender = self._socket.recvmsg(_RECEIVE_SIZE)
            except BlockingIOError:
                return None
            if flags & socket.MSG_TRUNC:
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
            if sender[0] == 0:  # only the kernel has port 0; anybody may write to our socket
                return datagram


class EventSocket(_Socket):
    """What the kernel tells of one source."""

    def __init__(self, source: Source) -> None:
        """Join the groups of a source; messages queue from here on. Raises: OSError."""
        super().__init__()
        self.source: Final = source
        self._lost = False
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, EVENT_BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, EVENT_BUFFER)
        self._socket.bind((0, 0))  # a socket without a port of its own gets no broadcast
        for group in _GROUPS[source]:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def receive(self) -> tuple[list[bytes], bool]:
        """
        Return what has come, and whether the socket is empty now; else there is more to receive.

        Raises: OSError.
        """
        batch: list[bytes] = []
        size = 0
        while size < _BATCH_BYTES:
            try:
                datagram = self._receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._lost = True
                continue
            if datagram is None:
                return batch, True
            batch.append(datagram)
            size += len(datagram)
        return batch, False

    def take_loss(self) -> bool:
        """
        Tell whether messages were lost since the last call. To be asked when the socket is empty.

        The kernel reports a loss before what it had queued until then, and loses more until that
        is read. Source: netlink_overrun(), net/netlink/af_netlink.c.
        """
        lost, self._lost = self._lost, False
        return lost


class Part(NamedTuple):
    """What has come of a dump."""

    data: bytes
    done: bool
    """This was the last of it."""
    errno: int
    """Why the kernel did not give more, 0 when it did."""


class DumpSocket(_Socket):
    """Dumps, one at a time."""

    def __init__(self) -> None:
        super().__init__()
        # strict checking (Linux 4.20) refuses a request that an older reading would ignore
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0
        self.interrupted = False
        """Whether the dump under way is not consistent."""

    def ask(self, kind: Kind) -> None:
        """Ask for a dump. Raises: OSError."""
        self._sequence += 1
        self.interrupted = False
        type_, body = _REQUESTS[kind]
        flags = _NLM_F_REQUEST | _NLM_F_DUMP
        header = _HEADER.pack(16 + len(body), type_, flags, self._sequence, 0)
        self._socket.sendto(header + body, (0, 0))

    def receive(self) -> Part | None:
        """Return what has come of the dump under way, None for nothing yet. Raises: OSError."""
        while True:
            try:
                datagram = self._receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return Part(b"", done=True, errno=errno.ENOBUFS)
            if datagram is None:
                return None
            messages = list(walk(datagram))
            if messages and messages[0].sequence == self._sequence:
                break  # else the rest of a dump that was given up
        for message in messages:
            self.interrupted |= bool(message.flags & _NLM_F_DUMP_INTR)
            if message.type in {_NLMSG_ERROR, _NLMSG_DONE}:
                body = datagram[message.start + 16 : message.start + 20]
                code = struct.unpack("=i", body)[0] if len(body) == 4 else 0
                return Part(datagram, done=True, errno=abs(code))
        return Part(datagram, done=False, errno=0)


class Message(NamedTuple):
    """The header of one message. Source: struct nlmsghdr, linux/netlink.h."""

    start: int
    """Place in the datagram."""
    type: int
    flags: int
    sequence: int


def walk(datagram: bytes) -> Iterator[Message]:
    """Yield the headers of a datagram's messages, as far as they can be."""
    start = 0
    while start + 16 <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, start)
        if length < 16:
            return
        yield Message(start, kind, flags, sequence)
        start += (length + 3) & ~3
