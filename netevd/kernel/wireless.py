"""
What the helper forwards of nl80211, as values: which links are wireless, and which network one is in.

Pure. SSID and BSSID are those of the BSS that the kernel calls associated: who asked for the connection,
a driver or a program, the kernel remembers otherwise in each case. Source: linux/nl80211.h,
linux/genetlink.h, IEEE 802.11 section 9.4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from netevd.kernel.attributes import DecodeError, read_attributes, read_mac, walk_attributes
from netevd.model.link import IfIndex

_HEADER: Final = struct.Struct("=IHHIIBBH")
"""struct nlmsghdr: length, type, flags, sequence, port; struct genlmsghdr: command, version, reserved."""
_NLM_F_DUMP_INTR: Final = 0x10
_CONTROL: Final = 16
"""GENL_ID_CTRL: the message is about a family."""
_FAMILY_NAME: Final = 2
"""CTRL_ATTR_FAMILY_NAME."""
_CONNECT, _ROAM, _DISCONNECT = 46, 47, 48
_NEW_INTERFACE, _NEW_SCAN_RESULTS = 7, 34
_IFINDEX, _IFTYPE, _BSS = 3, 5, 47
"""NL80211_ATTR_*."""
_STATIONS: Final = frozenset((2, 8))
"""NL80211_IFTYPE_STATION, P2P_CLIENT: those that are in a network of somebody else's."""
_BSSID, _ELEMENTS, _STATUS = 1, 6, 9
"""NL80211_BSS_*."""
_ASSOCIATED: Final = 1
"""NL80211_BSS_STATUS_ASSOCIATED."""
_SSID, _SSID_LIMIT = 0, 32
"""Element number, and octets of its content at most."""

News = Literal["joined", "left", "appeared", ""]
"""What a message hints at: a link is in a network, is in none, wireless links may have come at all; or nothing."""


class Network(NamedTuple):
    """The network that a link is in."""

    ssid: str
    """Bytes that are no UTF-8 are kept by surrogateescape; "" where it is hidden."""
    bssid: str
    """Link-layer address of the access point, colon-separated hex."""


def decode_news(datagram: bytes) -> News:
    """Return what a message hints at that nobody has asked for. Raises: DecodeError."""
    news: News = ""
    for kind, _, command, attributes in _walk(datagram):
        if kind == _CONTROL:
            name = read_attributes(attributes, 0, len(attributes), frozenset((_FAMILY_NAME,)))
            if name.get(_FAMILY_NAME) == b"nl80211\0":
                news = "appeared"
        elif command in {_CONNECT, _ROAM}:
            news = "joined"
        elif command == _DISCONNECT:
            news = "left"
    return news


def decode_stations(datagrams: Iterable[bytes]) -> list[IfIndex]:
    """Return the links that may be in a network, of a dump of all interfaces. Raises: DecodeError."""
    wanted = frozenset((_IFINDEX, _IFTYPE))
    found: dict[IfIndex, None] = {}
    for datagram in datagrams:
        for _, _, command, attributes in _walk(datagram):
            told = read_attributes(attributes, 0, len(attributes), wanted)
            numbers = [_read_number(told.get(each, b"")) for each in (_IFTYPE, _IFINDEX)]
            if command == _NEW_INTERFACE and numbers[0] in _STATIONS and 0 < numbers[1] < 2**31:
                found[IfIndex(numbers[1])] = None
    return list(found)


def decode_network(datagrams: Iterable[bytes]) -> tuple[Network | None, bool]:
    """
    Return the network that a link is in, of a dump of those that it sees, and whether the dump is whole.

    Raises: DecodeError.
    """
    whole = True
    network = None
    for datagram in datagrams:
        for _, flags, command, attributes in _walk(datagram):
            whole = whole and not flags & _NLM_F_DUMP_INTR
            if command == _NEW_SCAN_RESULTS:
                bss = read_attributes(attributes, 0, len(attributes), frozenset((_BSS,)))
                network = _read_bss(bss.get(_BSS, b"")) or network
    return network, whole


def _read_bss(attributes: bytes) -> Network | None:
    told = dict(walk_attributes(attributes, 0))
    bssid = read_mac(told.get(_BSSID, b"")[:6])
    if _read_number(told.get(_STATUS, b"\xff" * 4)) != _ASSOCIATED or not bssid:
        return None
    return Network(_find_ssid(told.get(_ELEMENTS, b"")), bssid)


def _find_ssid(elements: bytes) -> str:
    """Return the SSID of a row of elements: number, length, content. A hidden one is empty, or all zeros."""
    offset = 0
    while offset + 2 <= len(elements):
        number, length = elements[offset], elements[offset + 1]
        content = elements[offset + 2 : offset + 2 + length]
        if number == _SSID and length <= _SSID_LIMIT and len(content) == length:
            return content.decode("utf-8", "surrogateescape") if any(content) else ""
        offset += 2 + length
    return ""


def _read_number(value: bytes) -> int:
    if len(value) != 4:
        return 0
    (number,) = struct.unpack("=I", value)
    return int(number)


def _walk(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield type, flags, command and attributes of each message. Raises: DecodeError."""
    start, end = 0, len(datagram)
    while start + _HEADER.size <= end:
        length, kind, flags, _, _, command, _, _ = _HEADER.unpack_from(datagram, start)
        limit = start + length
        if length < _HEADER.size or limit > end:
            raise DecodeError(f"message of {length} bytes, {end - start} are there", start)
        yield kind, flags, command, datagram[start + _HEADER.size : limit]
        start = (limit + 3) & ~3
