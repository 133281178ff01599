"""
Whoever tells netevd something is restarted, killed, or loses its bus: what is told then, against written lists.

Facts are right again each time, health says who is missing and that they are back, and nothing is told twice.
Routes are left out: which of them a manager sets anew in passing is its own affair.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.backends.networkd import boot, is_configured, start_networkd
from tests.boundary.rig import wait_for
from tests.lab.dhcp import DhcpServer
from tests.lab.lab_backends import (
    DHCLIENT,
    FIRST_DNS,
    FIRST_DOMAINS,
    SECOND_DNS,
    allow,
    inside,
    wait_shown,
)
from tests.lab.lab_leases import V4, Site, let_age, site
from tests.lab.lab_systemd import ask, install
from tests.lab.office import Office
from tests.lab.system import ENVIRONMENT, System
from tests.processes.rig import Daemon

__all__ = ("inside", "site")  # fixtures

NETWORKD_RESTARTED: Final = ["lease renew"]
NETWORKD_CLEARS: Final = {
    "address-removed", "address-added", "address-usable", "routable", "gateway-changed", "dns-changed",
    "manager", "lease release", "lease bound",
}  # fmt: skip
"""257 that finds the link of one that was killed clears it, and begins anew; the kernel tells the order."""
SETUP: Final = ("pending", "initialized", "configuring", "configured")
LEFT_OUT: Final = ("routes", "link-changed", *SETUP)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the socket of a daemon."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def ask_health(daemon: Daemon) -> dict[str, str]:
    """Return what /health says of backends."""
    connection = UnixConnection(str(daemon.root / "run/api.sock"))
    connection.request("GET", "/health")
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return dict(answer["checks"]["backends"])


# --- systemd-networkd ------------------------------------------------------------------------------


def read_told(daemon: Daemon) -> list[str]:
    """Return what was told of eth0 and the host, in a few words."""
    return [
        f"{each['event']} {each['message'].split()[0]}"
        if each["event"] == "lease"
        else each["event"]
        for each in daemon.announced()
        if each["event"] not in LEFT_OUT
    ]


def is_as_before(told: list[str]) -> bool:
    """Tell whether what was taken from the link is there again, each once, whichever the order; or nothing was."""
    if told == NETWORKD_RESTARTED:
        return True
    leases = [each for each in told if each.startswith("lease")]
    even = all(told.count(each) % 2 == 0 for each in ("gateway-changed", "dns-changed", "manager"))
    again = all(told.count(each) == 1 for each in ("address-removed", "address-added", "routable"))
    known = {*told} <= NETWORKD_CLEARS | {*NETWORKD_RESTARTED}
    return (
        known
        and even
        and again
        and leases in (["lease release", "lease bound"], NETWORKD_RESTARTED)
    )


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_networkd_and_its_bus(suite: str) -> None:
    """Restarted, killed, left without its bus (to which neither 252 nor 257 returns), both at once."""
    with boot(suite) as (system, _):
        daemon = Daemon("network: {links: [eth0]}\nsystem: {log_format: json}\n")
        try:
            daemon.start(prefix=system.beside)
            start_networkd(system)
            wait_for(lambda: is_configured(system) or None, "eth0 to be configured")
            _restart_networkd(daemon, system, suite)
        finally:
            daemon.close()


def _restart_networkd(daemon: Daemon, system: System, suite: str) -> None:
    let_age()  # what netevd hears of the beginning depends on when it has found networkd
    wanted = read_told(daemon)

    def expect(*told: str) -> None:
        wanted.extend(told)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: len(read_told(daemon)) >= len(wanted) or None, f"{told}")
        assert read_told(daemon) == wanted
        wait_for(lambda: "systemd-networkd:" not in ask_health(daemon)["detail"] or None, "health")

    def wait_for_loss(after: int, word: str) -> None:
        daemon.expect(
            lambda each: each["message"].startswith("systemd-networkd") and word in each["message"],
            after,
        )

    after = len(daemon.log)
    system.run("systemctl", "restart", "systemd-networkd")
    wait_for_loss(after, "it has left the bus")
    wait_for_loss(after, "counts again")
    expect(*NETWORKD_RESTARTED)
    let_age()
    after = len(daemon.log)
    system.run("systemctl", "kill", "-s", "KILL", "systemd-networkd")
    wait_for_loss(after, "it has left the bus")
    wait_for_loss(after, "counts again")
    wait_for(lambda: is_configured(system) or None, "eth0 to be configured")
    if suite == "bookworm":
        expect(*NETWORKD_RESTARTED)
    else:
        with contextlib.suppress(AssertionError):
            wait_for(lambda: is_as_before(read_told(daemon)[len(wanted) :]) or None, "it")
        assert is_as_before(read_told(daemon)[len(wanted) :]), " ".join(read_told(daemon))
        wanted += read_told(daemon)[len(wanted) :]
        expect()
    let_age()
    after = len(daemon.log)
    system.run("systemctl", "kill", "-s", "KILL", "dbus")
    wait_for_loss(after, "there is no system bus")
    wait_for(
        lambda: "is not on the system bus" in ask_health(daemon)["detail"] or None,
        "a bus without it",
    )
    assert ask_health(daemon)["status"] == "warn"
    system.run("systemctl", "restart", "systemd-networkd")
    wait_for_loss(after, "counts again")
    expect(*NETWORKD_RESTARTED)
    let_age()
    after = len(daemon.log)
    system.run("systemctl", "restart", "dbus", "systemd-networkd")
    wait_for_loss(after, "counts again")
    expect(*NETWORKD_RESTARTED)
    setup = [each["event"] for each in daemon.announced() if each["event"] in SETUP]
    assert not [pair for pair in itertools.pairwise(setup) if pair[0] == pair[1]], setup
    system.ip("link", "set", "eth0", "mtu", "1400")
    daemon.wait_event("eth0", "link-changed", 2)
    assert read_told(daemon) == wanted


# --- NetworkManager --------------------------------------------------------------------------------


@pytest.fixture
def office() -> Iterator[Office]:
    """An office with netevd as a service, and a connection that is up."""
    it = Office()
    try:
        install(it.system)
        text = "network: {links: [eth0]}\nsystem: {log_format: journal}\n"
        it.write("etc/netevd/netevd.yaml", text, 0o644)
        it.start(str(ENVIRONMENT))
        it.system.run("systemctl", "start", "netevd")
        it.system.run("systemctl", "start", "NetworkManager")
        wait_for(
            lambda: "manager connected-global" in list_events(it.system) or None, "it to be up", 60
        )
        yield it
    finally:
        it.close()


def list_events(system: System) -> list[str]:
    """Return all events but those of routes: type, and what a lease or the host is said to be."""
    found = ask(system, "events", "--limit", "1000")["events"]
    return [_show(each) for each in found if each["type"] != "routes"]


def _show(event: dict[str, Any]) -> str:
    host = event.get("host") or {}
    states = dict(host.get("states") or {})
    return " ".join(
        filter(None, [event["type"], event.get("reason") or "", states.get("state", "")])
    )


def read_check(system: System) -> str:
    """Return what netevd's own check says of backends."""
    return str(ask(system, "status")["checks"]["backends"]["detail"])


@pytest.mark.parametrize(
    "commands",
    [
        ["systemctl restart NetworkManager"],
        ["systemctl kill -s KILL NetworkManager"],
        ["systemctl kill -s KILL dbus", "systemctl restart NetworkManager"],
        ["systemctl restart dbus NetworkManager"],
    ],
    ids=["restart", "kill", "bus-killed", "both"],
)
def test_networkmanager_and_its_bus(office: Office, commands: list[str]) -> None:
    """It takes its connection up again, and asks for its leases: all that has happened is a renewal."""
    system = office.system
    let_age()
    before, facts = list_events(system), ask(system, "show", "interface", "eth0")
    for command in commands:
        system.run(*command.split())

    def log() -> str:
        return system.run("journalctl", "-u", "netevd", "-o", "cat").stdout

    wait_for(
        lambda: "NetworkManager is not there: " in log().partition("counts too")[2] or None,
        "its end",
    )
    wait_for(
        lambda: "NetworkManager 1.42.4 is there: what it knows counts again" in log() or None, "it"
    )
    wait_for(lambda: len(list_events(system)) > len(before) or None, "the renewal", 60)
    wait_for(lambda: _has_started(system) or None, "the end of its start", 60)
    system.ip("link", "set", "eth0", "mtu", "1400")
    wait_for(lambda: "link-changed" in list_events(system)[len(before) :] or None, "the mark")

    assert list_events(system)[len(before) :] == ["lease renew", "link-changed"]
    again = ask(system, "show", "interface", "eth0")
    for name in ("state", "device_state", "dns", "domains", "gateways", "backend"):
        assert again.get(name) == facts.get(name)


def _has_started(system: System) -> bool:
    shown = system.run("nmcli", "--terse", "--fields", "STARTUP", "general", "status", check=False)
    return shown.stdout.strip() == "started"


# --- resolved, hostnamed, their bus ----------------------------------------------------------------


def test_resolved_and_hostnamed_are_told_again(
    inside: tuple[System, DhcpServer, DhcpServer],
) -> None:
    """Killed, and after a restart of the bus: each knows the leases again, and the host has its name."""
    system, _, _ = inside
    allow(system)
    system.ip("link", "set", "eth0", "up")
    system.run(*DHCLIENT, "-1", "eth0")

    def wait_told() -> None:
        wait_shown(system, "dns", "eth0", FIRST_DNS, 60)
        wait_shown(system, "domain", "eth0", FIRST_DOMAINS, 60)
        wait_shown(system, "dns", "eth1", SECOND_DNS, 60)
        names = {"dhcphost", "secondname"}
        wait_for(lambda: system.run("hostname").stdout.strip() in names or None, "the name", 60)

    wait_told()
    for command in (
        "systemctl kill -s KILL systemd-resolved", "systemctl kill -s KILL systemd-hostnamed",
        "systemctl restart dbus systemd-networkd systemd-resolved polkit",
    ):  # fmt: skip
        system.run(*command.split(), check=False)  # hostnamed may have ended by itself
        wait_told()
    system.run(*DHCLIENT, "-r", "eth0")
    wait_shown(system, "dns", "eth0", set(), 60)


# --- dhclient, dnsmasq -----------------------------------------------------------------------------


def test_client_and_server_restart(site: Site) -> None:
    """A client that is killed and begun again asks for what it had: one renewal; a server's restart is no event."""
    system = site.system
    site.serve()
    client = system.begin("dhclient", "-4", "-d", "eth1")
    address = site.wait_for_told(1)
    let_age()
    system.run("pkill", "-KILL", "-x", "dhclient")
    client.wait()
    site.start("dhclient", "-4", "-d", "eth1")
    told = [f"bound dhclient {address}{V4}", f"renew dhclient {address}{V4}"]
    site.expect(*told)
    site.serve()
    system.run("dhclient", "-4", "-r", "eth1")
    site.expect(*told, f"release dhclient {address}{V4}")
