"""Who is at the other end of a connection, as far as the kernel and TLS know."""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal, TypeAlias

from attrs import frozen

Kind: TypeAlias = Literal["local", "api", "metrics"]
"""What a listener is for: unix socket, TCP, or measurements alone."""


WHO: Final = "netevd.who"
"""Key of the ASGI scope under which whoever accepts connections says who the client is, as the audit
log shall have it: `uid 1000`, `token ops`."""


@frozen(slots=True)
class Peer:
    """The other end of one connection; it stays the same for all of its requests."""

    kind: Kind
    uid: int | None = None
    """Of the process that has connected over a unix socket. Source: SO_PEERCRED in unix(7)."""
    pid: int = 0
    """Of the same process, for the log: it may have ended since."""
    address: str = ""
    """IP address, "" over a unix socket. An IPv4 address within an IPv6 one is told as what it is."""
    secure: bool = False
    """Whether the connection is encrypted."""
    certificate: str = ""
    """Subject of the certificate that the client has shown and our authority has signed."""

    @property
    def is_local(self) -> bool:
        """Whether the mode of a unix socket has let it in."""
        return self.kind == "local" and self.uid is not None

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this host."""
        return self.uid is not None or _is_loopback(self.address)

    def __str__(self) -> str:
        """Return it in words for a log."""
        if self.uid is not None:
            return f"uid {self.uid} (pid {self.pid})"
        return f"{self.address}{f' ({self.certificate})' if self.certificate else ''}"


@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    """Tell it of an IP address: asked for each request, and slow."""
    return ip_address(address).is_loopback


def identify(sock: socket.socket, address: object, kind: Kind) -> Peer:
    """Return who has connected. address: as accept(2) gave it. Raises: OSError, if it has gone."""
    if sock.family == socket.AF_UNIX:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _ = struct.unpack("=iII", credentials)
        return Peer(kind, uid=uid, pid=pid)
    assert isinstance(address, tuple)
    found = ip_address(address[0].partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return Peer(kind, address=str(found))
