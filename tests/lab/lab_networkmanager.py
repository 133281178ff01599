"""NetworkManager as Debian has it, beside netevd.service: states, leases, DNS, profile, restart of both ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.boundary.rig import wait_for
from tests.lab.dhcp import DhcpServer
from tests.lab.lab_systemd import install, write
from tests.lab.rootfs import make_rootfs
from tests.lab.system import ENVIRONMENT, System

CONFIGURATION: Final = """
[main]
plugins=keyfile
no-auto-default=*
dns=none
rc-manager=unmanaged
dhcp=internal
[connectivity]
enabled=false
[device-eth]
match-device=interface-name:eth*
managed=1
"""
PROFILE: Final = """
[connection]
id=Office (5 GHz)
uuid=3f1c8a52-7d0e-4e0f-9c0b-2b1f6c1d9a10
type=ethernet
interface-name=eth1
[ipv4]
method=auto
[ipv6]
method=auto
addr-gen-mode=eui64
[user]
zone.Name=dmz
"""
SERVED: Final = (
    "--dhcp-option=option:router,192.0.2.1",
    "--dhcp-option=option:dns-server,192.0.2.53,192.0.2.54",
    "--dhcp-option=option:domain-search,a.example,b.example",
    "--domain=lan.example",
)
ROW: Final = ("prepare", "config", "ip-config", "ip-check", "secondaries", "activated")
"""States of a device on its way up."""
STATES: Final = (
    "prepare", "config", "ip-config", "ip-check", "secondaries", "activated", "deactivating",
    "disconnected", "unavailable", "unmanaged", "failed", "lease", "dns-changed", "manager",
)  # fmt: skip
TELL: Final = """#!/bin/sh
echo "TOLD $NETEVD_EVENT $LINK $BACKEND $NETEVD_REASON $DHCP_ADDRESS|$DHCP_GATEWAY|$DHCP_DNS|$DHCP_DOMAIN"
"""
HOOK: Final = """#!/bin/sh
echo "HOOK $1 $2 $CONNECTION_ID|$CONNECTION_UUID|$CONNECTION_USER_ZONE___NAME|$IP4_ADDRESS_0|$IP4_NAMESERVERS|$DHCP4_ROUTERS"
"""


class Site:
    """A system with NetworkManager and netevd, and a DHCP server behind its eth1."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.server: DhcpServer | None = None

    def begin(self) -> None:
        """Boot, start netevd, and give the system a link with a DHCP server behind it."""
        self.system.start(str(ENVIRONMENT))
        self.system.run("systemctl", "start", "netevd")
        self.server = DhcpServer(self.system.pid, "eth1")
        self.server.serve(*SERVED)

    def read(self, word: str) -> list[str]:
        """Return what scripts have said behind a word so far."""
        return [line.partition(word)[2].strip() for line in self.log().splitlines() if word in line]

    def log(self) -> str:
        """Return what netevd has logged so far."""
        return self.system.run("journalctl", "-u", "netevd", "-o", "cat").stdout

    def told(self, *types: str) -> list[str]:
        """Return events of these types, all if none is given, as scripts have heard them."""
        return [each for each in self.read("TOLD ") if not types or each.split()[0] in types]

    def expect(self, wanted: str, count: int = 1) -> None:
        """Return once a line that begins so was told so often."""

        def is_there() -> bool:
            return sum(each.startswith(wanted) for each in self.told()) >= count

        try:
            wait_for(lambda: is_there() or None, wanted, 60)
        except AssertionError as error:
            log = self.system.run("journalctl", "-o", "cat", "-n", "200").stdout
            raise AssertionError(f"{error}\n{self.told()}\n{log[-6000:]}") from None

    def show(self) -> dict[str, Any]:
        """Return eth1 as the API has it."""
        command = ("/opt/netevd/env/bin/netevd", "show", "interface", "eth1", "-o", "json")
        return dict(json.loads(self.system.run(*command).stdout))

    def end(self) -> None:
        """End the server; the system ends with its fixture."""
        if self.server is not None:
            self.server.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A system in which NetworkManager configures eth1, and scripts for all that it tells."""
    system = System(make_rootfs("bookworm"))
    site = Site(system)
    try:
        install(system)
        for name in ("dhcpcd", "systemd-networkd", "NetworkManager-dispatcher"):
            (system.files / f"etc/systemd/system/{name}.service").symlink_to("/dev/null")
        text = "network: {links: [eth1]}\nsystem: {log_format: journal}\n"
        text += "compat: {networkmanager: {enabled: true}}\n"
        write(system, "etc/netevd/netevd.yaml", text)
        for state in STATES:
            write(system, f"etc/netevd/{state}.d/10-tell", TELL, mode=0o755)
        write(system, "etc/NetworkManager/dispatcher.d/10-tell", HOOK, mode=0o755)
        write(system, "etc/NetworkManager/conf.d/lab.conf", CONFIGURATION)
        place = "etc/NetworkManager/system-connections/office.nmconnection"
        write(system, place, PROFILE, mode=0o600)
        site.begin()
        yield site
    finally:
        site.end()
        system.stop()


def test_a_connection_comes_goes_and_outlives_restarts(site: Site) -> None:
    """Every state in order, lease and DNS of its DHCP client, profile; restarts invent nothing."""
    server, system = site.server, site.system
    assert server is not None
    site.expect("activated eth1 NetworkManager")
    site.expect("lease eth1 NetworkManager bound")
    site.expect("dns-changed eth1 NetworkManager")
    row = [each.split()[0] for each in site.told() if each.split()[0] in ROW]
    assert row == list(ROW)
    (lease,) = site.told("lease")
    address = lease.partition("bound ")[2].partition("|")[0]
    assert lease.endswith("|192.0.2.1|192.0.2.53 192.0.2.54|lan.example a.example b.example")
    shown = site.show()
    assert shown["dns"] == ["192.0.2.53", "192.0.2.54"]
    profile = "Office (5 GHz)|3f1c8a52-7d0e-4e0f-9c0b-2b1f6c1d9a10|dmz"
    configured = f"{address}/24 192.0.2.1|192.0.2.53 192.0.2.54|192.0.2.1"
    up = f"eth1 up {profile}|{configured}"
    wait_for(lambda: up in site.read("HOOK ") or None, up)

    told = site.told()
    system.run("systemctl", "restart", "netevd")
    server.ip("link", "set", "peer", "down")
    site.expect("unavailable eth1 NetworkManager", 1 + len(_find(told, "unavailable")))
    new = site.told()[len(told) :]
    assert [each.split()[0] for each in new if each.split()[0] in STATES[:-3]] == ["unavailable"]
    assert f"lease eth1 NetworkManager release {address}" in " ".join(new)
    wait_for(lambda: _find(site.read("HOOK "), f"eth1 down {profile}") or None, "down")

    server.serve(*SERVED, low=100, high=120)
    server.ip("link", "set", "peer", "up")
    site.expect("activated eth1 NetworkManager", 2)
    site.expect("lease eth1 NetworkManager bound", 2)
    second = site.told("lease")[-1].partition("bound ")[2].partition("|")[0]
    assert int(second.rpartition(".")[2]) >= 100

    system.run("systemctl", "restart", "NetworkManager")
    wait_for(
        lambda: "NetworkManager 1.42.4 is there: what it knows counts again" in site.log(),
        "NetworkManager",
    )
    wait_for(lambda: site.show()["device_state"] == "activated" or None, "activated")
    assert site.show()["dns"] == ["192.0.2.53", "192.0.2.54"]


def _find(lines: list[str], begin: str) -> list[str]:
    return [each for each in lines if each.startswith(begin)]
