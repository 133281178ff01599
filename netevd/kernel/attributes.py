"""
Attributes of a netlink message: the walk over them, and the values that several messages share.

Pure. What an attribute means to a link or a route is the business of its own decoder.
Source: netlink(7), linux/netlink.h.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from socket import AF_INET, AF_INET6
from typing import Final

_TYPE_MASK: Final = 0x3FFF
"""Without NLA_F_NESTED and NLA_F_NET_BYTEORDER. Source: NLA_TYPE_MASK, linux/netlink.h."""

_MAC_SIZES: Final = frozenset((6, 7, 8, 20))
"""
Octets of a link-layer address: Ethernet, AX.25, EUI-64, InfiniBand. IPv4 and IPv6 tunnels put their
own IP address (4 or 16 octets) into IFLA_ADDRESS, which is none.
"""

_ATTRIBUTE: Final = struct.Struct("=HH")
"""struct nlattr: length with this header, type."""

FAMILIES: Final[dict[int, tuple[int, int]]] = {AF_INET: (4, 4), AF_INET6: (6, 16)}
"""Address family to our name for it and the octets of an address."""


class DecodeError(Exception):
    """Bytes that are no rtnetlink message as the kernel makes it."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(f"netlink datagram, offset {offset}: {problem}")
        self.problem = problem
        self.offset = offset
        """Where in the datagram the message or attribute in question begins."""


def read_attributes(
    data: bytes, start: int, limit: int, wanted: frozenset[int]
) -> dict[int, bytes]:
    """Return the wanted attributes between two offsets of `data`. Raises: DecodeError."""
    found: dict[int, bytes] = {}
    unpack = _ATTRIBUTE.unpack_from
    try:
        while start < limit:
            length, kind = unpack(data, start)
            end = start + length
            if length < 4 or end > limit:
                raise DecodeError(
                    f"attribute {kind} of {length} bytes, {limit - start} left", start
                )
            kind &= _TYPE_MASK
            if kind in wanted:
                found[kind] = data[start + 4 : end]
            start = (end + 3) & ~3
    except struct.error:
        raise DecodeError(f"{limit - start} bytes left, an attribute needs 4", start) from None
    return found


def walk_attributes(data: bytes, where: int) -> Iterator[tuple[int, bytes]]:
    """Yield every attribute of a nested one, in order. Raises: DecodeError."""
    start, limit = 0, len(data)
    while start < limit:
        if limit - start < 4:
            raise DecodeError(f"{limit - start} bytes left, a nested attribute needs 4", where)
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        end = start + length
        if length < 4 or end > limit:
            raise DecodeError(f"nested attribute {kind} of {length} bytes", where)
        yield kind & _TYPE_MASK, data[start + 4 : end]
        start = (end + 3) & ~3


def read_number(value: bytes | None, size: int, name: str, where: int) -> int:
    """Return an unsigned number of the kernel's byte order, 0 for an absent one."""
    if value is None:
        return 0
    if len(value) != size:
        raise DecodeError(f"{name} of {len(value)} bytes, expected {size}", where)
    return int.from_bytes(value, sys.byteorder)


def read_text(value: bytes) -> str:
    """Return the text before the first NUL; what is not UTF-8 is kept by surrogateescape."""
    return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def read_mac(value: bytes | None) -> str:
    """Return a link-layer address as colon-separated hex, "" where it is none."""
    return value.hex(":") if value is not None and len(value) in _MAC_SIZES else ""
