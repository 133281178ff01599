"""Leases of the real dhclient, from its file to the scripts of a whole daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backends.dhcp import Network, kill, wait_for_text
from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon

MakeDaemon = Callable[..., Daemon]
TELL = """#!/bin/sh
echo "$NETEVD_REASON|$BACKEND|$NETEVD_FAMILY|$DHCP_ADDRESS|$DHCP_SUBNET_MASK|$DHCP_GATEWAY|$DHCP_DNS|$DHCP_DOMAIN|$DHCP_HOSTNAME" >> DIRECTORY/told
"""
V4 = "255.255.255.0|10.77.1.1|10.77.1.53 10.77.1.54|lan.example a.example b.example|"
V6 = "||fd77:1::53|a.example b.example|"


def told(daemon: Daemon) -> list[str]:
    """Return what scripts of leases were told so far."""
    path = daemon.scripts / "data/told"
    return path.read_text().splitlines() if path.exists() else []


def expect(daemon: Daemon, *lines: str) -> None:
    """Return once these were told, and nothing else."""
    try:
        wait_for(lambda: len(told(daemon)) >= len(lines) or None, "runs of leases")
    except AssertionError:
        raise AssertionError(f"{told(daemon)}\n{''.join(daemon.raw)[-6000:]}") from None
    assert told(daemon) == list(lines)


def find_address(network: Network, family: int = 4) -> str:
    """Return the address that eth1 has from the server."""
    prefix = "10.77.1." if family == 4 else "fd77:1::"
    shown = subprocess.run(
        ["ip", f"-{family}", "-o", "addr", "show", "dev", "eth1"], capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip
    return next(word.partition("/")[0] for word in shown if word.startswith(prefix))


@pytest.fixture
def files(network: Network) -> Path:
    """Return a directory for lease files, which no default names."""
    place = network.root / "lib"
    place.mkdir()
    return place


@pytest.fixture
def daemon(make_daemon: MakeDaemon, files: Path) -> Iterator[Daemon]:
    """Return a daemon that reads lease files there; its second worker may."""
    it = make_daemon(
        "system: {log_format: json}\n"
        f"backends: {{dhclient: {{lease_files: {files}/dhclient*.leases}}}}\n"
    )
    it.script("lease", TELL)
    it.start().expect_serving(2)
    return it


def let_time_pass() -> None:
    """Return when a lease that is granted now is later than one of before by more than a correction."""
    now = time.time()
    wait_for(lambda: time.time() > now + 3 or None, "time")


def test_a_lease_lives_and_ends(network: Network, daemon: Daemon, files: Path) -> None:
    """Bound, renewed, moved to another range, expired: each once, with all that was granted."""
    file = files / "dhclient.eth1.leases"
    network.serve()
    client = network.dhclient(file)
    expect(daemon, *(wanted := [f"bound|dhclient|ipv4|{wait_for_address(network)}|{V4}"]))

    kill(client)
    let_time_pass()
    client = network.dhclient(file)
    wanted.append(wanted[0].replace("bound", "renew"))
    expect(daemon, *wanted)

    kill(client)
    network.serve(first=100)
    let_time_pass()
    short = "supersede dhcp-lease-time 4; supersede dhcp-renewal-time 3;"
    client = network.dhclient(file, settings=short)
    # the server refuses the old address, so dhclient removes it before it asks for another
    wanted.append(wanted[0].replace("bound", "release"))
    wait_for(lambda: len(told(daemon)) > 3 or None, "another address")
    address = find_address(network)
    assert int(address.rpartition(".")[2]) >= 100
    wanted.append(f"bound|dhclient|ipv4|{address}|{V4}")
    expect(daemon, *wanted)

    kill(client)
    expect(daemon, *wanted, wanted[-1].replace("bound", "expire"))
    assert find_address(network) == address  # nobody is there to remove it


def wait_for_address(network: Network, family: int = 4) -> str:
    """Return the address that eth1 gets from the server."""

    def look() -> str | None:
        try:
            return find_address(network, family)
        except StopIteration:
            return None

    return wait_for(look, "an address")


def test_both_families_are_given_back(network: Network, daemon: Daemon, files: Path) -> None:
    """Each family by itself, in the order in which it happens."""
    file, file6 = files / "dhclient.eth1.leases", files / "dhclient6.eth1.leases"
    network.serve()
    network.dhclient(file6, family=6)
    address6 = wait_for_address(network, 6)
    wanted = [f"bound|dhclient|ipv6|{address6}|{V6}"]
    expect(daemon, *wanted)
    network.dhclient(file)
    wanted.append(f"bound|dhclient|ipv4|{wait_for_address(network)}|{V4}")
    expect(daemon, *wanted)

    network.release(file6, family=6)
    wanted.append(wanted[0].replace("bound", "release"))
    expect(daemon, *wanted)
    network.release(file)
    expect(daemon, *wanted, wanted[1].replace("bound", "release"))
    assert daemon.stop() == 0


def test_leases_are_remembered(network: Network, daemon: Daemon, files: Path) -> None:
    """A worker's death tells nothing again; what happened while netevd was away is told once."""
    file = files / "dhclient.eth1.leases"
    network.serve()
    client = network.dhclient(file)
    wanted = [f"bound|dhclient|ipv4|{wait_for_address(network)}|{V4}"]
    expect(daemon, *wanted)

    daemon.kill("worker")
    daemon.expect_serving(3)
    os.kill(daemon.pid, 1)
    daemon.expect_serving(4)
    assert daemon.stop() == 0
    kill(client)
    network.serve(first=100)
    client = network.dhclient(file)
    wait_for(
        lambda: wait_for_address(network).endswith(tuple(f".1{n:02}" for n in range(30))), "it"
    )
    daemon.start().expect_serving(6)

    wanted.append(f"bound|dhclient|ipv4|{find_address(network)}|{V4}")
    expect(daemon, *wanted)
    network.release(file)
    expect(daemon, *wanted, wanted[-1].replace("bound", "release"))


def test_files_that_are_not_understood(network: Network, daemon: Daemon, files: Path) -> None:
    """Said once with file and line; what else there is counts, and all of it once it is whole."""
    network.serve()
    good = files / "dhclient.eth1.leases"
    client = network.dhclient(good)
    line = f"bound|dhclient|ipv4|{wait_for_address(network)}|{V4}"
    expect(daemon, line)
    kill(client)
    text = good.read_text()
    bad = files / "dhclient-bad.leases"

    bad.write_text(f"garbage;\n{text.replace('fixed-address', 'fixed')}")
    daemon.expect(lambda each: each["message"].startswith(f"{bad}:2:1: a lease without fixed-"))
    bad.write_text(f"garbage;\n{text[:200]}")
    daemon.expect(
        lambda each: each["message"].startswith(f"{bad}:2:1: what begins here has no end")
    )
    bad.write_text(text)
    daemon.expect(lambda each: each["message"] == f"{bad}: all of it is understood again")
    (files / "dhclient-pipe.leases").mkdir()
    os.mkfifo(files / "dhclient-fifo.leases")

    let_time_pass()
    network.dhclient(good)
    expect(daemon, line, line.replace("bound", "renew"))
    network.release(good)
    expect(daemon, line, line.replace("bound", "renew"), line.replace("bound", "release"))
    said = [each["message"] for each in daemon.log if "garbage" in each["message"]]
    assert said == [
        f"{bad}:1:1: expected lease or lease6, found garbage; passed over, what else the file says counts"
    ]


def test_a_directory_that_is_made_later(network: Network, make_daemon: MakeDaemon) -> None:
    """
    /var/lib/dhcp comes with the client's package: another worker may read it, no event is lost, and no
    configuration file is read for that.
    """
    daemon = make_daemon()
    daemon.script("lease", TELL)
    private = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
    daemon.start(prefix=(*private, 'mount -t tmpfs tmpfs /var/lib && exec "$@"', "sh"))
    place = Path("/proc", str(daemon.pid), "root", "var/lib/dhcp")
    network.serve()
    daemon.config.write_text("this: is not read")

    client = network.dhclient(network.root / "dhclient.eth1.leases")
    wait_for_text(network.root / "dhclient.eth1.leases", "}")
    place.mkdir()
    shutil.copy(network.root / "dhclient.eth1.leases", place)

    line = f"bound|dhclient|ipv4|{wait_for_address(network)}|{V4}"
    expect(daemon, line)
    daemon.expect_serving(2)
    kill(client)
    assert not any(each["level"] == "error" for each in daemon.log)
