"""
Network namespaces, links in them and the rtnetlink requests that make events.

A namespace is held open by a descriptor of this process and has no name, so that nothing is left
when the benchmark ends, however it ends. The two ends of a veth pair get different indexes: with
equal ones in two namespaces the kernel takes a change of carrier for not urgent and may hold it
back for a second. Source: linkwatch_urgent_event(), net/core/link_watch.c.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWNS: Final = 0x00020000
_RTM_NEWLINK: Final = 16
_RTM_NEWADDR: Final = 20
_RTM_DELADDR: Final = 21
_REQUEST: Final = 0x1 | 0x4  # NLM_F_REQUEST | NLM_F_ACK
_CREATE: Final = 0x400 | 0x200  # NLM_F_CREATE | NLM_F_EXCL
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

USERS: Final = ("netevd", "netevd-net", "netevd-script")


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


class Namespace:
    """One network namespace, alive as long as this object."""

    def __init__(self) -> None:
        """Make the namespace; link-local addresses are off in it, so that all events are ours."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            _check(_LIBC.unshare(_CLONE_NEWNET), "unshare a network namespace")
            self._descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            mode = Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode")
            if mode.exists():
                mode.write_text("1")
        finally:
            _check(_LIBC.setns(home, _CLONE_NEWNET), "return to the own network namespace")
            os.close(home)
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        self._sequence = 0

    def close(self) -> None:
        """Let go of the namespace; the kernel removes it with its last process."""
        self._socket.close()
        os.close(self._descriptor)

    def command(self, *words: str) -> list[str]:
        """Return a command line that runs these words inside."""
        return ["nsenter", f"--net={self.path}", *words]

    def ip(self, *words: str, lines: str | None = None) -> None:
        """Run ip(8) inside; lines: its standard input, for `-batch -`."""
        subprocess.run(self.command("ip", *words), input=lines, text=True, check=True)

    def ip_quiet(self, *words: str) -> None:
        """Run ip(8) inside and drop what it shows."""
        subprocess.run(self.command("ip", *words), stdout=subprocess.DEVNULL, check=True)

    def set_up(self, ifindex: int, *, up: bool) -> None:
        """Set a link's administrative state, by one message of this process."""
        body = struct.pack("=BxHiII", 0, 0, ifindex, int(up), 1)  # ifinfomsg; IFF_UP is 1
        self._request(_RTM_NEWLINK, 0, body)

    def add_address(self, ifindex: int, name: str, host: int) -> None:
        """Add 10.99.0.host/32 to a link."""
        self._request(_RTM_NEWADDR, _CREATE, _address(ifindex, name, host))

    def remove_address(self, ifindex: int, name: str, host: int) -> None:
        """Remove 10.99.0.host/32 from a link."""
        self._request(_RTM_DELADDR, 0, _address(ifindex, name, host))

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        head = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, self._sequence, 0)
        self._socket.send(head + body)
        (code,) = struct.unpack_from("=i", self._socket.recv(4096), 16)
        if code:
            raise OSError(-code, f"rtnetlink request {kind}: {os.strerror(-code)}")


def _address(ifindex: int, name: str, host: int) -> bytes:
    local = bytes((10, 99, 0, host))
    attributes = ((2, local), (1, local), (3, name.encode() + b"\0"))  # IFA_LOCAL, _ADDRESS, _LABEL
    body = struct.pack("=BBBBi", socket.AF_INET, 32, 0, 0, ifindex)
    for kind, payload in attributes:
        body += struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)
    return body


def add_pairs(near: Namespace, far: Namespace, names: list[str]) -> None:
    """
    Make veth pairs, all up: the named ends in `near` with index 101, 102, ..., the others in `far`.

    The other end of `NAME` is `NAMEp`, its index is 100 higher.
    """
    for number, name in enumerate(names):
        near.ip(
            *("link", "add", "name", name, "index", str(101 + number), "type", "veth"),
            *("peer", "name", f"{name}p", "index", str(201 + number), "netns", far.path),
        )
        far.set_up(201 + number, up=True)
        near.set_up(101 + number, up=True)


def ensure_users() -> str:
    """
    See to it that netevd's system users exist for this process and its children.

    Where they are missing, they are added to copies of passwd and group which only a mount
    namespace of this process shows. Returns what was done, "" for nothing.
    """
    try:
        for name in USERS:
            pwd.getpwnam(name)
    except KeyError:
        pass
    else:
        return ""
    _check(_LIBC.unshare(_CLONE_NEWNS), "unshare a mount namespace")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    passwd, group = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    for number, name in enumerate(USERS, start=_free_number()):
        passwd += f"{name}:x:{number}:{number}::/:/usr/sbin/nologin\n"
        group += f"{name}:x:{number}:{'netevd-net' if name == 'netevd' else ''}\n"
    for path, text in (("/etc/passwd", passwd), ("/etc/group", group)):
        with tempfile.NamedTemporaryFile("w", dir="/run", prefix="netevd-bench-") as copy:
            copy.write(text)
            copy.flush()
            os.chmod(copy.name, 0o644)
            subprocess.run(["mount", "--bind", copy.name, path], check=True)
    return "netevd's users are missing here: they exist only inside this benchmark"


def _free_number() -> int:
    """Return the first of three user and group numbers that nobody has."""
    taken = set()
    for path in ("/etc/passwd", "/etc/group"):
        taken |= {int(line.split(":")[2]) for line in Path(path).read_text().splitlines() if line}
    return next(n for n in range(900, 60000) if not taken & {n, n + 1, n + 2})
