"""
The only rtnetlink decoder: bytes of the kernel in, inputs of the core out.

Pure: no sockets, no state. Belongs here: the layout of messages and attributes. Does not belong
here: what a change means (core.observe), acknowledgements and the end of dumps (the helper).
Source: rtnetlink(7), netlink(7), linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, AF_UNSPEC, inet_ntop
from typing import Final

from netevd.model.address import FOREVER, Address
from netevd.model.inputs import AddressGone, AddressSeen, Input, LinkGone, LinkSeen
from netevd.model.link import IfIndex, Link

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
"""Message types. Source: linux/rtnetlink.h."""

_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_LINK: Final = 5
_IFLA_MASTER: Final = 10
_IFLA_OPERSTATE: Final = 16
_IFLA_LINKINFO: Final = 18
_IFLA_LINK_NETNSID: Final = 37
_IFLA_PROP_LIST: Final = 52
_IFLA_ALT_IFNAME: Final = 53
_IFLA_PERM_ADDRESS: Final = 54
_IFLA_INFO_KIND: Final = 1
_LINK_ATTRIBUTES: Final = frozenset(
    (
        _IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_OPERSTATE,
        _IFLA_LINKINFO, _IFLA_LINK_NETNSID, _IFLA_PROP_LIST, _IFLA_PERM_ADDRESS,
    )
)  # fmt: skip
"""Attributes of a link that netevd reads, of about fifty. Source: linux/if_link.h."""

_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_LABEL: Final = 3
_IFA_CACHEINFO: Final = 6
_IFA_FLAGS: Final = 8
_ADDRESS_ATTRIBUTES: Final = frozenset(
    (_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_CACHEINFO, _IFA_FLAGS)
)
"""Attributes of an address that netevd reads. Source: linux/if_addr.h."""

_TYPE_MASK: Final = 0x3FFF
"""Without NLA_F_NESTED and NLA_F_NET_BYTEORDER. Source: NLA_TYPE_MASK, linux/netlink.h."""

_MAC_SIZES: Final = frozenset((6, 7, 8, 20))
"""
Octets of a link-layer address: Ethernet, AX.25, EUI-64, InfiniBand. IPv4 and IPv6 tunnels put their
own IP address (4 or 16 octets) into IFLA_ADDRESS, which is none.
"""

_HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""
_IFINFO: Final = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, change mask."""
_IFADDR: Final = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
_ATTRIBUTE: Final = struct.Struct("=HH")
"""struct nlattr: length with this header, type."""

_FAMILIES: Final = {AF_INET: (4, 4), AF_INET6: (6, 16)}
"""Address family to our name for it and the octets of an address."""


class DecodeError(Exception):
    """Bytes that are no rtnetlink message as the kernel makes it."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(f"netlink datagram, offset {offset}: {problem}")
        self.offset = offset
        """Where in the datagram the message or attribute in question begins."""


def decode(datagram: bytes, dump: int = 0) -> list[Input]:
    """
    Return what one datagram says, in its order; messages of no concern to us are left out.

    `datagram` is what one recv returned: any number of whole messages. `dump` is the number of the
    dump it belongs to, 0 for events. Raises: DecodeError.
    """
    inputs: list[Input] = []
    start, end = 0, len(datagram)
    while start < end:
        if end - start < 16:
            raise DecodeError(f"{end - start} bytes left, a message header needs 16", start)
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, start)
        limit = start + length
        if length < 16 or limit > end:
            raise DecodeError(f"message of {length} bytes, {end - start} are there", start)
        found: Input | None = None
        if kind == RTM_NEWLINK or kind == RTM_DELLINK:
            found = _decode_link(datagram, start, limit, kind, dump)
        elif kind == RTM_NEWADDR or kind == RTM_DELADDR:
            found = _decode_address(datagram, start, limit, kind, dump)
        if found is not None:
            inputs.append(found)
        start = (limit + 3) & ~3
    return inputs


def _decode_link(
    datagram: bytes, start: int, limit: int, kind: int, dump: int
) -> LinkSeen | LinkGone | None:
    """
    Return what a link message says, or None where it speaks of something else.

    Only AF_UNSPEC speaks of the link itself: a port that leaves its bridge is announced as
    RTM_DELLINK of family AF_BRIDGE, and IPv6 settings as RTM_NEWLINK of family AF_INET6.
    """
    if limit - start < 32:
        raise DecodeError(f"link message of {limit - start} bytes, expected 32 or more", start)
    family, _, number, flags, _ = _IFINFO.unpack_from(datagram, start + 16)
    if family != AF_UNSPEC:
        return None
    if number <= 0:
        raise DecodeError(f"link message for ifindex {number}, expected 1 or more", start)
    ifindex = IfIndex(number)
    if kind == RTM_DELLINK:
        return LinkGone(ifindex)
    found = _read_attributes(datagram, start + 32, limit, _LINK_ATTRIBUTES)
    get = found.get
    name = get(_IFLA_IFNAME)
    if name is None:
        return None  # a wireless event: it carries IFLA_WIRELESS and nothing else
    link = Link(
        ifindex,
        _read_text(name),
        flags,
        _read_number(get(_IFLA_OPERSTATE), 1, "operstate", start),
        _read_number(get(_IFLA_MTU), 4, "MTU", start),
        _read_mac(get(_IFLA_ADDRESS)),
        _read_mac(get(_IFLA_PERM_ADDRESS)),
        _read_kind(get(_IFLA_LINKINFO), start),
        IfIndex(_read_number(get(_IFLA_MASTER), 4, "master", start)),
        _read_altnames(get(_IFLA_PROP_LIST), start),
        IfIndex(_read_number(get(_IFLA_LINK), 4, "link below", start)),
        _read_netnsid(get(_IFLA_LINK_NETNSID), start),
    )
    return LinkSeen(link, dump)


def _decode_address(
    datagram: bytes, start: int, limit: int, kind: int, dump: int
) -> AddressSeen | AddressGone | None:
    """
    Return what an address message says, or None where it is neither IPv4 nor IPv6.

    IFA_ADDRESS is the other end where IFA_LOCAL is given and differs; IPv6 without a peer sends
    only IFA_ADDRESS, and IPv4 sends neither for 0.0.0.0.
    """
    if limit - start < 24:
        raise DecodeError(f"address message of {limit - start} bytes, expected 24 or more", start)
    family, prefix, flags, scope, number = _IFADDR.unpack_from(datagram, start + 16)
    known = _FAMILIES.get(family)
    if known is None:
        return None
    version, size = known
    if prefix > size * 8:
        raise DecodeError(f"prefix length {prefix} of an IPv{version} address", start)
    found = _read_attributes(datagram, start + 24, limit, _ADDRESS_ATTRIBUTES)
    get = found.get
    remote = get(_IFA_ADDRESS)
    local = get(_IFA_LOCAL, remote)
    if local is None:
        local = bytes(size)
    if len(local) != size or (remote is not None and len(remote) != size):
        raise DecodeError(f"IPv{version} address that has not {size} bytes", start)
    wide = get(_IFA_FLAGS)
    label = get(_IFA_LABEL)
    preferred, valid = _read_lifetimes(get(_IFA_CACHEINFO), start)
    address = Address(
        IfIndex(number),
        version,
        inet_ntop(family, local),
        prefix,
        scope,
        flags if wide is None else _read_number(wide, 4, "address flags", start),
        "" if remote is None or remote == local else inet_ntop(family, remote),
        "" if label is None else _read_text(label),
        preferred,
        valid,
    )
    return AddressSeen(address, dump) if kind == RTM_NEWADDR else AddressGone(address)


def _read_attributes(
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


def _walk_attributes(data: bytes, where: int) -> Iterator[tuple[int, bytes]]:
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


def _read_number(value: bytes | None, size: int, name: str, where: int) -> int:
    """Return an unsigned number of the kernel's byte order, 0 for an absent one."""
    if value is None:
        return 0
    if len(value) != size:
        raise DecodeError(f"{name} of {len(value)} bytes, expected {size}", where)
    return int.from_bytes(value, sys.byteorder)


def _read_netnsid(value: bytes | None, where: int) -> int | None:
    """Return the namespace number, None for an absent one."""
    return None if value is None else _read_number(value, 4, "link namespace", where)


def _read_text(value: bytes) -> str:
    """Return the text before the first NUL; what is not UTF-8 is kept by surrogateescape."""
    return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _read_mac(value: bytes | None) -> str:
    """Return a link-layer address as colon-separated hex, "" where it is none."""
    return value.hex(":") if value is not None and len(value) in _MAC_SIZES else ""


def _read_kind(value: bytes | None, where: int) -> str:
    """Return IFLA_INFO_KIND of IFLA_LINKINFO, "" for hardware."""
    if value is None:
        return ""
    for kind, inner in _walk_attributes(value, where):
        if kind == _IFLA_INFO_KIND:
            return _read_text(inner)
    return ""


def _read_altnames(value: bytes | None, where: int) -> tuple[str, ...]:
    """Return the alternative names of IFLA_PROP_LIST."""
    if value is None:
        return ()
    return tuple(
        _read_text(inner)
        for kind, inner in _walk_attributes(value, where)
        if kind == _IFLA_ALT_IFNAME
    )


def _read_lifetimes(value: bytes | None, where: int) -> tuple[int, int]:
    """Return preferred and valid lifetime in seconds. Source: struct ifa_cacheinfo."""
    if value is None:
        return FOREVER, FOREVER
    if len(value) < 8:
        raise DecodeError(f"lifetimes of {len(value)} bytes, expected 8 or more", where)
    return (
        int.from_bytes(value[:4], sys.byteorder),
        int.from_bytes(value[4:8], sys.byteorder),
    )
