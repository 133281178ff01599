"""
Ports: the worker's ends of control, feed, rpc and scripts, awaited by Trio.

Received descriptors arrive close-on-exec; socket.recv_fds cannot do that.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from typing import Generic, TypeVar

import trio

from privsep.protocol import PACKET_LIMIT, Codec, Message, ProtocolViolation, pack

T = TypeVar("T")


class PeerGone(Exception):
    """The other end was closed: the role behind it ended or died."""


class Port(Generic[T]):
    """One end of a channel whose peer sends values of the union `T`."""

    def __init__(self, descriptor: int, codec: Codec[T], *, descriptors: int = 0) -> None:
        """Take over an open SOCK_SEQPACKET socket. descriptors: how many a message may carry."""
        self._sock = socket.socket(fileno=descriptor)
        self._sock.setblocking(False)
        self._codec = codec
        self._space = socket.CMSG_SPACE(4 * descriptors) if descriptors else 0
        self._outbox: deque[bytes] = deque()
        self._room = trio.Event()

    def close(self) -> None:
        """Close this end, so that the peer reads end of file."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    @property
    def backlog(self) -> int:
        """How many messages wait for a peer that does not read."""
        return len(self._outbox)

    def send(self, message: Message) -> None:
        """
        Send a message now, or keep it until `flush` can. Never blocks.

        A peer that has gone is not an error here: whoever receives from it will notice.
        """
        packet = pack(message)
        if self._outbox:
            self._outbox.append(packet)
            return
        try:
            self._sock.send(packet)
        except BlockingIOError:
            self._outbox.append(packet)
            self._room.set()
        except OSError:
            return

    async def flush(self) -> None:
        """Send for ever what `send` had to keep. Cancellation keeps what was not sent."""
        while True:
            await self._room.wait()
            self._room = trio.Event()
            while self._outbox:
                await trio.lowlevel.wait_writable(self._sock)
                try:
                    self._sock.send(self._outbox[0])
                except BlockingIOError:
                    continue
                except OSError:
                    self._outbox.clear()
                    break
                self._outbox.popleft()

    async def wait(self) -> None:
        """Return when there is something to receive. Raises: PeerGone when closed on this side."""
        try:
            await trio.lowlevel.wait_readable(self._sock)
        except (trio.ClosedResourceError, ValueError):
            raise PeerGone from None

    def receive(self) -> T | None:
        """Return one message, None when there is none now. Raises: PeerGone, ProtocolViolation."""
        try:
            packet = self._sock.recv(PACKET_LIMIT)
        except BlockingIOError:
            return None
        except OSError:
            raise PeerGone from None
        if not packet:
            raise PeerGone
        return self._codec.unpack(packet)

    def receive_with_descriptors(self) -> tuple[T, list[int]] | None:
        """Return one message with its descriptors. Raises: PeerGone, ProtocolViolation."""
        try:
            packet, ancillary, flags, _ = self._sock.recvmsg(
                PACKET_LIMIT, self._space, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError:
            raise PeerGone from None
        numbers = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers.frombytes(content[: len(content) - len(content) % 4])
        try:
            if not packet:
                raise PeerGone
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ProtocolViolation("packet or descriptors do not fit")
            return self._codec.unpack(packet), list(numbers)
        except (PeerGone, ProtocolViolation):
            for number in numbers:
                os.close(number)
            raise
