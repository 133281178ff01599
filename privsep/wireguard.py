"""
What is asked apart from dumps: of WireGuard's keepers, in the kernel and in userspace, and of nl80211.

What of their answers is no key leaves this module; decoding is netevd.kernel's. nl80211 also tells by itself that
a link has another network. Sources: linux/wireguard.h, wireguard.com/xplatform.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from base64 import b64decode
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from privsep import generic, protocol, rtnetlink
from privsep.generic import EACH, GENERIC, Tree
from privsep.rtnetlink import NLM_F_ACK, NLM_F_DUMP, pack_attribute, pack_request
from privsep.variables import is_ifname

_GET_DEVICE, _SET_DEVICE, _IFINDEX, _IFNAME, _PEERS = 0, 1, 1, 2, 8
_KEY, _FLAGS, _ENDPOINT, _UPDATE_ONLY, _NESTED = 1, 3, 4, 4, 0x8000
"""WGPEER_A_*; WGPEER_F_UPDATE_ONLY: a peer that is not there is not made; NLA_F_NESTED."""
_PEER: Final[Tree] = {each: {} for each in (1, 4, 5, 6, 7, 8, 9, 10)}
"""WGPEER_A_PUBLIC_KEY, ENDPOINT, keepalive, LAST_HANDSHAKE_TIME, RX_BYTES, TX_BYTES, ALLOWEDIPS,
PROTOCOL_VERSION. 2 is the preshared key."""
DEVICE: Final[Tree] = {1: {}, 2: {}, 4: {}, 6: {}, 7: {}, _PEERS: {EACH: _PEER}}
"""WGDEVICE_A_IFINDEX, IFNAME, PUBLIC_KEY, LISTEN_PORT, FWMARK, PEERS. 3 is the private key."""
_LINES: Final = frozenset(
    b"listen_port fwmark public_key endpoint persistent_keepalive_interval last_handshake_time_sec"
    b" last_handshake_time_nsec rx_bytes tx_bytes allowed_ip protocol_version errno".split()
)
_DIRECTORY: Final = "/run/wireguard"
Asked: TypeAlias = protocol.Wireguard | protocol.Wireless
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
    The helper's reading of a WireGuard device or of wireless links, or change to a device, if one is
    under way; a later one ends an earlier one.
    """

    def __init__(
        self, send: Callable[[protocol.FeedMessage], None], ask: Callable[[protocol.Message], None]
    ) -> None:
        """send: to the worker. ask: the supervisor for a connection, which comes by `take`."""
        self._send, self._ask = send, ask
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._generic = socket.socket(socket.AF_NETLINK, kind, 16)  # NETLINK_GENERIC
        self._generic.bind((0, 1 << generic.CONTROL - 1))  # it hears of families that come and go
        self._userspace: socket.socket | None = None
        self._asks: Asked | None = None
        self.cancel()

    def begin(self, request: Asked) -> None:
        """Ask a device for what it is, or to send to a peer elsewhere; or ask for wireless links."""
        self.cancel()
        self._asks = request
        if isinstance(request, protocol.Wireguard) and request.userspace:
            self._ask(protocol.WantWireguard(request.name))
        else:
            name = "wireguard" if isinstance(request, protocol.Wireguard) else "nl80211"
            self._generic.send(generic.encode_family(name, request.read))

    def cancel(self) -> None:
        """Let go of the reading under way; what is still answered to it is passed over."""
        if self._userspace is not None:
            self._userspace.close()
        self._userspace = self._asks = None
        self._rest, self._size, self._family = b"", 0, 0

    def descriptors(self) -> list[int]:
        """Return what answers, and what nobody has asked for, come from."""
        return [each.fileno() for each in (self._generic, self._userspace) if each is not None]

    def take(self, code: int, connection: socket.socket | None) -> None:
        """Take the connection that was asked for, or why there is none."""
        asks = self._asks
        if not (isinstance(asks, protocol.Wireguard) and asks.userspace and not self._userspace):
            if connection is not None:
                connection.close()  # of a reading that was given up
        elif connection is None:
            self._end(code or errno.ECONNREFUSED)
        else:
            self._userspace = connection
            try:
                connection.send(encode_lines(asks))
            except OSError as error:
                self._end(error.errno or errno.EIO)

    def receive(self, descriptor: int) -> None:
        """Take in one piece of what has come."""
        try:
            if descriptor == self._generic.fileno():
                self._take_datagram(self._generic.recv(rtnetlink.DATAGRAM_LIMIT))
            elif self._userspace is not None:
                self._take_lines(self._userspace.recv(_RECEIVE))
        except BlockingIOError:
            return
        except OSError as error:
            if descriptor == self._generic.fileno():  # what was told by itself may be lost
                self._send(protocol.Overrun(protocol.WIRELESS))
            self._end(error.errno or errno.EIO)

    def _take_datagram(self, datagram: bytes) -> None:
        part = rtnetlink.read_part(datagram)
        if part.sequence:
            if self._asks is not None and part.sequence == self._asks.read & 0xFFFFFFFF:
                self._take_answer(self._asks, datagram, part)
        elif datagram[16] in generic.TOLD:  # by itself
            told = generic.redact(datagram, part.type, generic.RADIO)
            self._send(protocol.Datagrams(protocol.WIRELESS, [told]))

    def _take_answer(self, asks: Asked, datagram: bytes, part: rtnetlink.Part) -> None:
        if self._family:
            kept = DEVICE if isinstance(asks, protocol.Wireguard) else generic.RADIO
            self._send(protocol.AnswerPart(asks.read, generic.redact(datagram, self._family, kept)))
            if part.done:
                self._end(part.errno)
            return
        self._family, groups = generic.read_family(datagram)
        for group in groups:
            self._generic.setsockopt(rtnetlink.SOL_NETLINK, rtnetlink.ADD_MEMBERSHIP, group)
        if not self._family:
            self._end(part.errno or errno.ENOENT)
        elif isinstance(asks, protocol.Wireguard):
            self._generic.send(encode_device(self._family, asks))
        else:
            self._generic.send(generic.encode_wireless(self._family, asks))

    def _take_lines(self, received: bytes) -> None:
        self._size += len(received)
        lines, end, self._rest = (self._rest + received).rpartition(b"\n")
        if not received or self._size > _ANSWER_LIMIT or len(self._rest) > _LINE_LIMIT:
            self._end(errno.EMSGSIZE if received else errno.EPIPE)
            return
        over = (lines + end).endswith(b"\n\n")
        assert self._asks is not None
        self._send(protocol.AnswerPart(self._asks.read, redact_userspace(lines + end)))
        if over:
            self._end(0)

    def _end(self, code: int) -> None:
        if self._asks is not None:
            self._send(protocol.AnswerEnd(self._asks.read, code))
            self.cancel()


def encode_device(family: int, request: protocol.Wireguard) -> bytes:
    """Return the request for one device with all of its peers, or for another endpoint of one."""
    body = GENERIC.pack(_GET_DEVICE, 1, 0)
    if not isinstance(request, protocol.SetEndpoint):
        body += pack_attribute(_IFINDEX, struct.pack("=I", request.ifindex))
        return pack_request(family, NLM_F_DUMP, request.read, body)
    number, host, _ = rtnetlink.read_network(request.address, 6 if ":" in request.address else 4)
    place = host + bytes(8) if number == socket.AF_INET else bytes(4) + host + bytes(4)
    endpoint = struct.pack("=H", number) + struct.pack("!H", request.port) + place
    peer = pack_attribute(_KEY, b64decode(request.public_key)) + pack_attribute(_ENDPOINT, endpoint)
    peer += pack_attribute(_FLAGS, struct.pack("=I", _UPDATE_ONLY))
    body = GENERIC.pack(_SET_DEVICE, 1, 0) + pack_attribute(_IFNAME, f"{request.name}\0".encode())
    body += pack_attribute(_NESTED | _PEERS, pack_attribute(_NESTED, peer))
    return pack_request(family, NLM_F_ACK, request.read, body)


def encode_lines(request: protocol.Wireguard) -> bytes:
    """Return the same for a device outside the kernel."""
    if not isinstance(request, protocol.SetEndpoint):
        return b"get=1\n\n"
    key, host = b64decode(request.public_key).hex(), request.address
    host = f"[{host}]" if ":" in host else host
    return f"set=1\npublic_key={key}\nupdate_only=true\nendpoint={host}:{request.port}\n\n".encode()


def redact_userspace(lines: bytes) -> bytes:
    """Return of whole lines `key=value` those that are harmless."""
    kept = (line for line in lines.split(b"\n") if line.partition(b"=")[0] in _LINES)
    return b"".join(line + b"\n" for line in kept)
