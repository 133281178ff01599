"""
Addresses that lead to this machine or no further than a link, whatever form they are written in.

Belongs here: what an address says by itself. Which addresses this machine has is not known here.
Sources: the IANA special-purpose address registries (RFC 6890), and the RFC of each form below.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

NEVER: Final = frozenset({"unspecified", "multicast", "reserved"})
"""Localities that nothing can be posted to, whatever is allowed."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Source: RFC 6052 section 2.1."""
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
"""Where an operator may choose prefixes of 48 to 96 bits. Source: RFC 8215."""
_COMPATIBLE: Final = IPv6Network("::/96")
"""Source: RFC 4291 section 2.5.5.1."""
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")
"""Source: RFC 2765 section 2.1."""
_METADATA: Final = frozenset({IPv6Address("fd00:ec2::254"), IPv4Address("100.100.100.200")})
"""Where clouds that do not use a link-local address tell a machine its secrets. Source: their manuals."""
_NULL: Final = IPv4Network("0.0.0.0/8")
_RESERVED4: Final = IPv4Network("240.0.0.0/4")
"""With the limited broadcast. Source: RFC 1112 section 4, RFC 919."""
_SITE_LOCAL: Final = IPv6Network("fec0::/10")
"""Source: RFC 3879."""


def find_locality(address: Address) -> str:
    """
    Return loopback, link-local, unspecified, multicast, reserved or metadata; "" for none of these.

    An IPv6 address that holds an IPv4 address counts as both: the worse of the two is told.
    """
    found = [_judge(address), *map(_judge, _find_embedded(address))]
    worst = [each for each in found if each in NEVER] or [each for each in found if each]
    return worst[0] if worst else ""


def _judge(address: Address) -> str:
    if address in _METADATA:
        return "metadata"
    if isinstance(address, IPv4Address):
        return _judge4(address)
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_multicast:
        return "multicast"
    if address.is_link_local or address in _SITE_LOCAL:
        return "link-local"
    return ""


def _judge4(address: IPv4Address) -> str:
    if address in _NULL:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    return "reserved" if address in _RESERVED4 else ""


def _find_embedded(address: Address) -> Iterator[IPv4Address]:
    """Yield each IPv4 address that an IPv6 address may stand for."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:  # RFC 3056
        yield address.sixtofour
    if address.teredo is not None:  # RFC 4380
        yield from address.teredo
    if address in _NAT64 or address in _TRANSLATED:
        yield low
    if address in _COMPATIBLE and number > 1:
        yield low
    if number >> 32 & 0xFDFFFFFF == 0x00005EFE:  # ISATAP, RFC 5214 section 6.1
        yield low
    if address in _LOCAL_NAT64:
        # bits 64 to 71 are left out. Source: RFC 6052 section 2.2
        squeezed = number >> 64 << 56 | number & (1 << 56) - 1
        found = [IPv4Address(squeezed >> 88 - length & 0xFFFFFFFF) for length in (48, 56, 64)]
        # of four readings one is meant, so what only the others make of it says nothing
        yield from (each for each in (*found, low) if _judge4(each) in {"loopback", "link-local"})
