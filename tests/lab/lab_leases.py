"""
Leases of dhclient and dhcpcd, as Debian has them, beside netevd.service with its defaults.

Times are those of real clients: dhclient writes no lease within 15 s of the last one, and dnsmasq
grants none of less than two minutes.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.boundary.rig import wait_for
from tests.lab.lab_systemd import install, write
from tests.lab.rootfs import make_rootfs
from tests.lab.system import ENVIRONMENT, System

HOOK: Final = Path(__file__).resolve().parents[2] / "packaging/dhcpcd/90-netevd"
TELL: Final = """#!/bin/sh
echo "TOLD $NETEVD_REASON $BACKEND $DHCP_ADDRESS|$DHCP_GATEWAY|$DHCP_DNS|$DHCP_DOMAIN|$DHCP_SUBNET_MASK"
"""
V4: Final = "|10.77.1.1|10.77.1.53 10.77.1.54|lan.example a.example b.example|255.255.255.0"
V6: Final = "||fd77:1::53|a.example b.example|"
OPTIONS: Final = (
    "--dhcp-option=option:router,10.77.1.1",
    "--dhcp-option=option:dns-server,10.77.1.53,10.77.1.54",
    "--dhcp-option=option:domain-search,a.example,b.example",
    "--domain=lan.example",
    "--dhcp-option=option6:dns-server,[fd77:1::53]",
    "--dhcp-option=option6:domain-search,a.example,b.example",
    "--dhcp-authoritative",
    "--no-ping",
    "--enable-ra",
    "--ra-param=server1,4",
)
DHCLIENT_CONF: Final = """
request subnet-mask, routers, domain-name, domain-name-servers, domain-search, dhcp6.name-servers,
        dhcp6.domain-search;
"""


class Site:
    """A system with netevd, and a DHCP server behind its eth1."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._server: subprocess.Popen[str] | None = None
        self._clients: list[subprocess.Popen[str]] = []

    def begin(self) -> None:
        """Boot, link both, start netevd with its defaults."""
        system = self.system
        system.start(str(ENVIRONMENT))
        system.run("ip", "netns", "add", "server")
        for words in (
            "link add eth1 index 101 type veth peer name server1 index 201 netns server",
            "-n server link set lo up", "-n server link set server1 up",
            "-n server addr add 10.77.1.1/24 dev server1",
            "-n server addr add fd77:1::1/64 dev server1 nodad", "link set eth1 up",
        ):  # fmt: skip
            system.run("ip", *words.split())
        system.run("systemctl", "start", "netevd")

    def serve(self, first: int = 50, granted: str = "2m") -> None:
        """(Re)start the server, which knows of no lease; addresses begin here, and are granted for this time."""
        self.stop_serving()
        self.system.run("rm", "-f", "/run/leases.server")
        command = ["ip", "netns", "exec", "server", "dnsmasq", "--keep-in-foreground", "--port=0"]
        command += ["--conf-file=/dev/null", "--user=root", "--interface=server1"]
        command += [
            "--bind-interfaces",
            f"--dhcp-range=10.77.1.{first},10.77.1.{first + 20},{granted}",
        ]
        command += [f"--dhcp-range=fd77:1::{first},fd77:1::{first + 20},64,{granted}", *OPTIONS]
        command += ["--dhcp-leasefile=/run/leases.server", "--pid-file=", "--log-facility=-"]
        self._server = self.system.begin(*command)

        def listens() -> bool:
            shown = self.system.run("ip", "netns", "exec", "server", "ss", "-Hlun").stdout
            return ":67 " in shown and ":547 " in shown

        wait_for(lambda: listens() or None, "the server")

    def stop_serving(self) -> None:
        """End the server."""
        if self._server is not None:
            self.system.run("pkill", "-x", "dnsmasq")
            self._server.wait()
            self._server = None

    def start(self, *command: str) -> None:
        """Start a client in the foreground."""
        self._clients.append(self.system.begin(*command))

    def read_told(self) -> list[str]:
        """Return what scripts of leases have said so far."""
        text = self.system.run("journalctl", "-u", "netevd", "-o", "cat").stdout
        return [line.partition("TOLD ")[2] for line in text.splitlines() if "TOLD " in line]

    def expect(self, *lines: str, seconds: float = 90) -> None:
        """Return once these were told, and nothing else."""
        with contextlib.suppress(AssertionError):
            wait_for(lambda: len(self.read_told()) >= len(lines) or None, "leases", seconds)
        log = self.system.run("journalctl", "-u", "netevd", "-o", "cat").stdout
        assert self.read_told() == list(lines), log[-6000:]

    def wait_for_told(self, count: int) -> str:
        """Return the address of a lease that was told as the so-manieth."""
        wait_for(lambda: len(self.read_told()) >= count or None, f"lease {count}", 90)
        return self.read_told()[count - 1].partition("|")[0].split(" ")[-1]

    def end(self) -> None:
        """End all that was begun; the system itself ends with its fixture."""
        for each in self._clients:
            each.kill()
            each.wait()
        if self._server is not None:
            self._server.kill()
            self._server.wait()


@pytest.fixture
def site() -> Iterator[Site]:
    """A system with both clients, and scripts for leases."""
    system = System(make_rootfs("bookworm"))
    site = Site(system)
    try:
        install(system)
        for name in ("dhcpcd", "NetworkManager", "systemd-networkd"):  # each would configure eth1
            (system.files / f"etc/systemd/system/{name}.service").symlink_to("/dev/null")
        write(
            system,
            "etc/netevd/netevd.yaml",
            "network: {links: [eth1]}\nsystem: {log_format: journal}\n",
        )
        write(system, "etc/netevd/lease.d/10-tell", TELL, mode=0o755)
        write(system, "etc/dhcp/dhclient-enter-hooks.d/lab", "make_resolv_conf() { :; }\n")
        write(system, "usr/lib/dhcpcd/dhcpcd-hooks/90-netevd", HOOK.read_text())
        site.begin()
        yield site
    finally:
        site.end()
        system.stop()


def let_age(seconds: float = 5) -> None:
    """Return once a lease is so old that another one is a renewal, and no clock's correction."""
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end or None, "time to pass", seconds + 5)


def configure(site: Site, *settings: str) -> None:
    """Write dhclient.conf."""
    write(site.system, "etc/dhcp/dhclient.conf", DHCLIENT_CONF + "\n".join(settings))


def test_dhclient_renews_moves_and_expires(site: Site) -> None:
    """By Debian's own script and file: renewed, refused and given another address, expired, bound again."""
    configure(
        site,
        "supersede dhcp-lease-time 40; supersede dhcp-renewal-time 16; supersede dhcp-rebinding-time 30;",
        "initial-interval 1; timeout 10; retry 5;",
    )
    site.serve()
    site.start("dhclient", "-4", "-d", "eth1")
    first = site.wait_for_told(1)
    wanted = [f"bound dhclient {first}{V4}", f"renew dhclient {first}{V4}"]
    site.expect(*wanted)

    site.serve(first=100)
    second = site.wait_for_told(4)
    assert int(second.rpartition(".")[2]) >= 100
    wanted += [f"release dhclient {first}{V4}", f"bound dhclient {second}{V4}"]
    site.expect(*wanted)

    site.stop_serving()
    wanted.append(f"expire dhclient {second}{V4}")
    site.expect(*wanted)
    site.serve(first=100)
    third = site.wait_for_told(6)
    site.expect(*wanted, f"bound dhclient {third}{V4}")


def test_dhclient_rebinds(site: Site) -> None:
    """A server that is asked as anybody, since it did not answer when it was asked by name."""
    configure(
        site,
        "supersede dhcp-lease-time 60; supersede dhcp-renewal-time 16; supersede dhcp-rebinding-time 24;",
    )
    site.serve()
    site.start("dhclient", "-4", "-d", "eth1")
    address = site.wait_for_told(1)
    # it does not hear what is sent to it, only what is sent to all
    site.system.run("ip", "-n", "server", "addr", "add", "10.77.1.2/24", "dev", "server1")
    site.system.run("ip", "-n", "server", "addr", "del", "10.77.1.1/24", "dev", "server1")
    site.system.run("ip", "-n", "server", "addr", "replace", "10.77.1.2/24", "dev", "server1")
    site.serve()

    told = [f"bound dhclient {address}{V4}", f"rebind dhclient {address}{V4}"]
    site.wait_for_told(2)
    assert site.read_told()[:2] == told


def test_dhclient_of_ipv6(site: Site) -> None:
    """Bound, renewed after a minute, given back."""
    configure(site)
    site.serve()
    wait_for(lambda: _has_link_local(site) or None, "a link-local address")
    site.start("dhclient", "-6", "-d", "eth1")
    address = site.wait_for_told(1)
    wanted = [f"bound dhclient {address}{V6}", f"renew dhclient {address}{V6}"]
    site.expect(*wanted, seconds=120)

    site.system.run("dhclient", "-6", "-r", "eth1")
    site.expect(*wanted, f"release dhclient {address}{V6}")


def test_dhcpcd_of_both_families(site: Site) -> None:
    """By its hook: bound, renewed, given back; of leases so long that nothing is renewed but by our word."""
    site.serve(granted="1h")
    site.start("dhcpcd", "-B", "eth1")
    wait_for(lambda: len(site.read_told()) >= 2 or None, "both families", 90)
    told = sorted(site.read_told())
    address, address6 = (each.partition("|")[0].split(" ")[-1] for each in told)
    wanted = [f"bound dhcpcd {address}{V4}", f"bound dhcpcd {address6}{V6}"]
    assert told == wanted

    let_age()
    site.system.run("dhcpcd", "-N", "eth1")
    wait_for(lambda: len(site.read_told()) >= 4 or None, "renewals", 90)
    renewals = [each.replace("bound", "renew") for each in wanted]
    assert sorted(site.read_told()[2:]) == renewals

    site.system.run("dhcpcd", "-k", "eth1")
    wait_for(lambda: len(site.read_told()) >= 6 or None, "releases", 90)
    assert sorted(site.read_told()[4:]) == [each.replace("bound", "release") for each in wanted]


def _has_link_local(site: Site) -> bool:
    words = ("-6", "-o", "addr", "show", "scope", "link", "-tentative", "dev", "eth1")
    return bool(site.system.run("ip", *words).stdout)
