"""A real NetworkManager: states of a device on its way up, its lease, and a cable that is pulled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.backends.networkd import boot
from tests.boundary.rig import wait_for
from tests.lab.dhcp import DhcpServer
from tests.lab.system import System
from tests.processes.rig import Daemon

UP: Final = ["prepare", "config", "ip-config", "ip-check", "secondaries", "activated"]
"""States of a device on its way up."""
FILES: Final = {
    "etc/NetworkManager/conf.d/test.conf": """[main]
plugins=keyfile
no-auto-default=*
dns=none
rc-manager=unmanaged
[device-eth]
match-device=interface-name:eth*
managed=1
""",
    "etc/NetworkManager/system-connections/office.nmconnection": """[connection]
id=Office
uuid=3f1c8a52-7d0e-4e0f-9c0b-2b1f6c1d9a10
type=ethernet
interface-name=eth0
[ipv4]
method=auto
[ipv6]
method=disabled
[user]
zone.Name=dmz
""",
}
HOOK: Final = """#!/bin/sh
echo "$1 $2 $CONNECTION_ID $CONNECTION_USER_ZONE___NAME $IP4_ADDRESS_0 $IP4_NAMESERVERS" >> {root}/data/said
"""


@pytest.fixture
def place() -> Iterator[tuple[System, DhcpServer, Daemon]]:
    """A system with NetworkManager, which has no link yet, and a daemon beside it; neither runs."""
    with boot(files=FILES) as (system, server):
        daemon = Daemon("")
        hook = daemon.root / "nm" / "dispatcher.d" / "10-said"
        hook.parent.mkdir(parents=True)
        hook.write_text(HOOK.format(root=daemon.scripts))
        hook.chmod(0o755)
        daemon.config.write_text(
            "network: {links: [eth*]}\nsystem: {log_format: json, backend: NetworkManager}\n"
            f"scripts: {{directory: {daemon.scripts}}}\n"
            f"compat: {{networkmanager: {{enabled: true, roots: [{daemon.root}/nm/dispatcher.d]}}}}\n"
        )
        try:
            yield system, server, daemon
        finally:
            daemon.close()


def test_networkmanager_is_heard(place: tuple[System, DhcpServer, Daemon]) -> None:
    """Every state in its order, the lease, what hooks of its own dispatcher are told, and the end of it all."""
    system, server, daemon = place
    daemon.start(prefix=system.beside)
    server.ip("link", "set", "peer", "down")
    system.run("systemctl", "unmask", "NetworkManager")
    system.run("systemctl", "start", "NetworkManager")
    daemon.wait_event("eth0", "unavailable")
    server.ip("link", "set", "peer", "up")
    daemon.wait_event("eth0", "activated")
    daemon.wait_event("eth0", "lease")

    assert [each for each in daemon.events("eth0") if each in UP] == UP
    server.ip("link", "set", "peer", "down")
    daemon.wait_event("eth0", "unavailable", 2)
    said = daemon.scripts / "data" / "said"
    lines = wait_for(
        lambda: text if "eth0 down" in (text := said.read_text()) else None, "hooks"
    ).splitlines()

    lease = next(each["message"] for each in daemon.announced() if each["event"] == "lease")
    address = lease.split()[1]
    up = next(each for each in lines if " up " in each)
    assert up == f"eth0 up Office dmz {address} 192.0.2.1 192.0.2.53 192.0.2.54"
    down = next(each for each in lines if " down " in each)
    assert down.split() == ["eth0", "down", "Office", "dmz"]
