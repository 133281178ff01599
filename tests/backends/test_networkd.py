"""A real systemd-networkd: what it says of a link and its lease becomes events and variables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.backends.networkd import OPTIONS, boot, is_configured, start_networkd
from tests.boundary.rig import wait_for
from tests.lab.dhcp import DhcpServer
from tests.lab.system import System
from tests.processes.rig import Daemon

RECORD = """#!/bin/sh
echo "$NETEVD_EVENT|$BACKEND|$NETEVD_REASON|$DHCP_ADDRESS|$DHCP_SUBNET_MASK|$DHCP_GATEWAY|$DHCP_DNS|$DHCP_DOMAIN|$DHCP_HOSTNAME|${NETEVD_INITIAL-}" >> %s/data/said
"""


@pytest.fixture
def place() -> Iterator[tuple[System, DhcpServer, Daemon]]:
    """A system whose networkd has configured eth0 by DHCP, and a daemon beside it that is not started."""
    with boot() as (system, server):
        start_networkd(system)
        daemon = Daemon("network: {links: [eth*]}\nsystem: {log_format: json}\n")
        try:
            yield system, server, daemon
        finally:
            daemon.close()


def find(daemon: Daemon, event: str) -> list[dict[str, Any]]:
    """Return the records of an event of eth0."""
    return [each for each in daemon.announced() if each["event"] == event]


def test_networkd_is_heard(place: tuple[System, DhcpServer, Daemon]) -> None:
    """Its states and the life of a lease: announced, renewed with another address, kept over a restart, lost."""
    system, server, daemon = place
    for event in ("configured", "lease", "no-carrier"):
        script = daemon.scripts / f"{event}.d" / "10-record"
        script.parent.mkdir(exist_ok=True)
        script.write_text(RECORD % daemon.scripts)
        script.chmod(0o755)
    daemon.start(prefix=system.beside)
    daemon.wait_event("eth0", "configured")

    assert daemon.events("eth0") == ["carrier", "routable", "configured"]
    server.serve(*OPTIONS, low=100, high=120)
    system.run("networkctl", "reconfigure", "eth0")
    wait_for(lambda: "bound 192.0.2.1" in str(find(daemon, "lease")) or None, "another address")
    wait_for(lambda: len(find(daemon, "configured")) == 2 or None, "configured again")
    mark = len(daemon.announced())
    system.run("systemctl", "restart", "systemd-networkd")
    daemon.expect(lambda entry: "what it knows counts again" in entry["message"])
    wait_for(lambda: is_configured(system) or None, "eth0 to be configured again")
    restart = [each["message"] for each in daemon.announced()[mark:] if each["event"] == "lease"]
    server.ip("link", "set", "peer", "down")
    daemon.wait_event("eth0", "no-carrier")
    wait_for(lambda: "release" in find(daemon, "lease")[-1]["message"] or None, "the lost lease")

    assert not [each for each in restart if "release" in each or "bound" in each]
    said = (daemon.scripts / "data" / "said").read_text().splitlines()
    lease = "255.255.255.0|192.0.2.1|192.0.2.53 192.0.2.54|c.example a.example b.example|dhcphost"
    first = said[0].split("|")
    assert [first[0], first[1], first[-1]] == ["configured", "systemd-networkd", "1"]
    assert "|".join(first[4:9]) == lease
    bound = next(each for each in said if each.startswith("lease|systemd-networkd|bound|192.0.2.1"))
    assert bound.endswith(f"|{lease}|")
    assert any(each.startswith("no-carrier|systemd-networkd||") for each in said)
