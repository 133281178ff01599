"""
Generic netlink: which family has which number, what is asked of nl80211, and what of messages is harmless.

What leaves the helper is built of attributes that are known to be harmless; whatever is not known is left
out, since it may be a secret, if of a later version: answers of WireGuard hold keys, and so may what
nl80211 tells. Decoding is netevd.kernel's. Sources: linux/genetlink.h, linux/nl80211.h.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from privsep import protocol, rtnetlink
from privsep.protocol import ProtocolViolation
from privsep.rtnetlink import HEADER, NLM_F_DUMP, pack_attribute, pack_request

Tree: TypeAlias = Mapping[int, Any]
"""Attributes that are harmless, each with a tree of those in it, or with ALL."""
ALL: Final[Tree] = {}
"""Whatever is in it is harmless."""
EACH: Final = -1
"""Stands in a tree for every attribute that it does not name."""
GENERIC: Final = struct.Struct("=BBH")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NETLINK_GENERIC = 16
CONTROL: Final = 16
"""Type of messages that are about families themselves; also the group of those that nobody has asked for."""
_NEWFAMILY, DELFAMILY, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME, _GROUPS = 1, 2, 3, 1, 2, 7
"""CTRL_CMD_* and CTRL_ATTR_*. Of a group 1 is the name and 2 the number: CTRL_ATTR_MCAST_GRP_*."""
_TOLD: Final = (_NEWFAMILY, DELFAMILY, 46, 47, 48)
"""Commands that are heard: those of families, and NL80211_CMD_CONNECT, ROAM, DISCONNECT."""
_GET_INTERFACE, _GET_SCAN, _IFINDEX = 5, 32, 3
RADIO: Final[Tree] = {2: ALL, 3: ALL, 5: ALL, 6: ALL, 47: {1: ALL, 6: ALL, 9: ALL}}
"""NL80211_ATTR_IFINDEX, IFTYPE, MAC, of each BSS: BSSID, INFORMATION_ELEMENTS, STATUS. 2 is CTRL_ATTR_FAMILY_NAME."""


def open_socket() -> socket.socket:
    """Return a socket for questions, that also hears of families: of what is told no more than `_TOLD`."""
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    sock = socket.socket(socket.AF_NETLINK, kind, _NETLINK_GENERIC)
    sock.bind((0, 0))
    # an access point tells of each frame; answers, which have a sequence, pass
    steps = [(rtnetlink.LOAD, 8, ""), (rtnetlink.IF_EQUAL, 0, "told"), (rtnetlink.RETURN, 0xFFFFFFFF, "")]  # fmt: skip
    heard = [(rtnetlink.LOAD_BYTE, 16, ""), *((rtnetlink.IF_EQUAL, each, "pass") for each in _TOLD)]
    steps += [*heard, (rtnetlink.RETURN, 0, ""), (rtnetlink.RETURN, 0xFFFFFFFF, "")]
    rtnetlink.attach(sock, rtnetlink.assemble(steps, {"told": 3, "pass": len(steps) - 1}))
    join(sock, CONTROL)
    return sock


def join(sock: socket.socket, group: int) -> None:
    """Hear what the kernel tells of this group."""
    sock.setsockopt(rtnetlink.SOL_NETLINK, rtnetlink.ADD_MEMBERSHIP, group)


def encode_family(name: str, sequence: int) -> bytes:
    """Return the request for the number under which the kernel speaks of a family."""
    body = GENERIC.pack(_GETFAMILY, 1, 0) + pack_attribute(_FAMILY_NAME, f"{name}\0".encode())
    return pack_request(CONTROL, 0, sequence, body)


def encode_wireless(family: int, request: protocol.Wireless) -> bytes:
    """Return the request for all wireless links, or for the networks that one sees."""
    body = GENERIC.pack(_GET_SCAN if request.ifindex else _GET_INTERFACE, 1, 0)
    if request.ifindex:
        body += pack_attribute(_IFINDEX, struct.pack("=I", request.ifindex))
    return pack_request(family, NLM_F_DUMP, request.read, body)


def read_family(datagram: bytes) -> tuple[int, list[int]]:
    """Return the number that the kernel's answer gives, 0 for none, and groups that tell of connections."""
    known = HEADER.unpack_from(datagram)[1] == CONTROL and datagram[16] == _NEWFAMILY
    found = dict(walk(datagram[20:])) if known else {}
    groups = [dict(walk(each)) for _, each in walk(found.get(_GROUPS, b""))]
    told = [_read(each.get(2, b"")) for each in groups if each.get(1) == b"mlme\0"]
    return _read(found.get(_FAMILY_ID, b"")), told


def _read(number: bytes) -> int:
    return int.from_bytes(number, sys.byteorder)


def redact(datagram: bytes, family: int, kept: Tree) -> bytes:
    """Return one datagram of the kernel's with what is harmless of this family. Raises: ProtocolViolation."""
    told = bytearray()
    offset = 0
    while offset + 20 <= len(datagram):
        length, kind, flags, sequence, port = HEADER.unpack_from(datagram, offset)
        if length < 20 or offset + length > len(datagram):
            raise ProtocolViolation("a message of generic netlink that does not end where it says")
        if kind == family:
            body = datagram[offset + 16 : offset + 20]
            body += _copy(datagram[offset + 20 : offset + length], kept)
            told += HEADER.pack(16 + len(body), kind, flags, sequence, port) + body
        offset += length + 3 & ~3
    return bytes(told)


def _copy(attributes: bytes, kept: Tree) -> bytes:
    told = b""
    for number, body in walk(attributes):
        below = kept.get(number, kept.get(EACH))
        if below is not None:
            told += pack_attribute(number, _copy(body, below) if below else body)
    return told


def walk(attributes: bytes) -> list[tuple[int, bytes]]:
    """Return number and payload of each attribute, flags left out. Raises: ProtocolViolation."""
    found = []
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, offset)
        if length < 4 or offset + length > len(attributes):
            raise ProtocolViolation("an attribute that does not end where it says")
        found.append((kind & 0x3FFF, attributes[offset + 4 : offset + length]))
        offset += length + 3 & ~3
    return found
