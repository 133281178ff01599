"""Runs in the guest: the kernel's own WireGuard, and link kinds that the host's kernel does not have."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.boundary.wireguard import find_secret
from tests.processes.conftest import daemon, make_daemon, namespace
from tests.processes.rig import Daemon, children, comm, ip
from tests.processes.test_api import ask
from tests.processes.test_wireguard import read_memory

__all__ = ["daemon", "make_daemon", "namespace"]

CONFIGURATION = """
system: {log_format: json, log_level: trace}
network: {links: [wg0, vlan*, bond*, vrf*, dummy*]}
wireguard: {poll_interval: 500ms}
"""


def make_key() -> str:
    return subprocess.run(
        ["wg", "genkey"], capture_output=True, text=True, check=True
    ).stdout.strip()


def find_public(key: str) -> str:
    done = subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def wg(*words: str, given: str = "") -> None:
    subprocess.run(["wg", "set", *words], input=given, text=True, check=True)


@pytest.fixture
def keys(namespace: None) -> Iterator[tuple[str, str]]:
    """Return the private keys of wg0 and wg1, two devices of the kernel's."""
    found = (make_key(), make_key())
    for number, key in enumerate(found):
        ip(f"link add wg{number} type wireguard")
        wg(
            f"wg{number}",
            "private-key",
            "/dev/stdin",
            "listen-port",
            str(51820 + number),
            given=key,
        )
    ip("link set wg0 up", "addr add 10.9.0.1/24 dev wg0", "link set wg1 up")
    yield found


def test_kernel_device_from_handshake_to_removal(
    make_daemon: Callable[..., Daemon], keys: tuple[str, str]
) -> None:
    """Peers of a device of the kernel's are added, connect, roam and go, and no key leaves the helper."""
    daemon = make_daemon(CONFIGURATION)
    daemon.start()
    daemon.expect(lambda entry: "WireguardRead" in entry["message"])
    publics = [find_public(each) for each in keys]
    preshared = make_key()
    wg(
        "wg0",
        "peer",
        publics[1],
        "preshared-key",
        "/dev/stdin",
        "allowed-ips",
        "10.9.0.2/32",
        given=preshared,
    )
    daemon.wait_event("wg0", "wg-peer-added")
    wg("wg1", "peer", publics[0], "preshared-key", "/dev/stdin", "endpoint", "127.0.0.1:51820",
       "persistent-keepalive", "1", given=preshared)  # fmt: skip
    daemon.wait_event("wg0", "wg-peer-connected")
    (listed,) = ask(daemon, "list", "peers")["peers"]
    assert (listed["implementation"], listed["public_key"]) == ("kernel", publics[1])
    assert (listed["state"], listed["allowed_ips"]) == ("connected", ["10.9.0.2/32"])
    wg("wg1", "listen-port", "51899")
    wait_for(lambda: any(each["endpoint"] == "127.0.0.1:51899" for each in ask(daemon, "list", "peers")["peers"])
             or None, "the endpoint", 60)  # fmt: skip
    secrets = [*keys, preshared]
    assert find_secret(secrets, "".join(daemon.raw).encode()) is None
    for pid in (daemon.pid, *children(daemon.pid)):
        if comm(pid) != "netevd-helper":
            assert find_secret(secrets, b"".join(read_memory(pid))) is None, comm(pid)
    wg("wg0", "peer", publics[1], "remove")
    daemon.wait_event("wg0", "wg-peer-removed")
    ip("link del wg0")
    daemon.wait_event("wg0", "wg-down")
    daemon.wait_event("wg0", "link-removed")


def test_kernel_device_gets_an_endpoint_and_routes(
    make_daemon: Callable[..., Daemon], keys: tuple[str, str]
) -> None:
    """
    The endpoint of a peer that does not answer is set by its name, keys and prefixes stay, and what the peer takes
    is routed; a default route is made once the device has a mark.
    """
    Path("/etc/hosts").write_text("127.0.0.1 localhost vpn.lab\n")
    publics = [find_public(each) for each in keys]
    preshared = make_key()
    wg("wg0", "peer", publics[1], "preshared-key", "/dev/stdin", "endpoint", "127.0.0.1:9",
       "persistent-keepalive", "1", "allowed-ips", "10.77.0.0/16,0.0.0.0/0", given=preshared)  # fmt: skip
    wg(
        "wg1",
        "peer",
        publics[0],
        "preshared-key",
        "/dev/stdin",
        "allowed-ips",
        "10.9.0.1/32",
        given=preshared,
    )
    before = subprocess.run(
        ["wg", "showconf", "wg0"], capture_output=True, text=True, check=True
    ).stdout
    daemon = make_daemon(
        CONFIGURATION.replace(
            "poll_interval: 500ms",
            "poll_interval: 500ms, handshake_timeout: 5s, grace: 5s, routes: {mode: manage},"
            f' endpoint_reresolve: 1s, peers: [{{public_key: "{publics[1]}", endpoint: "vpn.lab:51821"}}]',
        )
    )
    daemon.start()
    daemon.wait_event("wg0", "wg-peer-endpoint-changed")
    daemon.wait_event("wg0", "wg-peer-connected")
    after = subprocess.run(
        ["wg", "showconf", "wg0"], capture_output=True, text=True, check=True
    ).stdout
    assert ":51821" in after
    kept = [line for line in before.splitlines() if "Endpoint" not in line]
    assert [line for line in after.splitlines() if "Endpoint" not in line] == kept

    def show(*words: str) -> str:
        return subprocess.run(["ip", *words], capture_output=True, text=True, check=False).stdout

    wait_for(
        lambda: "10.77.0.0/16 dev wg0" in show("route", "show", "table", "21901") or None,
        "the route",
    )
    assert "default" not in show("route", "show", "table", "21901")
    wg("wg0", "fwmark", "0xca6c")
    wait_for(
        lambda: "default dev wg0" in show("route", "show", "table", "21901") or None,
        "the default route",
    )
    assert "not from all fwmark 0xca6c lookup 21901" in show("rule")
    assert "dev wg0" in show("route", "get", "198.51.100.1")
    ip("link del wg0")
    wait_for(lambda: "21901" not in show("rule") or None, "no rules without the device")


def test_many_peers_are_read_whole(
    make_daemon: Callable[..., Daemon], keys: tuple[str, str]
) -> None:
    """A dump of several messages, with peers that go on in the next one, is one device."""
    prefixes = ",".join(f"10.{each // 250}.{each % 250}.0/24" for each in range(2000))
    names = [find_public(make_key()) for _ in range(40)]
    Path("/run/lab-peers.conf").write_text(
        "".join(f"[Peer]\nPublicKey={name}\nAllowedIPs={prefixes if not index else f'192.168.{index}.0/24'}\n"
                for index, name in enumerate(names))
    )  # fmt: skip
    subprocess.run(["wg", "addconf", "wg0", "/run/lab-peers.conf"], check=True)
    daemon = make_daemon(CONFIGURATION)
    daemon.start()
    found = wait_for(lambda: ask(daemon, "list", "peers")["peers"] or None, "peers", 60)

    assert {each["public_key"] for each in found} == set(names)
    assert {len(each["allowed_ips"]) for each in found} == {1, 2000}


def test_kinds_of_links_are_as_ip_shows_them(make_daemon: Callable[..., Daemon]) -> None:
    """vlan, bond, vrf and dummy: name, kind, MAC, MTU and master are those of `ip -json link`."""
    ip(
        "link add dummy0 type dummy", "link add bond0 type bond mode active-backup",
        "link add vrf0 type vrf table 100", "link set dummy0 up", "link set vrf0 up",
        "link add dummy1 type dummy", "link set dummy1 master bond0", "link set bond0 up",
        "link add link dummy0 name vlan5 type vlan id 5", "link set vlan5 master vrf0", "link set vlan5 up",
    )  # fmt: skip
    daemon = make_daemon(CONFIGURATION)
    daemon.start()
    shown = json.loads(
        subprocess.run(["ip", "-json", "-details", "link"], capture_output=True, check=True).stdout
    )
    wanted = {
        each["ifname"]: (
            each["ifindex"], each.get("linkinfo", {}).get("info_kind"), each.get("master"), each["mtu"],
        ) for each in shown if each["ifname"] != "lo"
    }  # fmt: skip
    found = {
        each["name"]: (each["index"], each["kind"], each["master"], each["mtu"])
        for each in ask(daemon, "list", "interfaces")["interfaces"]
        if each["name"] != "lo"
    }

    assert found == wanted
    assert {"vlan", "bond", "vrf", "dummy"} <= {kind for _, kind, _, _ in found.values()}
    ip("link set dummy1 down", "link del vlan5")
    daemon.wait_event("vlan5", "link-removed")
    daemon.wait_event("dummy1", "off")  # a bond without miimon keeps its carrier
