"""A real systemd-networkd beside policy routing: what it removes is there again, and who is to blame is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.boundary.rig import wait_for
from tests.lab.lab_systemd import ask, install, write
from tests.lab.rootfs import make_rootfs
from tests.lab.system import ENVIRONMENT, System

CONFIGURATION = """
network: {links: [eth*]}
system: {log_format: journal}
routing:
  policy: {enabled: true, interfaces: ["eth*"], primary: include}
  rules: [{from: 10.8.0.0/16, table: "200", priority: 20010, family: ipv4}]
"""
NETWORK = """[Match]
Name=eth{number}
[Link]
RequiredForOnline=no
[Network]
Address=10.{number}.1.2/24
Gateway=10.{number}.1.1
IPv6AcceptRA=no
LinkLocalAddressing=no
"""


@pytest.fixture
def system() -> Iterator[System]:
    """A system with two uplinks that networkd has configured."""
    it = System(make_rootfs("bookworm"))
    try:
        install(it)
        write(it, "etc/netevd/netevd.yaml", CONFIGURATION)
        for number in (1, 2):
            write(it, f"etc/systemd/network/eth{number}.network", NETWORK.format(number=number))
        yield it
    finally:
        it.stop()


def start(system: System) -> None:
    """Boot, with two links whose peers are up, and networkd and netevd beside each other."""
    system.start(str(ENVIRONMENT))
    for number in (1, 2):
        system.ip("link", "add", f"eth{number}", "index", f"10{number}", "type", "veth",
                  "peer", "name", f"peer{number}", "index", f"20{number}")  # fmt: skip
        system.ip("link", "set", f"peer{number}", "up")
    system.run("systemctl", "start", "systemd-networkd")
    system.run("systemctl", "start", "netevd")
    wait_for(lambda: len(read_rules(system)) == 6 or None, f"our rules: {read_rules(system)}", 60)


def read_rules(system: System) -> list[str]:
    """Return the IPv4 rules of protocol 110, as ip(8) shows them."""
    shown = system.run("ip", "-4", "rule", "show").stdout.splitlines()
    return sorted(line.strip() for line in shown if "proto 110" in line or "proto netevd" in line)


def restart_networkd(system: System) -> None:
    """Restart it, and have it configure its links anew: both as an upgrade and a changed file do."""
    system.run("systemctl", "restart", "systemd-networkd")
    reconfigure = "networkctl", "reconfigure", "eth1", "eth2"
    # its name on the bus comes a moment after it is active
    wait_for(lambda: not system.run(*reconfigure, check=False).returncode or None, "networkd", 30)


def count_removed_rules(system: System) -> int:
    """Return how many of our rules somebody else has removed so far."""
    drifts = ask(system, "events", "--limit", "1000", "--type", "routing-drift")["events"]
    return sum(each["routing"]["rules_removed"] for each in drifts)


def test_what_networkd_removes_is_restored(system: System) -> None:
    """With its defaults it removes rules and routes of others; they come back, and drift is told."""
    start(system)
    rules = read_rules(system)

    restart_networkd(system)

    # those of an address that has gone with it may be removed by us first: the fixed one never is
    wait_for(lambda: count_removed_rules(system) or None, "drift", 60)
    wait_for(lambda: read_rules(system) == rules or None, "the rules of before", 60)


def test_networkd_that_is_told_to_leaves_them_alone(system: System) -> None:
    """With ManageForeignRoutingPolicyRules=no and ManageForeignRoutes=no it removes none of our rules."""
    text = "[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=no\n"
    write(system, "etc/systemd/networkd.conf.d/netevd.conf", text)
    start(system)
    rules = read_rules(system)

    restart_networkd(system)

    wait_for(lambda: ask(system, "events", "--type", "gateway-changed", "--interface", "eth*")["events"] or None,
             "what networkd does", 60)  # fmt: skip
    wait_for(lambda: read_rules(system) == rules or None, "the rules of before", 60)
    assert count_removed_rules(system) == 0
