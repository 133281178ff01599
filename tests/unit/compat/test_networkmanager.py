"""
Arguments and variables of NetworkManager's dispatcher, byte for byte.

What NetworkManager told of a device, and what its dispatcher makes of that, stands in
tests/data/networkmanager, one situation a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netevd.compat.networkmanager import encode_key, find_occasions, make_call
from netevd.model.address import Address
from netevd.model.backend import HostReport, Lease, LinkReport
from netevd.model.event import Event, EventType
from netevd.model.link import IfIndex
from netevd.model.snapshot import OperationalState, Snapshot
from privsep.variables import find_bad_value
from tests.stories.playbook import link

SITUATIONS = sorted((Path(__file__).parents[2] / "data" / "networkmanager").glob("*.json"))


def report(told: dict[str, Any]) -> LinkReport:
    """Return what a file says that NetworkManager has told of a device."""
    details = tuple(told.get("details", {}).items())
    words = {name: value for name, value in told.items() if name != "details"}
    return LinkReport("NetworkManager", IfIndex(3), manages=True, details=details, **words)


def snapshot(name: str, *reports: LinkReport, **more: Any) -> Snapshot:
    """Return a link that others tell of."""
    settings = {"addresses": (), "state": OperationalState.ROUTABLE, **more}
    return Snapshot(link(name, 3), reports=reports, **settings)


def read_event(told: dict[str, Any]) -> Event:
    """Return the event of a file."""
    after = before = None
    if "link" in told:
        before = snapshot(told["link"], report(told["before"]))
        after = snapshot(told["link"], report(told["report"]))
    hosts = []
    for name in ("host", "host_before"):
        states = tuple((word, state) for word, state in told.get(name, {}).get("states", ()))
        hostname = told.get(name, {}).get("hostname", "")
        hosts.append(HostReport("NetworkManager", states, hostname) if name in told else None)
    kind, backend = EventType(told["event"]["type"]), told["event"]["backend"]
    return Event(1, kind, 0, after, before, 1, backend, host=hosts[0], host_before=hosts[1])


@pytest.mark.parametrize("path", SITUATIONS, ids=lambda path: path.stem)
def test_a_situation_gives_the_arguments_and_variables_of_the_manual(path: Path) -> None:
    """Every call of a situation, in order; the runner accepts each variable."""
    told = json.loads(path.read_text(encoding="utf-8"))
    event = read_event(told)

    calls = [make_call(event, each.action) for each in find_occasions(event)]

    found = [
        {"arguments": [*each.words], "variables": sorted("=".join(pair) for pair in each.values)}
        for each in calls
    ]
    assert found == told["calls"]
    for each in calls:
        assert find_bad_value([*each.values], of_tree=True) is None


def test_situations_are_there() -> None:
    """Up, down, an external device, VPN and connectivity are among them."""
    names = {path.stem for path in SITUATIONS}

    assert names >= {
        "up",
        "down",
        "external",
        "vpn-up",
        "vpn-down",
        "connectivity-full",
        "connectivity-unknown",
    }


def test_without_networkmanager_the_kernel_and_leases_tell() -> None:
    """A link that became routable is up: pre-up without addresses, then up with all of them."""
    lease = Lease(
        "systemd-networkd", "ipv4", "192.0.2.9", 24, ("192.0.2.1",), ("192.0.2.53",),
        ("example.org", "lab.example.org"), "host", "192.0.2.1", 3600, 1_700_000_000 * 10**9,
        (("ntp-servers", "192.0.2.123"), ("no name!", "x")),
    )  # fmt: skip
    networkd = LinkReport(
        "systemd-networkd", IfIndex(3), manages=True, leases=(lease,), dns=lease.dns
    )
    addresses = (
        Address(IfIndex(3), 4, "192.0.2.9", 24, 0, 0, None),
        Address(IfIndex(3), 6, "2001:db8::9", 64, 0, 0, None),
    )
    more = {"addresses": addresses, "gateways": ("192.0.2.1", "fe80::1")}
    after = snapshot("eth0", networkd, **more)
    before = snapshot("eth0", state=OperationalState.CARRIER)
    event = Event(1, EventType.ROUTABLE, 0, after, before, 1)

    first, second = find_occasions(event)
    assert (first.action, first.groups) == ("pre-up", ("pre-up-no-wait", "pre-up"))
    assert (second.action, second.groups) == ("up", ("dispatcher-no-wait", "dispatcher"))
    values = dict(make_call(event, "pre-up").values)
    assert values.pop("CONNECTION_UUID").count("-") == 4
    assert values == {
        "NM_DISPATCHER_ACTION": "pre-up", "CONNECTION_ID": "eth0",
        "DEVICE_IFACE": "eth0", "DEVICE_IP_IFACE": "eth0",
    }  # fmt: skip
    values = dict(make_call(event, "up").values)
    del values["CONNECTION_UUID"]
    assert values == {
        "NM_DISPATCHER_ACTION": "up", "CONNECTION_ID": "eth0",
        "DEVICE_IFACE": "eth0", "DEVICE_IP_IFACE": "eth0",
        "IP4_ADDRESS_0": "192.0.2.9/24 192.0.2.1", "IP4_NUM_ADDRESSES": "1",
        "IP4_GATEWAY": "192.0.2.1", "IP4_NAMESERVERS": "192.0.2.53",
        "IP4_DOMAINS": "example.org lab.example.org", "IP4_NUM_ROUTES": "0",
        "IP6_ADDRESS_0": "2001:db8::9/64 fe80::1", "IP6_NUM_ADDRESSES": "1", "IP6_GATEWAY": "fe80::1",
        "DHCP4_IP_ADDRESS": "192.0.2.9", "DHCP4_SUBNET_MASK": "255.255.255.0",
        "DHCP4_NETWORK_NUMBER": "192.0.2.0", "DHCP4_BROADCAST_ADDRESS": "192.0.2.255",
        "DHCP4_ROUTERS": "192.0.2.1", "DHCP4_DOMAIN_NAME": "example.org",
        "DHCP4_DOMAIN_SEARCH": "lab.example.org", "DHCP4_DOMAIN_NAME_SERVERS": "192.0.2.53",
        "DHCP4_HOST_NAME": "host", "DHCP4_DHCP_LEASE_TIME": "3600",
        "DHCP4_DHCP_SERVER_IDENTIFIER": "192.0.2.1", "DHCP4_EXPIRY": "1700003600",
        "DHCP4_NTP_SERVERS": "192.0.2.123",
    }  # fmt: skip


def test_down_without_networkmanager_has_no_addresses() -> None:
    """A link that is not routable any more is down, once, also when it is removed."""
    before = snapshot("eth0")
    after = snapshot("eth0", state=OperationalState.NO_CARRIER)
    event = Event(1, EventType.OPERATIONAL_NO_CARRIER, 0, after, before, 1)
    removed = Event(2, EventType.LINK_REMOVED, 0, after, after, 1)

    assert [each.action for each in find_occasions(event)] == ["down"]
    assert find_occasions(removed) == ()
    assert not [name for name, _ in make_call(event, "down").values if name.startswith("IP")]


def test_keys_of_users_become_names_of_variables() -> None:
    """Lower case is raised, upper case marked, a dot doubled, the rest octal."""
    assert encode_key("my.Key9-x/ä") == "MY___KEY9_055X_057_303_244"
