"""
Messages of links, addresses, neighbours and namespace numbers: their layout, and what it says.

Pure. Source: rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/neighbour.h,
linux/net_namespace.h.
"""

from __future__ import annotations

import struct
import sys
from socket import AF_UNSPEC, inet_ntop
from typing import Final

from netevd.kernel.attributes import (
    FAMILIES,
    DecodeError,
    read_attributes,
    read_mac,
    read_number,
    read_text,
    walk_attributes,
)
from netevd.model.address import FOREVER, Address
from netevd.model.inputs import AddressGone, AddressSeen, LinkGone, LinkSeen
from netevd.model.link import COUNTERS_SIZE, IfIndex, Link
from netevd.model.neighbour import Namespace, Neighbour

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_NEWNEIGH: Final = 28
RTM_DELNEIGH: Final = 29
RTM_NEWNSID: Final = 88
RTM_DELNSID: Final = 89
"""Message types. Source: linux/rtnetlink.h."""

_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_LINK: Final = 5
_IFLA_MASTER: Final = 10
_IFLA_OPERSTATE: Final = 16
_IFLA_LINKINFO: Final = 18
_IFLA_STATS64: Final = 23
_IFLA_LINK_NETNSID: Final = 37
_IFLA_PROP_LIST: Final = 52
_IFLA_ALT_IFNAME: Final = 53
_IFLA_PERM_ADDRESS: Final = 54
_IFLA_INFO_KIND: Final = 1
_LINK_ATTRIBUTES: Final = frozenset(
    (
        _IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_OPERSTATE,
        _IFLA_LINKINFO, _IFLA_STATS64, _IFLA_LINK_NETNSID, _IFLA_PROP_LIST, _IFLA_PERM_ADDRESS,
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

_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
"""Source: linux/neighbour.h."""
_NETNSA_NSID: Final = 1
"""Source: linux/net_namespace.h."""

_IFINFO: Final = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, change mask."""
_IFADDR: Final = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index, state, flags, type."""


def decode_link(datagram: bytes, start: int, limit: int, _flags: int, dump: int) -> LinkSeen | None:
    """
    Return what an RTM_NEWLINK says, or None where it speaks of something else.

    Only AF_UNSPEC speaks of the link itself: IPv6 settings are told as family AF_INET6.
    """
    ifindex, flags = _read_link_header(datagram, start, limit)
    if not ifindex:
        return None
    found = read_attributes(datagram, start + 32, limit, _LINK_ATTRIBUTES)
    get = found.get
    name = get(_IFLA_IFNAME)
    if name is None:
        return None  # a wireless event: it carries IFLA_WIRELESS and nothing else
    link = Link(
        ifindex,
        read_text(name),
        flags,
        read_number(get(_IFLA_OPERSTATE), 1, "operstate", start),
        read_number(get(_IFLA_MTU), 4, "MTU", start),
        read_mac(get(_IFLA_ADDRESS)),
        read_mac(get(_IFLA_PERM_ADDRESS)),
        _read_kind(get(_IFLA_LINKINFO), start),
        IfIndex(read_number(get(_IFLA_MASTER), 4, "master", start)),
        _read_altnames(get(_IFLA_PROP_LIST), start),
        IfIndex(read_number(get(_IFLA_LINK), 4, "link below", start)),
        _read_netnsid(get(_IFLA_LINK_NETNSID), start),
        get(_IFLA_STATS64, b"")[:COUNTERS_SIZE],
    )
    return LinkSeen(link, dump)


def decode_link_gone(
    datagram: bytes, start: int, limit: int, _flags: int, _dump: int
) -> LinkGone | None:
    """
    Return what an RTM_DELLINK says, or None where it speaks of something else.

    A port that leaves its bridge is announced as RTM_DELLINK of family AF_BRIDGE.
    """
    ifindex, _ = _read_link_header(datagram, start, limit)
    return LinkGone(ifindex) if ifindex else None


def _read_link_header(datagram: bytes, start: int, limit: int) -> tuple[IfIndex, int]:
    """Return ifindex and flags of a link message, ifindex 0 where it speaks of something else."""
    if limit - start < 32:
        raise DecodeError(f"link message of {limit - start} bytes, expected 32 or more", start)
    family, _, number, flags, _ = _IFINFO.unpack_from(datagram, start + 16)
    if family != AF_UNSPEC:
        return IfIndex(0), 0
    if number <= 0:
        raise DecodeError(f"link message for ifindex {number}, expected 1 or more", start)
    return IfIndex(number), flags


def decode_address_seen(
    datagram: bytes, start: int, limit: int, _flags: int, dump: int
) -> AddressSeen | None:
    """Return what an RTM_NEWADDR says, or None where it is neither IPv4 nor IPv6."""
    address = _decode_address(datagram, start, limit)
    return None if address is None else AddressSeen(address, dump)


def decode_address_gone(
    datagram: bytes, start: int, limit: int, _flags: int, _dump: int
) -> AddressGone | None:
    """Return what an RTM_DELADDR says, or None where it is neither IPv4 nor IPv6."""
    address = _decode_address(datagram, start, limit)
    return None if address is None else AddressGone(address)


def _decode_address(datagram: bytes, start: int, limit: int) -> Address | None:
    """
    Return the address of a message, or None where it is neither IPv4 nor IPv6.

    IFA_ADDRESS is the other end where IFA_LOCAL is given and differs; IPv6 without a peer sends
    only IFA_ADDRESS, and IPv4 sends neither for 0.0.0.0.
    """
    if limit - start < 24:
        raise DecodeError(f"address message of {limit - start} bytes, expected 24 or more", start)
    family, prefix, flags, scope, number = _IFADDR.unpack_from(datagram, start + 16)
    known = FAMILIES.get(family)
    if known is None:
        return None
    version, size = known
    if prefix > size * 8:
        raise DecodeError(f"prefix length {prefix} of an IPv{version} address", start)
    found = read_attributes(datagram, start + 24, limit, _ADDRESS_ATTRIBUTES)
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
    return Address(
        IfIndex(number),
        version,
        inet_ntop(family, local),
        prefix,
        scope,
        flags if wide is None else read_number(wide, 4, "address flags", start),
        "" if remote is None or remote == local else inet_ntop(family, remote),
        "" if label is None else read_text(label),
        preferred,
        valid,
    )


def decode_neighbour(datagram: bytes, start: int, limit: int) -> Neighbour | None:
    """Return what a neighbour message says, or None where it is neither IPv4 nor IPv6."""
    if limit - start < 28:
        raise DecodeError(f"neighbour message of {limit - start} bytes, expected 28 or more", start)
    family, number, state, flags, _ = _NEIGHBOUR.unpack_from(datagram, start + 16)
    known = FAMILIES.get(family)
    if known is None:
        return None  # a bridge's forwarding entry
    version, size = known
    found = read_attributes(datagram, start + 28, limit, frozenset((_NDA_DST, _NDA_LLADDR)))
    address = found.get(_NDA_DST)
    if address is None or len(address) != size:
        raise DecodeError(f"IPv{version} neighbour without an address of {size} bytes", start)
    mac = read_mac(found.get(_NDA_LLADDR))
    return Neighbour(IfIndex(number), version, inet_ntop(family, address), mac, state, flags)


def decode_namespace(datagram: bytes, start: int, limit: int) -> Namespace:
    """Return what a message about a namespace number says. Source: linux/net_namespace.h."""
    found = read_attributes(datagram, start + 20, limit, frozenset((_NETNSA_NSID,)))
    number = read_number(found.get(_NETNSA_NSID), 4, "namespace number", start)
    return Namespace(number - (1 << 32) if number >> 31 else number)


def _read_netnsid(value: bytes | None, where: int) -> int | None:
    """Return the namespace number, None for an absent one."""
    return None if value is None else read_number(value, 4, "link namespace", where)


def _read_kind(value: bytes | None, where: int) -> str:
    """Return IFLA_INFO_KIND of IFLA_LINKINFO, "" for hardware."""
    if value is None:
        return ""
    for kind, inner in walk_attributes(value, where):
        if kind == _IFLA_INFO_KIND:
            return read_text(inner)
    return ""


def _read_altnames(value: bytes | None, where: int) -> tuple[str, ...]:
    """Return the alternative names of IFLA_PROP_LIST."""
    if value is None:
        return ()
    return tuple(
        read_text(inner)
        for kind, inner in walk_attributes(value, where)
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
