"""What the helper asks apart from dumps, one reading at a time, and what nl80211 tells it by itself."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final, TypeAlias

from privsep import generic, protocol, rtnetlink, wireguard

Asked: TypeAlias = protocol.Wireguard | protocol.Wireless
_ANSWER_LIMIT: Final = 16 << 20
"""Bytes of a userspace device's answer: some 30,000 peers."""
_RECEIVE: Final = 64 * 1024
_LINE_LIMIT: Final = 4096


class Inquiry:
    """
    The helper's reading of a WireGuard device or of wireless links, or change to a device, if one is
    under way; a later one ends an earlier one.
    """

    def __init__(
        self, send: Callable[[protocol.FeedMessage], None], connect: Callable[[str], None]
    ) -> None:
        """send: to the worker. connect: has the supervisor make a connection, which comes by `take`."""
        self._send, self._connect = send, connect
        self._generic = generic.open_socket()
        self._userspace: socket.socket | None = None
        self._read = 0
        """Number of the reading, 0 for none."""
        self._awaits: protocol.Wireguard | None = None
        """What a connection is made for."""
        self._asks: Asked | None = None
        """What the kernel is asked."""
        self._families: dict[str, int] = {}
        self._rest, self._size = b"", 0

    def begin(self, request: Asked) -> None:
        """Ask a device for what it is, or to send to a peer elsewhere; or ask for wireless links."""
        self.cancel()
        self._read = request.read
        if isinstance(request, protocol.Wireguard) and request.userspace:
            self._awaits = request
            self._connect(request.name)
        else:
            self._asks = request
            self._ask_kernel(request)

    def cancel(self) -> None:
        """Let go of the reading under way; what is still answered to it is passed over."""
        if self._userspace is not None:
            self._userspace.close()
        self._userspace = self._awaits = self._asks = None
        self._rest, self._size, self._read = b"", 0, 0

    def descriptors(self) -> list[int]:
        """Return what answers, and what nobody has asked for, come from."""
        return [each.fileno() for each in (self._generic, self._userspace) if each is not None]

    def take(self, code: int, connection: socket.socket | None) -> None:
        """Take the connection that was asked for, or why there is none."""
        request, self._awaits = self._awaits, None
        if request is None:
            if connection is not None:
                connection.close()  # of a reading that was given up
        elif connection is None:
            self._end(code or errno.ECONNREFUSED)
        else:
            self._userspace = connection
            try:
                connection.send(wireguard.encode_lines(request))
            except OSError as error:
                self._end(error.errno or errno.EIO)

    def receive(self, descriptor: int) -> None:
        """Take in one piece of what has come."""
        try:
            if descriptor == self._generic.fileno():
                self._take_datagram(self._generic.recv(rtnetlink.DATAGRAM_LIMIT))
            elif self._userspace is not None:
                self._take_lines(self._userspace.recv(_RECEIVE))
        except BlockingIOError:
            return
        except OSError as error:
            if descriptor == self._generic.fileno():  # what was told by itself may be lost
                self._send(protocol.Overrun(protocol.WIRELESS))
            if self._read:
                self._end(error.errno or errno.EIO)

    def _ask_kernel(self, request: Asked) -> None:
        family = self._families.get(_name(request), 0)
        if not family:
            self._generic.send(generic.encode_family(_name(request), request.read))
        elif isinstance(request, protocol.Wireguard):
            self._generic.send(wireguard.encode_device(family, request))
        else:
            self._generic.send(generic.encode_wireless(family, request))

    def _take_datagram(self, datagram: bytes) -> None:
        part, kind = rtnetlink.read_part(datagram), rtnetlink.HEADER.unpack_from(datagram)[1]
        if not part.sequence:
            if kind == generic.CONTROL and datagram[16] == generic.DELFAMILY:
                self._families.clear()
            told = generic.redact(datagram, kind, generic.RADIO)
            self._send(protocol.Datagrams(protocol.WIRELESS, [told]))
        elif self._asks is not None and part.sequence == self._read & 0xFFFFFFFF:
            self._take_answer(self._asks, datagram, part)

    def _take_answer(self, asks: Asked, datagram: bytes, part: rtnetlink.Part) -> None:
        kept = wireguard.DEVICE if isinstance(asks, protocol.Wireguard) else generic.RADIO
        if family := self._families.get(_name(asks)):
            self._send(protocol.AnswerPart(self._read, generic.redact(datagram, family, kept)))
            if part.done:
                self._end(part.errno)
            return
        self._families[_name(asks)], groups = generic.read_family(datagram)
        for group in groups:
            generic.join(self._generic, group)
        if self._families[_name(asks)]:
            self._ask_kernel(asks)
        else:
            self._end(part.errno or errno.ENOENT)

    def _take_lines(self, received: bytes) -> None:
        self._size += len(received)
        lines, end, self._rest = (self._rest + received).rpartition(b"\n")
        if not received or self._size > _ANSWER_LIMIT or len(self._rest) > _LINE_LIMIT:
            self._end(errno.EMSGSIZE if received else errno.EPIPE)
            return
        over = (lines + end).endswith(b"\n\n")
        self._send(protocol.AnswerPart(self._read, wireguard.redact_userspace(lines + end)))
        if over:
            self._end(0)

    def _end(self, code: int) -> None:
        self._send(protocol.AnswerEnd(self._read, code))
        self.cancel()


def _name(request: Asked) -> str:
    return "wireguard" if isinstance(request, protocol.Wireguard) else "nl80211"
