"""Routes that peers of WireGuard devices imply: looked at, made, and left alone, with real tunnels and traffic."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.boundary.rig import wait_for
from tests.boundary.wireguard import Tunnel
from tests.processes.rig import Daemon, ip
from tests.processes.test_api import ask, netevd
from tests.processes.test_policy_routing import show_others as show_all_others
from tests.processes.test_policy_routing import show_ours

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make tunnels")

MakeDaemon = Callable[..., Daemon]

NEAR, FAR = (f"nw{os.getpid() % 100000}{end}" for end in "ab")
"""Names of both ends: sockets of devices outside the kernel are the whole machine's."""

CONFIGURATION = f"""
system: {{log_format: json}}
network: {{links: [{NEAR}]}}
wireguard: {{poll_interval: 100ms, routes: {{mode: manage}}}}
"""
MARK = 0xCA6C


class Site:
    """Another network namespace, reached over a cable, with the other end of the tunnel."""

    def __init__(self) -> None:
        self.name = f"nt{os.getpid() % 100000}w"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        ip(
            f"link add name up0 type veth peer name near netns {self.name}", "link set up0 up",
            "addr add 192.0.2.1/24 dev up0", "addr add 2001:db8::1/64 dev up0 nodad",
            "route add default via 192.0.2.254 dev up0 metric 100",
        )  # fmt: skip
        self.ip(
            "link set lo up", "link set near up", "addr add 192.0.2.2/24 dev near",
            "addr add 192.0.2.254/24 dev near", "addr add 2001:db8::2/64 dev near nodad",
        )  # fmt: skip
        self.tunnel = Tunnel(FAR, 51821, namespace=self.name)
        self.ip(f"addr add 10.9.0.2/24 dev {FAR}", f"addr add fd00:9::2/64 dev {FAR} nodad",
                f"link set {FAR} up")  # fmt: skip

    def ip(self, *commands: str) -> None:
        """Run ip commands there."""
        subprocess.run(
            ["ip", "-netns", self.name, "-batch", "-"],
            input="\n".join(commands),
            text=True,
            check=True,
        )

    def close(self) -> None:
        """End it."""
        self.tunnel.close()
        subprocess.run(["ip", "netns", "del", self.name], check=False)


@pytest.fixture
def site(make_daemon: MakeDaemon) -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture
def ours(site: Site) -> Iterator[Tunnel]:
    """Return the end of the tunnel in this namespace, with an address that connects to nothing."""
    tunnel = Tunnel(NEAR, 51820)
    ip(
        f"addr add 10.9.0.1/32 dev {NEAR}",
        f"addr add fd00:9::1/128 dev {NEAR} nodad",
        f"link set {NEAR} up",
    )
    yield tunnel
    tunnel.close()


def pair(ours: Tunnel, site: Site, prefixes: str) -> None:
    """Make each the peer of the other; the other one takes everything of ours."""
    preshared = ours.add_peer(
        site.tunnel.public, "endpoint", "192.0.2.2:51821", "allowed-ips", prefixes
    )
    site.tunnel.add_peer(ours.public, "allowed-ips", "0.0.0.0/0,::/0", preshared=preshared)
    site.ip(f"route add 10.9.0.1/32 dev {FAR}", f"route add fd00:9::1/128 dev {FAR}")


def show_others() -> list[str]:
    """Return every rule and route that is not netevd's, without those that link-local addresses bring."""
    return [line for line in show_all_others().splitlines() if "fe80" not in line]


def answers(target: str) -> bool:
    """Tell whether a connection is refused by who has the address: nobody listens there."""
    try:
        with socket.create_connection((target, 7007), 2.0):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def get_route(target: str, *words: str) -> str:
    """Return how the kernel would send to a target."""
    done = subprocess.run(
        ["ip", "route", "get", target, *words], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_prefixes_of_peers_become_routes(make_daemon: MakeDaemon, site: Site, ours: Tunnel) -> None:
    """
    What peers take is reached through the tunnel, in both families; it is put back when somebody removes
    it, follows the device's peers, is adopted after a crash, and goes with the device.
    """
    others = show_others()
    pair(ours, site, "10.9.0.2/32,10.77.0.0/16,fd00:9::/64")
    site.ip(f"addr add 10.77.1.1/32 dev {FAR}")
    daemon = make_daemon(CONFIGURATION).start()
    wait_for(lambda: len(show_ours()) == 9 or None, "three routes, six rules")

    assert answers("10.9.0.2") and answers("10.77.1.1") and answers("fd00:9::2")
    assert show_others() == others
    whole = show_ours()
    ip("rule del priority 21901 protocol 110")
    wait_for(lambda: show_ours() == whole or None, "the rule again")
    daemon.expect(lambda entry: entry.get("event") == "routing-drift")
    ours.set("peer", site.tunnel.public, "allowed-ips", "10.9.0.2/32,10.77.0.0/16")
    wait_for(lambda: sum(f"dev {NEAR}" in each for each in show_ours()) == 2 or None, "two routes")
    whole = show_ours()
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.process.wait()
    daemon.start(ready=False)
    daemon.expect_serving(2)
    wait_for(lambda: netevd(daemon, "routing", "diff").returncode == 0 or None, "no difference")
    assert show_ours() == whole
    assert answers("10.77.1.1")
    ip(f"link set {NEAR} down")
    # what the daemon had not found again by then is kept for the first 30 s after its start
    wait_for(lambda: show_ours() == [] or None, "nothing while it is down", 60.0)
    ip(f"link set {NEAR} up")
    wait_for(lambda: answers("10.77.1.1") or None, "the tunnel again")
    ours.close()
    wait_for(lambda: show_ours() == [] or None, "nothing without the device")


def test_what_happens_while_roles_are_dead_is_made_good(
    make_daemon: MakeDaemon, site: Site, ours: Tunnel
) -> None:
    """Rules that went, peers that changed and a device that stood still while helper and worker were not there."""
    pair(ours, site, "10.77.0.0/16,10.78.0.0/16")
    site.ip(f"addr add 10.79.1.1/32 dev {FAR}")
    daemon = make_daemon(CONFIGURATION).start()
    wait_for(lambda: len(show_ours()) == 4 or None, "two routes, two rules")
    others = show_others()
    for role in ("helper", "worker"):
        ours.process.send_signal(signal.SIGSTOP)
        daemon.kill(role)
        ip("rule del priority 21901 protocol 110", f"route del 10.77.0.0/16 dev {NEAR} table 21901")
        ours.process.send_signal(signal.SIGCONT)
        wait_for(
            lambda: len(show_ours()) == 4 or None, f"all again after the death of the {role}", 60.0
        )
    daemon.kill("helper")
    ours.set("peer", site.tunnel.public, "allowed-ips", "10.79.0.0/16")
    wait_for(
        lambda: sum(f"dev {NEAR}" in each for each in show_ours()) == 1 or None,
        "what the peer takes now",
    )
    wait_for(lambda: answers("10.79.1.1") or None, "an answer through the tunnel")
    assert show_others() == others


def test_routes_of_others_in_our_tables_stay(
    make_daemon: MakeDaemon, site: Site, ours: Tunnel
) -> None:
    """Also where they stand in the way, with our number outside our tables, and when all of ours goes."""
    pair(ours, site, "10.77.0.0/16,10.78.0.0/16")
    ip(
        "route add 10.77.0.0/16 via 192.0.2.254 table 21901 proto 99", "route add 10.1.0.0/16 via 192.0.2.254 table 21901",
        "route add 10.2.0.0/16 via 192.0.2.254 table 21900 proto 110", "route add 10.3.0.0/16 via 192.0.2.254 proto 110",
        "rule add priority 21901 to 10.4.0.0/16 lookup main", "rule add priority 21950 to 10.5.0.0/16 lookup main protocol 110",
    )  # fmt: skip
    before = show_all_others() + "".join(f"{each}\n" for each in show_ours())
    lines = sorted(line for line in before.splitlines() if "fe80" not in line)
    daemon = make_daemon(CONFIGURATION).start()
    daemon.expect(lambda entry: "where netevd's would stand" in entry["message"])
    wait_for(lambda: any("10.78.0.0/16" in each for each in show_ours()) or None, "the other route")
    assert netevd(daemon, "routing", "flush").returncode == 0

    def has_only_others() -> bool:
        now = show_all_others() + "".join(f"{each}\n" for each in show_ours())
        return sorted(line for line in now.splitlines() if "fe80" not in line) == lines

    wait_for(lambda: has_only_others() or None, "all as before")


def test_wg_quick_beside_it(make_daemon: MakeDaemon, site: Site, ours: Tunnel) -> None:
    """
    The device of a real wg-quick is left alone, and when it goes down, which takes every rule of its kind along,
    ours is put back.
    """
    pair(ours, site, "0.0.0.0/0")
    ours.set("fwmark", hex(MARK))
    site.ip(f"addr add 198.51.100.9/32 dev {FAR}")
    name = f"nw{os.getpid() % 100000}q"
    settings = CONFIGURATION.replace(f"[{NEAR}]", f"[{NEAR}, {name}]")
    daemon = make_daemon(settings).start()
    wait_for(lambda: len(show_ours()) == 3 or None, "a default route, two rules")
    whole = show_ours()
    path = daemon.root / f"{name}.conf"
    path.write_text(
        f"[Interface]\nPrivateKey = {ours.private}\nAddress = 10.8.0.1/32\nFwMark = 0x77\n[Peer]\nPublicKey ="
        f" {site.tunnel.public}\nAllowedIPs = 10.99.0.0/16, 0.0.0.0/0\nEndpoint = 192.0.2.2:51899\n"
    )
    path.chmod(0o600)
    environment = {k: v for k, v in os.environ.items() if k != "WG_PROCESS_FOREGROUND"}
    try:
        subprocess.run(
            ["wg-quick", "up", str(path)], check=True, capture_output=True, env=environment
        )
        told = daemon.expect(
            lambda entry: entry.get("interface") == name and "routes into it" in entry["message"]
        )
        assert "wg-quick" in told["message"]
        assert show_ours() == whole
        assert not any(name in each for each in show_ours())
    finally:
        subprocess.run(
            ["wg-quick", "down", str(path)], check=True, capture_output=True, env=environment
        )
    wait_for(lambda: show_ours() == whole or None, "the rule that wg-quick took along")
    wait_for(lambda: answers("198.51.100.9") or None, "an answer through the tunnel")


def test_longest_prefix_decides_as_in_main(
    make_daemon: MakeDaemon, site: Site, ours: Tunnel
) -> None:
    """
    A longer prefix of main comes before a tunnel's, a shorter one after it, of two equal ones main's
    is taken: as if all were in one table.
    """
    ip(
        "route add 10.0.0.0/8 via 192.0.2.254", "route add 10.77.8.0/24 via 192.0.2.254",
        "route add 10.78.0.0/16 via 192.0.2.254", "route add fd00::/8 via 2001:db8::2",
        "route add fd00:77:8::/64 via 2001:db8::2",
    )  # fmt: skip
    pair(
        ours, site, "10.77.0.0/16,10.77.9.0/24,10.78.0.0/16,10.79.1.0/30,fd00:77::/32,fd00:78::/48"
    )
    make_daemon(CONFIGURATION).start()
    wait_for(lambda: sum(f"dev {NEAR}" in each for each in show_ours()) == 6 or None, "six routes")

    for target, link in [
        ("10.77.1.1", NEAR), ("10.77.8.1", "up0"), ("10.77.9.1", NEAR), ("10.78.0.1", "up0"),
        ("10.79.1.1", NEAR), ("10.79.1.9", "up0"), ("10.1.1.1", "up0"), ("198.51.100.1", "up0"),
        ("fd00:77::1", NEAR), ("fd00:77:8::1", "up0"), ("fd00:78::1", NEAR), ("fd00:99::1", "up0"),
    ]:  # fmt: skip
        assert f"dev {link}" in get_route(target), target


def test_everything_goes_through_a_tunnel(
    make_daemon: MakeDaemon, site: Site, ours: Tunnel
) -> None:
    """
    A peer that takes everything gets the default route once the device has a mark, and not before: the
    tunnel must not lead into itself. What main knows better stays where it is.
    """
    pair(ours, site, "0.0.0.0/0,::/0")
    site.ip(f"addr add 198.51.100.9/32 dev {FAR}", f"addr add 2001:db8:ffff::9/128 dev {FAR}")
    daemon = make_daemon(CONFIGURATION).start()

    daemon.expect(lambda entry: f"wg set {NEAR} fwmark 0xca6c" in entry["message"])
    assert show_ours() == []
    assert "that needs a firewall mark" in netevd(daemon, "routing", "plan").stdout
    assert "dev up0" in get_route("198.51.100.9")
    ours.set("fwmark", hex(MARK))
    wait_for(lambda: len(show_ours()) == 6 or None, "two routes, four rules")
    wait_for(lambda: answers("198.51.100.9") or None, "an answer through the tunnel")
    assert answers("2001:db8:ffff::9")
    assert f"dev {NEAR}" in get_route("198.51.100.9")
    assert "dev up0" in get_route("192.0.2.2")
    assert "dev up0" in get_route("198.51.100.9", "mark", hex(MARK))
    ours.set("fwmark", "0")
    wait_for(lambda: show_ours() == [] or None, "nothing without the mark")


def test_a_prefix_that_holds_the_endpoint_is_left_out(
    make_daemon: MakeDaemon, site: Site, ours: Tunnel
) -> None:
    """A route that would lead the tunnel into itself is not made, and it is said how it could be."""
    ip("addr flush dev up0", "addr add 192.0.2.1/32 dev up0", "route add default dev up0")
    pair(ours, site, "192.0.0.0/16,10.77.0.0/16")
    daemon = make_daemon(CONFIGURATION).start()

    daemon.expect(lambda entry: "the endpoint 192.0.2.2 lies in it" in entry["message"])
    wait_for(lambda: any("10.77.0.0/16" in each for each in show_ours()) or None, "the other one")
    assert not any("192.0.0.0/16" in each for each in show_ours())
    assert "dev up0" in get_route("192.0.2.2")


def test_what_somebody_else_routes_is_left_alone(
    make_daemon: MakeDaemon, site: Site, ours: Tunnel
) -> None:
    """
    Where wg-quick, or somebody by hand, routes into the device nothing is written, and it is said why;
    with force it is. When the other one stops, netevd begins.
    """
    pair(ours, site, "10.77.0.0/16,10.78.0.0/16")
    ip(f"route add 10.77.0.0/16 dev {NEAR}")
    others = show_others()
    daemon = make_daemon(CONFIGURATION).start()

    told = daemon.expect(lambda entry: "wg-quick, or somebody by hand," in entry["message"])
    assert "Table = off" in told["message"]
    assert "wg-quick" in netevd(daemon, "routing", "plan").stdout
    peers = ask(daemon, "list", "peers")["peers"]
    assert [each["unrouted"] for each in peers] == [["10.78.0.0/16"]]
    assert (show_ours(), show_others()) == ([], others)
    ip(f"route del 10.77.0.0/16 dev {NEAR}")
    wait_for(lambda: len(show_ours()) == 4 or None, "two routes, two rules")
    ip(f"route add 10.77.0.0/16 dev {NEAR}")
    wait_for(lambda: show_ours() == [] or None, "nothing beside those of somebody else")
    daemon.config.write_text(daemon.config.read_text().replace("manage", "manage, force: true"))
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any("10.78.0.0/16" in each for each in show_ours()) or None, "force")
    assert show_others() == others


def test_routes_are_looked_at_and_nothing_is_written(
    make_daemon: MakeDaemon, site: Site, ours: Tunnel
) -> None:
    """With mode observe, what has no route, and a route that no peer takes, are told once each."""
    pair(ours, site, "10.77.0.0/16,fd00:9::/64")
    ip(f"route add 10.77.0.0/16 dev {NEAR}", f"route add fd00:9::/64 dev {NEAR}")
    daemon = make_daemon(CONFIGURATION.replace("manage", "observe"))
    daemon.script(
        "routing-drift", '#!/bin/sh\necho "$LINK $NETEVD_WG_INTERFACE $JSON" > DIRECTORY/drift\n'
    )
    daemon.start()
    wait_for(lambda: ask(daemon, "list", "peers")["peers"] or None, "the device")
    assert netevd(daemon, "routing", "diff").returncode == 0
    ip(f"route del 10.77.0.0/16 dev {NEAR}", f"route add 10.66.0.0/16 dev {NEAR}")
    others = show_others()

    daemon.wait_event(NEAR, "routing-drift")
    told = next(each["message"] for each in daemon.log if each.get("event_type") == "routing-drift"
                or each.get("event") == "routing-drift")  # fmt: skip
    assert f"no route over {NEAR} to 10.77.0.0/16" in told
    assert f"a route over {NEAR} to 10.66.0.0/16, which no peer takes" in told
    script = wait_for(lambda: (daemon.scripts / "data/drift").exists()
                      and (daemon.scripts / "data/drift").read_text(), "the script")  # fmt: skip
    assert script.startswith(f"{NEAR} {NEAR} {{") and f"no route over {NEAR}" in script
    shown = netevd(daemon, "routing", "diff")
    assert shown.returncode == 1
    assert shown.stdout.splitlines() == [
        f"missing: 10.77.0.0/16 dev {NEAR}", f"no peer takes: 10.66.0.0/16 dev {NEAR}"
    ]  # fmt: skip
    assert "10.77.0.0/16 (no route)" in netevd(daemon, "list", "peers").stdout
    assert "none to 1 prefixes of WireGuard peers" in netevd(daemon, "status").stdout
    assert (show_ours(), show_others()) == ([], others)
    ip(f"route add 10.77.0.0/16 dev {NEAR}", f"route del 10.66.0.0/16 dev {NEAR}")
    daemon.expect(lambda entry: "again as its peers' prefixes imply" in entry["message"])
    assert daemon.events(NEAR).count("routing-drift") == 1
