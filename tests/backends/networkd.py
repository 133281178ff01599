"""A system with systemd-networkd, a DHCP server behind its eth0, and netevd beside it on its bus."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.boundary.rig import wait_for
from tests.lab.dhcp import DhcpServer
from tests.lab.rootfs import make_rootfs
from tests.lab.system import System

OPTIONS: Final = (
    "--dhcp-option=option:router,192.0.2.1",
    "--dhcp-option=option:dns-server,192.0.2.53,192.0.2.54",
    "--dhcp-option=option:domain-name,c.example",
    "--dhcp-option=option:domain-search,a.example,b.example",
    "--dhcp-option=option:ntp-server,192.0.2.123",
    "--dhcp-option=12,dhcphost",
)
"""What the server says beside addresses: several of each."""

NETWORK: Final = """[Match]
Name=eth0
[Network]
DHCP=ipv4
IPv6AcceptRA=no
LinkLocalAddressing=no
[DHCPv4]
UseDomains=yes
UseHostname=no
"""

_SILENT: Final = (
    "NetworkManager", "NetworkManager-dispatcher", "dhcpcd", "systemd-networkd-wait-online", "dnsmasq",
)  # fmt: skip


def write(system: System, name: str, text: str, mode: int = 0o644) -> None:
    """Write a file of a system that is not started yet."""
    path = system.files / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@contextlib.contextmanager
def boot(
    suite: str = "bookworm",
    *,
    network: str = NETWORK,
    shown: tuple[str, ...] = (),
    files: dict[str, str] | None = None,
) -> Iterator[tuple[System, DhcpServer]]:
    """
    Boot a system whose eth0 may be networkd's, and the server behind it; neither manager runs.

    shown: as of System.start. files: more files, which only root may read.
    """
    system = System(make_rootfs(suite))
    server = None
    try:
        write(system, "etc/systemd/network/10-eth0.network", network)
        for name, text in (files or {}).items():
            write(system, name, text, 0o600)
        write(system, "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        write(system, "etc/hostname", "")
        (system.files / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
        for name in _SILENT:
            (system.files / f"etc/systemd/system/{name}.service").symlink_to("/dev/null")
        system.start(*shown)
        system.run("sh", "-c", f"echo '{_make_user()}' >> /etc/passwd")
        server = DhcpServer(system.pid)
        server.serve(*OPTIONS)
        yield system, server
    finally:
        if server is not None:
            server.close()
        system.stop()


def _make_user() -> str:
    """Return netevd's user with the number that it has on this machine: the bus refuses an unknown one."""
    number = pwd.getpwnam("netevd").pw_uid
    return f"netevd:x:{number}:65534::/:/usr/sbin/nologin"


def start_networkd(system: System) -> None:
    """Start networkd, and wait until it has configured eth0."""
    system.run("systemctl", "start", "systemd-networkd")
    wait_for(lambda: is_configured(system) or None, "eth0 to be configured")


def is_configured(system: System) -> bool:
    """Tell whether networkd is done with eth0."""
    text = system.run("networkctl", "list", "--no-legend", "eth0", check=False).stdout
    return text.split()[-1:] == ["configured"]


CHECKOUT: Final = Path(os.path.abspath(__file__)).parents[2]
"""Where the netevd under test is."""
