"""
Generic netlink: which family has which number, what is asked of nl80211, and what of messages is harmless.

What leaves the helper is built of attributes that are known to be harmless; whatever is not known is left
out, since it may be a secret, if of a later version: answers of WireGuard hold keys, and so may what
nl80211 tells. Decoding is netevd.kernel's. Sources: linux/genetlink.h, linux/nl80211.h.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from privsep import protocol
from privsep.protocol import ProtocolViolation
from privsep.rtnetlink import HEADER, NLM_F_DUMP, pack_attribute, pack_attributes, pack_request

Tree: TypeAlias = "Mapping[int, Tree]"
"""Attributes that are harmless, each with a tree of those in it; an empty one: whatever is in it is."""
EACH: Final = -1
"""Stands in a tree for every attribute that it does not name."""
GENERIC: Final = struct.Struct("=BBH")
_ATTRIBUTE: Final = struct.Struct("=HH")
CONTROL: Final = 16
"""Type of messages that are about families themselves; also the group of those that nobody has asked for."""
_NEWFAMILY, _DELFAMILY, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME, _GROUPS = 1, 2, 3, 1, 2, 7
"""CTRL_CMD_* and CTRL_ATTR_*. Of a group 1 is the name and 2 the number: CTRL_ATTR_MCAST_GRP_*."""
TOLD: Final = (_NEWFAMILY, _DELFAMILY, 46, 47, 48)
"""Commands that are told of: those of families, and NL80211_CMD_CONNECT, ROAM, DISCONNECT. Access points tell of each
frame."""
_GET_INTERFACE, _GET_SCAN, _IFINDEX = 5, 32, 3
RADIO: Final[Tree] = {2: {}, 3: {}, 5: {}, 6: {}, 47: {1: {}, 6: {}, 9: {}}}
"""NL80211_ATTR_IFINDEX, IFTYPE, MAC, of each BSS: BSSID, INFORMATION_ELEMENTS, STATUS. 2 is CTRL_ATTR_FAMILY_NAME."""


def encode_family(name: str, sequence: int) -> bytes:
    """Return the request for the number under which the kernel speaks of a family."""
    body = GENERIC.pack(_GETFAMILY, 1, 0) + pack_attribute(_FAMILY_NAME, f"{name}\0".encode())
    return pack_request(CONTROL, 0, sequence, body)


def encode_wireless(family: int, request: protocol.Wireless) -> bytes:
    """Return the request for all wireless links, or for the networks that one sees."""
    body = GENERIC.pack(_GET_SCAN if request.ifindex else _GET_INTERFACE, 1, 0)
    body += pack_attributes((_IFINDEX, request.ifindex or b""))
    return pack_request(family, NLM_F_DUMP, request.read, body)


def read_family(datagram: bytes) -> tuple[int, list[int]]:
    """Return the number that the kernel's answer gives, 0 for none, and groups that tell of connections."""
    known = HEADER.unpack_from(datagram)[1] == CONTROL and datagram[16] == _NEWFAMILY
    found = dict(walk(datagram[20:])) if known else {}
    groups = [dict(walk(each)) for _, each in walk(found.get(_GROUPS, b""))]
    told = [each.get(2, b"") for each in groups if each.get(1) == b"mlme\0"]
    numbers = [int.from_bytes(each, sys.byteorder) for each in (found.get(_FAMILY_ID, b""), *told)]
    return numbers[0], numbers[1:]


def redact(datagram: bytes, family: int, kept: Tree) -> bytes:
    """Return one datagram of the kernel's with what is harmless of this family. Raises: ProtocolViolation."""
    told = b""
    for (_, kind, flags, sequence, port), body in _split(datagram, HEADER):
        if kind == family:
            harmless = body[:4] + _copy(body[4:], kept)
            told += HEADER.pack(16 + len(harmless), kind, flags, sequence, port) + harmless
    return told


def _copy(attributes: bytes, kept: Tree) -> bytes:
    told = b""
    for number, body in walk(attributes):
        if (below := kept.get(number, kept.get(EACH))) is not None:
            told += pack_attribute(number, _copy(body, below) if below else body)
    return told


def walk(attributes: bytes) -> list[tuple[int, bytes]]:
    """Return number and payload of each attribute, flags left out. Raises: ProtocolViolation."""
    return [(fields[1] & 0x3FFF, body) for fields, body in _split(attributes, _ATTRIBUTE)]


def _split(data: bytes, header: struct.Struct) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield header and body of each message, or attribute, in a row. Raises: ProtocolViolation."""
    offset = 0
    while offset + header.size <= len(data):
        fields = header.unpack_from(data, offset)
        if fields[0] < header.size or offset + fields[0] > len(data):
            raise ProtocolViolation("generic netlink that does not end where it says")
        yield fields, data[offset + header.size : offset + fields[0]]
        offset += fields[0] + 3 & ~3
