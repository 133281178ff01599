"""
The little rtnetlink the privileged side speaks: event sockets, dump requests, four intents, ends.

Nothing here reads an attribute of a message; decoding is netevd.kernel's. Sources: netlink(7),
rtnetlink(7), linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from array import array
from typing import Final, NamedTuple

from privsep import protocol
from privsep.channel import SO_RCVBUFFORCE, grow_buffer
from privsep.launch import RouteFilter
from privsep.protocol import LINKS, ROUTES, ProtocolViolation

EVENT_BUFFER: Final = 8 * 1024 * 1024
"""Bytes the kernel may queue for an event socket: about 9,600 link changes or 20,000 routes while
nobody reads."""
DATAGRAM_LIMIT: Final = 65536
"""Bytes of one receive; the kernel sends at most 32 KiB a datagram unless asked for more.
Source: netlink_recvmsg(), net/netlink/af_netlink.c."""

SOL_NETLINK: Final = 270
ADD_MEMBERSHIP: Final = 1
_NETLINK_GET_STRICT_CHK = 12
_GROUPS: Final[dict[int, tuple[int, ...]]] = {LINKS: (1, 5, 8, 9, 19), ROUTES: (7, 11, 32)}
"""RTNLGRP_LINK, IPV4_IFADDR, IPV4_RULE, IPV6_IFADDR, IPV6_RULE; IPV4_ROUTE, IPV6_ROUTE, NEXTHOP."""

SOURCES: Final = tuple(_GROUPS)
"""The event sockets there are."""

HEADER: Final = struct.Struct("=IHHII")
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 1
_NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP: Final = 0x300
_RTM_GETLINK = 18
_RTM_GETADDR = 22
_RTM_GETROUTE = 26
_RTM_GETRULE = 34
_RTM_NEWNEXTHOP = 104
_RTA_TABLE = 15
NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE, _NLM_F_APPEND = 0x04, 0x200, 0x400, 0x800
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_VIA = 1, 4, 5, 6, 18
_FRA_DST, _FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_FWMARK = 1, 2, 3, 6, 10
_FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE, _FRA_FWMASK, _FRA_OIFNAME, _FRA_PROTOCOL = 14, 15, 16, 17, 21
"""Source: enum rtattr_type_t, linux/rtnetlink.h; FRA_*, linux/fib_rules.h."""
_FIB_RULE_INVERT, _FR_ACT_TO_TBL, _RTN_UNICAST, _RTN_UNREACHABLE, _RTNH_F_ONLINK = 2, 1, 1, 7, 4
_SCOPE_LINK, _SCOPE_NOWHERE = 253, 255
CAP_ACK: Final = 10
"""NETLINK_CAP_ACK: answers do not repeat what was asked. Source: linux/netlink.h."""
_IFLA_MASTER = 10
_NLM_F_REPLACE = 0x100
_SO_ATTACH_FILTER = 26
_SO_NETNS_COOKIE = 71
_LOAD_BYTE, _LOAD_AT_X, _FIND_ATTRIBUTE, _LOAD_A, _LOAD_X = 0x30, 0x40, 0x20, 0x00, 0x01
_IF_EQUAL, _IF_AT_LEAST, _IF_SET, _RETURN, _MOVE_TO_X = 0x15, 0x35, 0x45, 0x06, 0x07
"""Classic BPF. Source: linux/bpf_common.h; the attribute is found by SKF_AD_NLATTR, linux/filter.h."""
_DUMPS: Final = {
    "links": (_RTM_GETLINK, bytes(16)),
    # of a master that can't be: empty, and answered after what the kernel was about (RTNL)
    "nothing": (_RTM_GETLINK, bytes(16) + struct.pack("=HHI", 8, _IFLA_MASTER, 0x7FFFFFFF)),
    "addresses": (_RTM_GETADDR, bytes(8)),
    "rules": (_RTM_GETRULE, bytes(12)),
    "routes4": (_RTM_GETROUTE, bytes((socket.AF_INET, *bytes(11)))),
    "routes6": (_RTM_GETROUTE, bytes((socket.AF_INET6, *bytes(11)))),
}
"""Message type and body (ifinfomsg, ifaddrmsg, fib_rule_hdr, rtmsg) of each dump the worker may ask for."""


def open_event_socket(source: int, kept: int | None = None) -> tuple[socket.socket, bool]:
    """
    Return a socket subscribed to a group of kernel messages, and whether its buffer is full size.

    kept: descriptor of one that an earlier daemon had, with what the kernel has queued since.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE, kept)
    sock.setblocking(False)
    forced = grow_buffer(sock, socket.SO_RCVBUF, SO_RCVBUFFORCE, EVENT_BUFFER)
    if kept is None:
        sock.bind((0, 0))  # a socket without a port of its own gets no broadcast
    for group in _GROUPS[source]:
        sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    return sock, forced


def find_fault(kept: int) -> str:
    """Return why this descriptor is no event socket of this network namespace, "" if it is one."""
    try:
        with socket.socket(fileno=os.dup(kept)) as sock:
            if (sock.family, sock.type, sock.proto) != (socket.AF_NETLINK, socket.SOCK_RAW, 0):
                return "it is no event socket"
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as ours:
                there, here = (each.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
                               for each in (sock, ours))  # fmt: skip
    except OSError as error:
        return f"it can't be checked: {error.strerror}"
    return "" if there == here else "it is of another network namespace"


def attach(sock: socket.socket, encoded: bytes) -> None:
    """Have the kernel drop what a filter in classic BPF does not let pass, before it is queued."""
    program = array("B", encoded)
    address, size = program.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", size // 8, address))


def encode_filter(wanted: RouteFilter) -> bytes:
    """
    Return a filter in classic BPF that lets pass what is wanted, and what may have replaced it.

    A message passes by its table, or as a default route where these are wanted; then by its
    protocol. Source: bpf(4), net/core/filter.c, struct rtmsg in linux/rtnetlink.h.
    """
    little = sys.byteorder == "little"
    steps = [(_LOAD_BYTE, 4 if little else 5, ""), (_IF_AT_LEAST, _RTM_NEWNEXTHOP, "pass")]
    if wanted.owner:
        steps += [(_LOAD_BYTE, 21, ""), (_IF_EQUAL, wanted.owner, "pass")]
    if 0 not in wanted.tables:
        if wanted.default_routes:
            steps += [(_LOAD_BYTE, 17, ""), (_IF_EQUAL, 0, "protocol")]
        steps += [(_LOAD_A, 28, ""), (_LOAD_X, _RTA_TABLE, ""), (_FIND_ATTRIBUTE, 0xFFFFF00C, "")]
        steps += [(_MOVE_TO_X, 0, ""), (_LOAD_AT_X, 4, "")]
        # the filter reads numbers big endian, the kernel writes its own order
        numbers = [int.from_bytes(struct.pack("=I", each), "big") for each in wanted.tables]
        steps += [(_IF_EQUAL, number, "protocol") for number in numbers]
        steps += [(_RETURN, 0, "")]
    places = {"protocol": len(steps)}
    if wanted.protocols:
        steps += [(_LOAD_BYTE, 7 if little else 6, ""), (_IF_SET, _NLM_F_REPLACE >> 8, "pass")]
        steps += [(_LOAD_BYTE, 21, "")]
        steps += [(_IF_EQUAL, number, "pass") for number in wanted.protocols]
        steps += [(_RETURN, 0, "")]
    places["pass"] = len(steps)
    steps += [(_RETURN, 0xFFFFFFFF, "")]
    return b"".join(
        struct.pack("=HBBI", code, places[target] - place - 1 if target else 0, 0, operand)
        for place, (code, operand, target) in enumerate(steps)
    )


def open_request_socket(option: int = _NETLINK_GET_STRICT_CHK) -> socket.socket:
    """Return the socket over which dumps are asked for; with CAP_ACK that for changes."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    sock.setblocking(option == CAP_ACK)  # a change is answered at once
    sock.setsockopt(SOL_NETLINK, option, 1)
    sock.bind((0, 0))
    return sock


def encode_dump(kind: str, sequence: int, table: int) -> bytes:
    """
    Return the request for everything of one kind; the answer carries the sequence (32 bits).

    table: the one routing table that is wanted, 0 for all.
    """
    type_, body = _DUMPS[kind]
    if table and type_ == _RTM_GETROUTE:
        body += struct.pack("=HHI", 8, _RTA_TABLE, table)
    return pack_request(type_, NLM_F_DUMP, sequence, body)


def pack_request(type_: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Return a request of this type; of its sequence the kernel knows 32 bits."""
    head = HEADER.pack(16 + len(body), type_, flags | _NLM_F_REQUEST, sequence & 0xFFFFFFFF, 0)
    return head + body


def pack_attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, as long as the next one needs it to be."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


# --- four intents ------------------------------------------------------------------------------

_INTENTS: Final = {
    protocol.AddRule: (32, _NLM_F_CREATE | _NLM_F_EXCL), protocol.DeleteRule: (33, 0),
    protocol.AddRoute: (24, _NLM_F_CREATE | _NLM_F_APPEND), protocol.DeleteRoute: (25, 0),
}  # fmt: skip
"""
Message type and flags of each. Routes are appended: a replacement would take the place of the first one
of its key, whoever has made that. Source: RTM_*, linux/rtnetlink.h.
"""


def write(sock: socket.socket, changes: list[protocol.Change], owner: int) -> list[int]:
    """
    Have the kernel make changes; return the error of each. owner: the protocol number that is ours.

    A datagram is worked off, message by message, before it is sent; see netlink(7) on NLM_F_ACK.
    """
    sock.send(b"".join(encode_change(each, number, owner) for number, each in enumerate(changes)))
    errors: dict[int, int] = {}
    while len(errors) < len(changes):
        # an answer is a header, an error and the header of what was asked: 36 octets
        for answer in struct.iter_unpack("=8xI4xi16x", sock.recv(DATAGRAM_LIMIT)):
            errors[answer[0]] = -answer[1]
    return [errors[number] for number in range(len(changes))]


def encode_change(change: protocol.Change, sequence: int, owner: int) -> bytes:
    """Return the request for one change. Raises: ProtocolViolation, if its text is no address."""
    type_, flags = _INTENTS[type(change)]
    if isinstance(change, protocol.AddRoute | protocol.DeleteRoute):
        body = _encode_route(change, owner)
    else:
        family, source, bits = read_network(change.source, change.family)
        _, destination, length = read_network(change.destination, change.family)
        body = struct.pack("=8BI", family, length, bits, 0, 0, 0, 0, _FR_ACT_TO_TBL,
                           _FIB_RULE_INVERT * change.invert)  # fmt: skip
        body += pack_attributes(
            (_FRA_PRIORITY, change.priority), (_FRA_TABLE, change.table), (_FRA_SRC, source),
            (_FRA_DST, destination), (_FRA_IIFNAME, change.iif.encode()), (_FRA_OIFNAME, change.oif.encode()),
            (_FRA_FWMARK, change.mark if change.mask else b""), (_FRA_FWMASK, change.mask or b""),
            (_FRA_PROTOCOL, bytes((owner,))),
            (_FRA_SUPPRESS_PREFIXLEN, change.suppress if change.suppress >= 0 else b""),
        )  # fmt: skip
    return pack_request(type_, flags | NLM_F_ACK, sequence, body)


def _encode_route(route: protocol.AddRoute | protocol.DeleteRoute, owner: int) -> bytes:
    family, destination, length = read_network(route.destination, route.family)
    on_link = route.family == 4 and not (route.gateway or route.refuses)
    removes = isinstance(route, protocol.DeleteRoute)  # whatever scope and type it has
    scope = _SCOPE_NOWHERE if removes else _SCOPE_LINK if on_link else 0
    kind = 0 if removes else _RTN_UNREACHABLE if route.refuses else _RTN_UNICAST
    flags = _RTNH_F_ONLINK * route.onlink
    head = struct.pack("=8BI", family, length, 0, 0, 0, owner, scope, kind, flags)
    other, gateway, _ = read_network(route.gateway, 6 if ":" in route.gateway else 4)
    via = struct.pack("=H", other) + gateway if gateway and other != family else b""
    return head + pack_attributes(
        (_RTA_TABLE, route.table), (_RTA_PRIORITY, route.metric), (_RTA_OIF, route.ifindex or b""),
        (_RTA_DST, destination if length else b""), (_RTA_GATEWAY, b"" if via else gateway), (_RTA_VIA, via),
    )  # fmt: skip


def pack_attributes(*attributes: tuple[int, bytes | int]) -> bytes:
    """Return attributes one after another, without those that are empty. Numbers have 32 bits."""
    packed = b""
    for kind, given in attributes:
        value = struct.pack("=I", given) if isinstance(given, int) else given
        if value:
            packed += pack_attribute(kind, value)
    return packed


def read_network(text: str, family: int) -> tuple[int, bytes, int]:
    """Return family, address (none for "") and length of a prefix. Raises: ProtocolViolation."""
    address, _, length = text.partition("/")
    number = socket.AF_INET if family == 4 else socket.AF_INET6
    try:
        found = socket.inet_pton(number, address) if text else b""
    except OSError:
        raise ProtocolViolation(f"{text} is no IPv{family} address") from None
    if int(length or 0) > len(found) * 8:
        raise ProtocolViolation(f"{text} has a length beyond its address")
    return number, found, int(length or 0)


class Part(NamedTuple):
    """What the headers of one datagram of a dump say."""

    type: int
    """Of the last message."""
    sequence: int
    done: bool
    errno: int
    interrupted: bool


def read_part(datagram: bytes) -> Part:
    """Walk the headers of one datagram of a dump; a header that can't be is the end with EPROTO."""
    offset, interrupted, sequence, type_ = 0, False, 0, 0
    while offset + 16 <= len(datagram):
        length, type_, flags, sequence, _ = HEADER.unpack_from(datagram, offset)
        if length < 16 or offset + length > len(datagram):
            return Part(type_, sequence, True, 71, interrupted)
        interrupted |= bool(flags & _NLM_F_DUMP_INTR)
        if type_ in {_NLMSG_DONE, _NLMSG_ERROR}:
            code = struct.unpack_from("=i", datagram, offset + 16)[0] if length >= 20 else 0
            return Part(type_, sequence, True, abs(code), interrupted)
        offset += length + 3 & ~3
    return Part(type_, sequence, False, 0, interrupted)
