"""
What WireGuard's keepers are asked, in the kernel and in userspace, and what of their answers is no key.

Decoding is netevd.kernel's, asking is `inquiry`'s. Sources: linux/wireguard.h, wireguard.com/xplatform.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from base64 import b64decode
from fnmatch import fnmatchcase
from typing import Final

from privsep import protocol, rtnetlink
from privsep.generic import ALL, EACH, GENERIC, Tree
from privsep.rtnetlink import NLM_F_ACK, NLM_F_DUMP, pack_attribute, pack_request
from privsep.variables import is_ifname

_GET_DEVICE, _SET_DEVICE, _IFINDEX, _IFNAME, _PEERS = 0, 1, 1, 2, 8
_KEY, _FLAGS, _ENDPOINT, _UPDATE_ONLY, _NESTED = 1, 3, 4, 4, 0x8000
"""WGPEER_A_*; WGPEER_F_UPDATE_ONLY: a peer that is not there is not made; NLA_F_NESTED."""
_PEER: Final[Tree] = dict.fromkeys((1, 4, 5, 6, 7, 8, 9, 10), ALL)
"""WGPEER_A_PUBLIC_KEY, ENDPOINT, keepalive, LAST_HANDSHAKE_TIME, RX_BYTES, TX_BYTES, ALLOWEDIPS,
PROTOCOL_VERSION. 2 is the preshared key."""
DEVICE: Final[Tree] = {1: ALL, 2: ALL, 4: ALL, 6: ALL, 7: ALL, _PEERS: {EACH: _PEER}}
"""WGDEVICE_A_IFINDEX, IFNAME, PUBLIC_KEY, LISTEN_PORT, FWMARK, PEERS. 3 is the private key."""
_LINES: Final = frozenset(
    b"listen_port fwmark public_key endpoint persistent_keepalive_interval last_handshake_time_sec"
    b" last_handshake_time_nsec rx_bytes tx_bytes allowed_ip protocol_version errno".split()
)
_DIRECTORY: Final = "/run/wireguard"


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
