"""
What the helper forwards of WireGuard devices, as values: the kernel's messages and userspace's lines.

Keys other than public ones never come here: the helper leaves them out. Sources: linux/wireguard.h,
wireguard.com/xplatform.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import struct
from collections.abc import Iterator
from typing import Final

from netevd.model.wireguard import Device, Peer

_TIMESPEC: Final = struct.Struct("=qq")
_NONE: Final = bytes(16)
_NUMBERS: Final = (
    "last_handshake_time_sec", "last_handshake_time_nsec", "rx_bytes", "tx_bytes",
    "persistent_keepalive_interval",
)  # fmt: skip


class Malformed(Exception):
    """A device says what it can't mean."""


def decode_kernel(datagrams: list[bytes]) -> Device:
    """
    Return a device of all messages of one dump.

    A peer with many prefixes goes on in the next message, with its key and more prefixes alone.
    Raises: Malformed.
    """
    told: dict[int, bytes] = {}
    peers: dict[bytes, dict[int, bytes]] = {}
    prefixes: dict[bytes, list[str]] = {}
    try:
        for message in _split(datagrams):
            found = dict(_walk(message))
            for _, each in _walk(found.pop(8, b"")):
                peer = dict(_walk(each))
                key = peer[1]
                prefixes.setdefault(key, []).extend(
                    _decode_prefix(prefix) for _, prefix in _walk(peer.pop(9, b""))
                )
                peers.setdefault(key, {}).update(peer)
            told |= found
        return Device(
            "kernel",
            _show_key(told[4]) if 4 in told else "",
            struct.unpack("=H", told.get(6, _NONE)[:2])[0],
            struct.unpack("=I", told.get(7, _NONE)[:4])[0],
            tuple(_decode_peer(peer, prefixes[key]) for key, peer in peers.items()),
        )
    except KeyError as error:
        raise Malformed(f"a peer without attribute {error}") from None
    except (struct.error, ValueError, IndexError) as error:
        raise Malformed(str(error)) from None


def _split(datagrams: list[bytes]) -> Iterator[bytes]:
    """Yield the attributes of each message."""
    for datagram in datagrams:
        offset = 0
        while offset + 20 <= len(datagram):
            (length,) = struct.unpack_from("=I", datagram, offset)
            if length < 20:
                raise Malformed(f"a message of {length} octets")
            yield datagram[offset + 20 : offset + length]
            offset += length + 3 & ~3


def _walk(attributes: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        if length < 4:
            raise Malformed(f"an attribute of {length} octets")
        yield kind & 0x3FFF, attributes[offset + 4 : offset + length]
        offset += length + 3 & ~3


def _decode_peer(told: dict[int, bytes], prefixes: list[str]) -> Peer:
    seconds, nanoseconds = _TIMESPEC.unpack(told.get(6, _NONE)[:16])
    return Peer(
        _show_key(told[1]),
        _decode_endpoint(told[4]) if 4 in told else "",
        tuple(prefixes),
        seconds * 10**9 + nanoseconds,
        struct.unpack("=Q", told.get(7, _NONE)[:8])[0],
        struct.unpack("=Q", told.get(8, _NONE)[:8])[0],
        struct.unpack("=H", told.get(5, _NONE)[:2])[0],
    )


def _decode_endpoint(payload: bytes) -> str:
    """Return a struct sockaddr_in or sockaddr_in6 as text."""
    (family,) = struct.unpack("=H", payload[:2])
    (port,) = struct.unpack("!H", payload[2:4])
    if family == 2:
        return f"{ipaddress.IPv4Address(payload[4:8])}:{port}"
    if family == 10:
        (scope,) = struct.unpack("=I", payload[24:28])
        zone = f"%{scope}" if scope else ""
        return f"[{ipaddress.IPv6Address(payload[8:24])}{zone}]:{port}"
    raise Malformed(f"an endpoint of address family {family}")


def _decode_prefix(attributes: bytes) -> str:
    known = dict(_walk(attributes))
    if 2 not in known or 3 not in known:
        raise Malformed("an allowed prefix without address or length")
    return f"{ipaddress.ip_address(known[2])}/{known[3][0]}"


def _show_key(raw: bytes) -> str:
    if len(raw) != 32:
        raise Malformed(f"a public key of {len(raw)} octets, expected 32")
    return base64.b64encode(raw).decode()


def decode_userspace(text: bytes) -> Device:
    """Return a device of the lines `key=value` of its answer. Raises: Malformed."""
    told: dict[str, str] = {}
    peers: list[tuple[dict[str, str], list[str]]] = []
    try:
        for line in text.decode("ascii").splitlines():
            key, _, value = line.partition("=")
            if key == "errno":
                if value != "0":
                    raise Malformed(f"the device answers with error {value}")
            elif key == "public_key":
                peers.append(({key: value}, []))
            elif not peers:
                told[key] = value
            elif key == "allowed_ip":
                peers[-1][1].append(value)
            else:
                peers[-1][0][key] = value
        return Device(
            "userspace",
            "",
            int(told.get("listen_port", "0")),
            int(told.get("fwmark", "0"), 0),
            tuple(_read_peer(peer, prefixes) for peer, prefixes in peers),
        )
    except ValueError as error:
        raise Malformed(str(error)) from None


def _read_peer(told: dict[str, str], prefixes: list[str]) -> Peer:
    seconds, nanoseconds, rx_bytes, tx_bytes, keepalive_s = (
        int(told.get(name, "0")) for name in _NUMBERS
    )
    return Peer(
        _show_key(binascii.unhexlify(told["public_key"])),
        told.get("endpoint", ""),
        tuple(prefixes),
        seconds * 10**9 + nanoseconds,
        rx_bytes,
        tx_bytes,
        keepalive_s,
    )
