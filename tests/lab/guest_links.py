"""Runs in the guest: what netevd is for, on VLANs, bonds and VRFs of a kernel that has them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from tests.boundary.rig import wait_for
from tests.processes.conftest import daemon, make_daemon, namespace
from tests.processes.rig import RECORD, Daemon, ip
from tests.processes.test_api import ask

__all__ = ["daemon", "make_daemon", "namespace"]

CONFIGURATION = """
system: {log_format: json}
network: {links: [vlan*, bond*, vrf*, port*]}
routing:
  policy: {enabled: true, interfaces: [vlan5, bond0, vlan7]}
  rules: [{priority: 20010, from: 10.7.0.0/24, table: 100}]
"""
CLIENT = "198.51.100.7"
EVENTS = ("carrier", "no-carrier", "enslaved", "address-added")


def tell(*words: str) -> str:
    """Return what ip(8) says, "" where it refuses."""
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False).stdout


def find_way(source: str) -> str:
    """Return the link by which what has this source leaves for the client."""
    words = tell("route", "get", CLIENT, "from", source).split()
    return words[words.index("dev") + 1] if "dev" in words else ""


@pytest.fixture
def links(namespace: None) -> None:
    """
    Make vlan5 (10.5.0.10, the better default route) and vlan7 on trunk0, and bond0 (10.6.0.10) of port0 and port1.

    Each veth has its peer in the same namespace: trunk1, far0, far1.
    """
    ip(
        "link add trunk0 type veth peer name trunk1",
        *[f"link add port{n} type veth peer name far{n}" for n in (0, 1)],
        "link add link trunk0 name vlan5 type vlan id 5", "link add link trunk0 name vlan7 type vlan id 7",
        "link add vrf0 type vrf table 100",
        "link add bond0 type bond mode active-backup miimon 50",
        *[f"link set port{n} master bond0" for n in (0, 1)],
        *[f"link set {name} up" for name in ("trunk0", "trunk1", "far0", "far1", "bond0", "vlan5", "vlan7", "vrf0")],
        "addr add 10.5.0.10/24 dev vlan5", "addr add 10.6.0.10/24 dev bond0",
        "route add default via 10.5.0.1 dev vlan5 metric 100",
        "route add default via 10.6.0.1 dev bond0 metric 200",
    )  # fmt: skip
    wait_for(lambda: '"operstate":"UP"' in tell("-json", "link", "show", "bond0") or None, "bond0")


@pytest.fixture
def watched(make_daemon: Callable[..., Daemon], links: None) -> Daemon:
    """Return a daemon that watches them, with a script for what happens to them."""
    daemon = make_daemon(CONFIGURATION)
    for event in EVENTS:
        daemon.script(event, RECORD)
    return daemon.start()


def wait_run(daemon: Daemon, link: str, event: str, count: int = 1) -> None:
    """Return once a script has run so often for this event of a link that was running already."""

    def find() -> bool:
        return [words[1:3] for words in daemon.record()].count([link, event]) >= count

    wait_for(lambda: find() or None, f"run {count} of {event} for {link}")


def test_vlan_and_bond_answer_each_by_its_own_link(watched: Daemon) -> None:
    """Two uplinks that are no hardware: what has the address of the bond leaves by it, and both follow their gateways."""
    wait_for(lambda: find_way("10.6.0.10") == "bond0" or None, "the rule of bond0")
    assert find_way("10.5.0.10") == "vlan5"
    assert "dev vlan5" in tell("route", "get", CLIENT)
    ip("route replace default via 10.6.0.2 dev bond0 metric 50")  # bond0 is the primary now
    wait_for(lambda: find_way("10.5.0.10") == "vlan5" or None, "the rule of vlan5")
    assert find_way("10.6.0.10") == "bond0"
    ip("link del vlan5")
    watched.wait_event("vlan5", "link-removed")
    # one uplink is left: there is nothing to tell apart
    wait_for(
        lambda: ("10.5.0.10" not in tell("rule") and "10.6.0.10" not in tell("rule")) or None,
        "no rule",
    )


def test_vlan_follows_the_carrier_of_its_parent(watched: Daemon) -> None:
    """A cable that is pulled from the trunk is no-carrier of each VLAN on it; addresses that come are told with it."""
    wait_run(watched, "vlan5", "carrier")  # the initial one
    before = len(watched.record())
    ip("link set trunk1 down")
    for name in ("vlan5", "vlan7"):
        wait_run(watched, name, "no-carrier")
    ip("link set trunk1 up")
    wait_run(watched, "vlan5", "carrier", 2)
    ip("addr add 10.5.1.1/24 dev vlan5")
    wait_run(watched, "vlan5", "address-added")
    own = [words[2] for words in watched.record()[before:] if words[1] == "vlan5"]
    assert own == ["no-carrier", "carrier", "address-added"]


def test_bond_keeps_its_carrier_for_as_long_as_a_port_has_one(watched: Daemon) -> None:
    """The ports tell theirs, each as enslaved; the bond is told when the last one went, and when one is back."""
    wait_run(watched, "port0", "enslaved")
    wait_run(watched, "port1", "enslaved")
    ip("link set far0 down")
    wait_run(watched, "port0", "no-carrier")
    found = {each["name"]: each for each in ask(watched, "list", "interfaces")["interfaces"]}
    assert (found["bond0"]["kind"], found["bond0"]["carrier"]) == ("bond", True)
    assert (found["port1"]["master"], found["port1"]["carrier"]) == ("bond0", True)
    assert "no-carrier" not in watched.events("bond0")
    ip("link set far1 down")
    wait_run(watched, "bond0", "no-carrier")
    ip("link set far0 up")
    wait_run(watched, "bond0", "carrier", 2)


def test_rule_leads_into_the_table_of_a_vrf(watched: Daemon) -> None:
    """A link that enters a VRF is told with its master, has no rules of its own, and a fixed rule leads to its table."""
    ip("link set vlan7 master vrf0", "addr add 10.7.0.10/24 dev vlan7", "route add default via 10.7.0.1 dev vlan7 table 100")  # fmt: skip

    wait_run(watched, "vlan7", "address-added")
    wait_for(lambda: find_way("10.7.0.10") == "vlan7" or None, "the rule of the VRF's table")
    (shown,) = [
        each for each in ask(watched, "list", "interfaces")["interfaces"] if each["name"] == "vlan7"
    ]
    assert (shown["kind"], shown["master"]) == ("vlan", "vrf0")
    ours = [
        each for each in json.loads(tell("-json", "-N", "rule")) if each.get("protocol") == "110"
    ]
    assert [
        (each["priority"], each["table"]) for each in ours if each["src"].startswith("10.7.")
    ] == [(20010, "100")]
    ip("link set vlan7 nomaster")
    watched.wait_event("vlan7", "link-changed", 2)
