"""
Send and receive one message on an AF_UNIX SOCK_SEQPACKET socket, with its descriptors.

socket.recv_fds ignores its flags argument, so descriptors received by it would be inherited by
scripts; here they arrive by recvmsg with MSG_CMSG_CLOEXEC.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
from typing import Generic, TypeVar

from privsep.protocol import PACKET_LIMIT, Codec, Message, ProtocolViolation, pack

T = TypeVar("T")
BUFFER = 4 * 1024 * 1024
"""Bytes of send buffer asked for; what the kernel grants without CAP_NET_ADMIN is enough to work,
only slower under load (net.core.wmem_max, socket(7))."""


_TRUNCATED = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
"""Plain numbers: arithmetic on Python's flag types costs more than the system call."""


class Closed(Exception):
    """The peer has closed its end, or died."""


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Return a connected pair of sockets, neither blocking nor inherited."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setblocking(False)
        grow_buffer(end, socket.SO_SNDBUF, SO_SNDBUFFORCE)
    return pair


SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
"""Source: asm-generic/socket.h; Python names neither."""


def grow_buffer(sock: socket.socket, plain: int, forced: int, size: int = BUFFER) -> bool:
    """Set a socket buffer beyond the system's limit if allowed, else up to it; tell which."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, plain, size)
        return False
    return True


class Channel(Generic[T]):
    """One end of a channel; `T` is the union of what the peer may send."""

    def __init__(
        self, sock: socket.socket, codec: Codec[T], *, limit: int = PACKET_LIMIT, descriptors: int = 0
    ) -> None:  # fmt: skip
        """Take over the socket. limit: bytes of a packet; descriptors: how many one may carry."""
        self.sock = sock
        self._codec = codec
        self._buffer = mmap.mmap(-1, limit)  # costs memory only where a packet was
        self._ancillary = socket.CMSG_SPACE(4 * descriptors) if descriptors else 0

    def fileno(self) -> int:
        """Return the descriptor, for poll."""
        return self.sock.fileno()

    def close(self) -> None:
        """Close this end."""
        self.sock.close()

    def send(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        """
        Send one message. Descriptors are duplicated into the peer, the caller keeps its own.

        Raises: Closed; BlockingIOError when the peer does not read.
        """
        try:
            if not descriptors:
                self.sock.send(pack(message))
                return
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
            self.sock.sendmsg([pack(message)], [rights])
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def offer(self, message: Message, descriptors: tuple[int, ...] = ()) -> bool:
        """Send one message; return False if the peer has gone or does not read."""
        try:
            self.send(message, descriptors)
        except (Closed, BlockingIOError):
            return False
        return True

    def receive(self) -> tuple[T, list[int]]:
        """
        Return one message and the descriptors that came with it.

        Raises: Closed at end of file; BlockingIOError when there is none; ProtocolViolation, with
        all received descriptors closed.
        """
        try:
            received = self.sock.recvmsg_into([self._buffer], self._ancillary, _CLOEXEC)
        except ConnectionResetError:
            raise Closed from None
        (size, ancillary, flags, _), descriptors = received, array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % 4])
        try:
            if flags & _TRUNCATED:
                raise ProtocolViolation("packet or descriptors do not fit")
            if not size:
                raise Closed
            return self._codec.unpack(memoryview(self._buffer)[:size]), list(descriptors)
        except (ProtocolViolation, Closed):
            for descriptor in descriptors:
                os.close(descriptor)
            raise
