"""
What WireGuard's keepers say, without keys: requests to the kernel and to userspace, and redaction.

Answers hold private and preshared keys. What leaves this module is built of what is known to be
harmless; whatever is not known is left out, since it may be a secret of a later version. Decoding is
netevd.kernel's. Sources: linux/wireguard.h, linux/genetlink.h, wireguard.com/xplatform.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from base64 import b64decode
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from fnmatch import fnmatchcase
from typing import Final

from privsep import protocol, rtnetlink
from privsep.protocol import ProtocolViolation
from privsep.rtnetlink import HEADER, NLM_F_ACK, NLM_F_DUMP, pack_attribute, pack_request
from privsep.variables import is_ifname

_GENERIC: Final = struct.Struct("=BBH")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NETLINK_GENERIC = 16
_GENL_ID_CTRL, _CTRL_CMD_NEWFAMILY, _CTRL_CMD_GETFAMILY = 16, 1, 3
_FAMILY_ID, _FAMILY_NAME = 1, 2
_GET_DEVICE, _SET_DEVICE, _IFINDEX, _IFNAME, _PEERS = 0, 1, 1, 2, 8
_KEY, _FLAGS, _ENDPOINT, _UPDATE_ONLY, _NESTED = 1, 3, 4, 4, 0x8000
"""WGPEER_A_*; WGPEER_F_UPDATE_ONLY: a peer that is not there is not made; NLA_F_NESTED."""
_DEVICE: Final = frozenset({1, 2, 4, 6, 7})
"""WGDEVICE_A_IFINDEX, IFNAME, PUBLIC_KEY, LISTEN_PORT, FWMARK. 3 is the private key."""
_PEER: Final = frozenset({1, 4, 5, 6, 7, 8, 9, 10})
"""WGPEER_A_PUBLIC_KEY, ENDPOINT, keepalive, LAST_HANDSHAKE_TIME, RX_BYTES, TX_BYTES, ALLOWEDIPS,
PROTOCOL_VERSION. 2 is the preshared key."""
_LINES: Final = frozenset(
    b"listen_port fwmark public_key endpoint persistent_keepalive_interval last_handshake_time_sec"
    b" last_handshake_time_nsec rx_bytes tx_bytes allowed_ip protocol_version errno".split()
)
_DIRECTORY: Final = "/run/wireguard"
_ANSWER_LIMIT: Final = 16 << 20
"""Bytes of a userspace device's answer: some 30,000 peers."""
_RECEIVE: Final = 64 * 1024
_LINE_LIMIT: Final = 4096


def connect_userspace(name: str, patterns: list[str]) -> socket.socket:
    """
    Return a connection to the device of this name, the supervisor's to make. Raises: OSError.

    patterns: globs of names that root's configuration allows, those with ! in front that it does not.
    """
    if not is_watched(name, patterns):
        raise PermissionError(errno.EPERM, f"{name} is no device of wireguard.interfaces")
    status = os.lstat(_DIRECTORY)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid or status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, f"{_DIRECTORY} is not root's alone")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(os.path.join(_DIRECTORY, f"{name}.sock"))
    except OSError:
        sock.close()
        raise
    return sock


def is_watched(name: str, patterns: list[str]) -> bool:
    """Tell whether a device's name is one of these globs, and none of those with ! in front."""
    hits = [each for each in patterns if fnmatchcase(name, each.removeprefix("!"))]
    return bool(hits) and not any(each.startswith("!") for each in hits) and is_ifname(name)


class Inquiry:
    """
    The helper's reading of one device, or change to it, if one is under way; a later one ends an
    earlier one.
    """

    def __init__(
        self, send: Callable[[protocol.FeedMessage], None], connect: Callable[[str], None]
    ) -> None:
        """send: to the worker. connect: has the supervisor make a connection, which comes by `take`."""
        self._send = send
        self._connect = connect
        self._generic = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        self._generic.setblocking(False)
        self._generic.bind((0, 0))
        self._userspace: socket.socket | None = None
        self._read = 0
        """Number of the reading, 0 for none."""
        self._ifindex = 0
        """Of a device of the kernel's, else 0."""
        self._family = 0
        self._rest = b""
        self._size = 0
        self._request: protocol.Wireguard

    def begin(self, request: protocol.Wireguard) -> None:
        """Ask a device for what it is, or to send to a peer elsewhere."""
        self.cancel()
        self._request = request
        self._read, self._ifindex = request.read, 0 if request.userspace else request.ifindex
        if request.userspace:
            self._connect(request.name)
        else:
            self._ask_kernel()

    def cancel(self) -> None:
        """Let go of the reading under way; what is still answered to it is passed over."""
        if self._userspace is not None:
            self._userspace.close()
            self._userspace = None
        self._read = self._size = 0
        self._rest = b""

    def get_descriptor(self) -> int | None:
        """Return what an answer comes from, None while none can come."""
        if self._userspace is not None:
            return self._userspace.fileno()
        return self._generic.fileno() if self._read and self._ifindex else None

    def take(self, code: int, connection: socket.socket | None) -> None:
        """Take the connection that was asked for, or why there is none."""
        if not self._read or self._ifindex or self._userspace is not None:
            if connection is not None:
                connection.close()  # of a reading that was given up
        elif connection is None:
            self._end(code or errno.ECONNREFUSED)
        else:
            self._userspace = connection
            try:
                connection.send(encode_lines(self._request))
            except OSError as error:
                self._end(error.errno or errno.EIO)

    def receive(self) -> None:
        """Take in one piece of an answer."""
        try:
            if self._userspace is not None:
                self._take_lines(self._userspace.recv(_RECEIVE))
            else:
                self._take_datagram(self._generic.recv(rtnetlink.DATAGRAM_LIMIT))
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error.errno or errno.EIO)

    def _ask_kernel(self) -> None:
        if self._family:
            self._generic.send(encode_device(self._family, self._request))
        else:
            self._generic.send(encode_family(self._read))

    def _take_datagram(self, datagram: bytes) -> None:
        part = rtnetlink.read_part(datagram)
        if part.sequence != self._read & 0xFFFFFFFF:
            return
        if not self._family:
            self._family = read_family(datagram)
            if self._family:
                self._ask_kernel()
            else:
                self._end(part.errno or errno.ENOENT)
            return
        self._send(protocol.WireguardPart(self._read, redact_kernel(datagram, self._family)))
        if part.done:
            self._family = 0 if part.errno == errno.ENOENT else self._family
            self._end(part.errno)

    def _take_lines(self, received: bytes) -> None:
        self._size += len(received)
        lines, end, self._rest = (self._rest + received).rpartition(b"\n")
        if not received or self._size > _ANSWER_LIMIT or len(self._rest) > _LINE_LIMIT:
            self._end(errno.EMSGSIZE if received else errno.EPIPE)
            return
        over = (lines + end).endswith(b"\n\n")
        self._send(protocol.WireguardPart(self._read, redact_userspace(lines + end)))
        if over:
            self._end(0)

    def _end(self, code: int) -> None:
        self._send(protocol.WireguardEnd(self._read, code))
        self.cancel()


def encode_family(sequence: int) -> bytes:
    """Return the request for the number under which the kernel speaks of WireGuard."""
    body = _GENERIC.pack(_CTRL_CMD_GETFAMILY, 1, 0) + pack_attribute(_FAMILY_NAME, b"wireguard\0")
    return pack_request(_GENL_ID_CTRL, 0, sequence, body)


def encode_device(family: int, request: protocol.Wireguard) -> bytes:
    """Return the request for one device with all of its peers, or for another endpoint of one."""
    body = _GENERIC.pack(_GET_DEVICE, 1, 0)
    if not isinstance(request, protocol.SetEndpoint):
        body += pack_attribute(_IFINDEX, struct.pack("=I", request.ifindex))
        return pack_request(family, NLM_F_DUMP, request.read, body)
    number, host, _ = rtnetlink.read_network(request.address, 6 if ":" in request.address else 4)
    place = host + bytes(8) if number == socket.AF_INET else bytes(4) + host + bytes(4)
    endpoint = struct.pack("=H", number) + struct.pack("!H", request.port) + place
    peer = pack_attribute(_KEY, b64decode(request.public_key)) + pack_attribute(_ENDPOINT, endpoint)
    peer += pack_attribute(_FLAGS, struct.pack("=I", _UPDATE_ONLY))
    body = _GENERIC.pack(_SET_DEVICE, 1, 0) + pack_attribute(_IFNAME, f"{request.name}\0".encode())
    body += pack_attribute(_NESTED | _PEERS, pack_attribute(_NESTED, peer))
    return pack_request(family, NLM_F_ACK, request.read, body)


def encode_lines(request: protocol.Wireguard) -> bytes:
    """Return the same for a device outside the kernel."""
    if not isinstance(request, protocol.SetEndpoint):
        return b"get=1\n\n"
    key, host = b64decode(request.public_key).hex(), request.address
    host = f"[{host}]" if ":" in host else host
    return f"set=1\npublic_key={key}\nupdate_only=true\nendpoint={host}:{request.port}\n\n".encode()


def read_family(datagram: bytes) -> int:
    """Return the number that the kernel's answer gives, 0 where it knows of no WireGuard."""
    kind = HEADER.unpack_from(datagram)[1]
    if kind != _GENL_ID_CTRL or datagram[16] != _CTRL_CMD_NEWFAMILY:
        return 0
    for number, payload in _walk(datagram[20:]):
        if number == _FAMILY_ID:
            return int.from_bytes(payload[:2], sys.byteorder)
    return 0


def redact_kernel(datagram: bytes, family: int) -> bytes:
    """Return one datagram of the kernel's answer with what is harmless of it. Raises: ProtocolViolation."""
    told = bytearray()
    offset = 0
    while offset + 20 <= len(datagram):
        length, kind, flags, sequence, port = HEADER.unpack_from(datagram, offset)
        if length < 20 or offset + length > len(datagram):
            raise ProtocolViolation("a message of WireGuard's that does not end where it says")
        if kind == family:
            kept = datagram[offset + 16 : offset + 20]
            kept += _redact_device(datagram[offset + 20 : offset + length])
            told += HEADER.pack(16 + len(kept), kind, flags, sequence, port) + kept
        offset += length + 3 & ~3
    return bytes(told)


def _redact_device(attributes: bytes) -> bytes:
    told = _copy(attributes, _DEVICE)
    for number, peers in _walk(attributes):
        if number == _PEERS:
            kept = (pack_attribute(place, _copy(peer, _PEER)) for place, peer in _walk(peers))
            told += pack_attribute(_PEERS, b"".join(kept))
    return told


def _copy(attributes: bytes, kept: AbstractSet[int]) -> bytes:
    return b"".join(pack_attribute(*each) for each in _walk(attributes) if each[0] in kept)


def _walk(attributes: bytes) -> list[tuple[int, bytes]]:
    """Return number and payload of each attribute, flags left out. Raises: ProtocolViolation."""
    found = []
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, offset)
        if length < 4 or offset + length > len(attributes):
            raise ProtocolViolation("an attribute of WireGuard's that does not end where it says")
        found.append((kind & 0x3FFF, attributes[offset + 4 : offset + length]))
        offset += length + 3 & ~3
    return found


def redact_userspace(lines: bytes) -> bytes:
    """Return of whole lines `key=value` those that are harmless."""
    kept = (line for line in lines.split(b"\n") if line.partition(b"=")[0] in _LINES)
    return b"".join(line + b"\n" for line in kept)
