"""
NetworkManager's own dispatcher and netevd's tree beside each other: what scripts are called with, by both at once.

A laptop's day with a real NetworkManager 1.42: DHCP of both families, somebody else's bridge, a captive portal,
a VPN by OpenVPN, a connection taken down and up, a cable that is pulled.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.lab.lab_systemd import install
from tests.lab.office import RECORD, Office, Told, play
from tests.lab.system import ENVIRONMENT

CONFIGURATION: Final = """
network: {links: ["eth*", "ext*", "tun*"]}
system: {log_format: journal, backend: NetworkManager}
compat: {networkmanager: {enabled: true, roots: [/etc/netevd/nm]}}
"""
LATER: Final = "CONNECTION_USER_"
"""Variables that later versions than 1.42 have, and netevd has."""


@pytest.fixture
def office() -> Iterator[Office]:
    """An office with netevd beside NetworkManager, whose own dispatcher runs too."""
    it = Office()
    try:
        install(it.system)
        it.write("etc/netevd/netevd.yaml", CONFIGURATION, 0o644)
        drop_in = "[Service]\nReadWritePaths=-/var/lib/ours\n"
        it.write("etc/systemd/system/netevd.service.d/write.conf", drop_in, 0o644)
        text = RECORD.replace("/var/lib/said/", "/var/lib/ours/").replace("WITH_OBJECTS", "False")
        for place in ("", "pre-up.d/", "pre-down.d/"):
            it.write(f"etc/netevd/nm/{place}10-record", text, 0o755)
        it.start(str(ENVIRONMENT))
        it.system.run("install", "-d", "-m", "1777", "/var/lib/ours")
        it.system.run("systemctl", "start", "netevd")
        yield it
    finally:
        it.close()


def show(call: Told) -> str:
    """Return a call as text, variables sorted."""
    lines = [
        f"{name}={value}" for name, value in call.variables.items() if not name.startswith(LATER)
    ]
    return "\n".join([call.action, *sorted(lines)])


def choose(calls: list[Told], interface: str, kind: str) -> list[str]:
    """Return the calls about an interface of one kind: what is told of its states, of its leases, of a VPN."""
    kinds = {"dhcp4": "lease", "dhcp6": "lease", "vpn": "vpn"}
    return [
        show(each)
        for each in calls
        if each.arguments[0] == interface
        and kinds.get(each.arguments[1].split("-")[0], "state") == kind
    ]


def test_both_dispatchers_call_the_same(office: Office) -> None:
    """Arguments, variables and their order are the same for each interface, byte for byte."""

    def expect(*actions: str) -> None:
        office.expect(*actions)
        office.expect(*actions, place="ours")

    play(office, expect)
    for name, kind in (
        ("eth0", "state"), ("eth0", "lease"), ("ext0", "state"), ("tun0", "state"), ("tun0", "vpn"),
    ):  # fmt: skip
        real = choose(office.read(), name, kind)
        assert real
        ours = choose(office.read("ours"), name, kind)
        lines = difflib.ndiff("\n\n".join(real).split("\n"), "\n\n".join(ours).split("\n"))
        assert ours == real, "- theirs, + ours\n" + "\n".join(lines)
    ours = [show(each) for each in office.read("ours") if "connectivity" in each.action]
    real = [show(each) for each in office.read() if "connectivity" in each.action]
    assert {*ours} <= {*real}
    assert {"FULL", "PORTAL"} <= {re.findall("STATE=(.*)", each)[0] for each in ours}
