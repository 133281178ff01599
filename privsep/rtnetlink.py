"""
The little rtnetlink the privileged side speaks: event sockets, constant dump requests, ends.

Nothing here reads an attribute of a message; decoding is netevd.kernel's. Sources: netlink(7),
rtnetlink(7), linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

from privsep.channel import force_receive_buffer
from privsep.protocol import LINKS, ROUTES

EVENT_BUFFER: Final = 8 * 1024 * 1024
"""Bytes the kernel may queue for an event socket: about 9,600 link changes or 20,000 routes while
nobody reads."""
DATAGRAM_LIMIT: Final = 65536
"""Bytes of one receive; the kernel sends at most 32 KiB a datagram unless asked for more.
Source: netlink_recvmsg(), net/netlink/af_netlink.c."""

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_GET_STRICT_CHK = 12
_GROUPS: Final[dict[int, tuple[int, ...]]] = {LINKS: (1, 5, 9), ROUTES: ()}
"""RTNLGRP_LINK, IPV4_IFADDR, IPV6_IFADDR. Route groups are joined once routes are read: until then
each address would bring a route message that wakes two processes for nothing."""

SOURCES: Final = tuple(_GROUPS)
"""The event sockets there are."""

_HEADER = struct.Struct("=IHHII")
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 1
_NLM_F_DUMP_INTR = 0x10
_NLM_F_DUMP = 0x300
_RTM_GETLINK = 18
_RTM_GETADDR = 22
_IFLA_EXT_MASK = 29
_RTEXT_FILTER_SKIP_STATS = 8
_DUMPS: Final = {
    "links": (
        _RTM_GETLINK,
        struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        + struct.pack("=HHI", 8, _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS),
    ),
    "addresses": (_RTM_GETADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0)),
}
"""Message type and body (ifinfomsg, ifaddrmsg) of each dump the worker may ask for."""


def open_event_socket(source: int) -> tuple[socket.socket, bool]:
    """Return a socket subscribed to a group of kernel messages, and whether its buffer is full size."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    sock.setblocking(False)
    forced = force_receive_buffer(sock, EVENT_BUFFER)
    sock.bind((0, 0))  # a socket without a port of its own gets no broadcast
    for group in _GROUPS[source]:
        sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    return sock, forced


def open_request_socket() -> socket.socket:
    """Return the socket over which dumps are asked for."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    sock.setblocking(False)
    sock.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
    sock.bind((0, 0))
    return sock


def encode_dump(kind: str, sequence: int) -> bytes:
    """Return the request for everything of one kind; the answer carries the sequence (32 bits)."""
    type_, body = _DUMPS[kind]
    header = _HEADER.pack(
        16 + len(body), type_, _NLM_F_REQUEST | _NLM_F_DUMP, sequence & 0xFFFFFFFF, 0
    )
    return header + body


class Part(NamedTuple):
    """What the headers of one datagram of a dump say."""

    sequence: int
    done: bool
    errno: int
    interrupted: bool


def read_part(datagram: bytes) -> Part:
    """Walk the headers of one datagram of a dump; a header that can't be is the end with EPROTO."""
    offset, interrupted, sequence = 0, False, 0
    while offset + 16 <= len(datagram):
        length, type_, flags, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if length < 16 or offset + length > len(datagram):
            return Part(sequence, True, 71, interrupted)
        interrupted |= bool(flags & _NLM_F_DUMP_INTR)
        if type_ in {_NLMSG_DONE, _NLMSG_ERROR}:
            code = struct.unpack_from("=i", datagram, offset + 16)[0] if length >= 20 else 0
            return Part(sequence, True, abs(code), interrupted)
        offset += length + 3 & ~3
    return Part(sequence, False, 0, interrupted)
