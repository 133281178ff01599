"""Real tunnels beside a real daemon: handshakes, roaming, peers that go, devices that die, and no key anywhere."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.boundary.wireguard import Tunnel, find_secret
from tests.processes.rig import Daemon, children, comm, ip
from tests.processes.test_api import ask, netevd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make tunnels")

CONFIGURATION = """
system: {log_format: json, log_level: trace}
network: {links: [nwg0]}
wireguard: {poll_interval: 100ms}
"""
SCRIPT = '#!/bin/sh\nenv > DIRECTORY/$NETEVD_EVENT\necho "$NETEVD_WG_PEER"\n'


@pytest.fixture
def tunnels(make_daemon: Callable[..., Daemon]) -> Iterator[tuple[Tunnel, Tunnel]]:
    """Return two devices of this namespace, the first one watched; their sockets are the whole machine's."""
    with Path(tempfile.gettempdir(), "netevd-test-tunnels").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ours, theirs = Tunnel("nwg0", 51820), Tunnel("nwg1", 51821)
        ip("link set nwg0 up", "addr add 10.9.0.1/24 dev nwg0", "link set nwg1 up")
        yield ours, theirs
        ours.close()
        theirs.close()


def start(make_daemon: Callable[..., Daemon]) -> Daemon:
    daemon = make_daemon(CONFIGURATION)
    for event in ("wg-peer-connected", "wg-peer-endpoint-changed", "wg-down"):
        daemon.script(event, SCRIPT)
    daemon.start()
    daemon.expect(lambda entry: "WireguardRead" in entry["message"])
    return daemon


def test_a_tunnel_from_handshake_to_death(
    make_daemon: Callable[..., Daemon], tunnels: tuple[Tunnel, Tunnel]
) -> None:
    """A peer is added, connects, roams and is removed; its device dies: each is told once, in order."""
    ours, theirs = tunnels
    daemon = start(make_daemon)
    preshared = ours.add_peer(theirs.public, "allowed-ips", "10.9.0.2/32")
    daemon.wait_event("nwg0", "wg-peer-added")
    theirs.add_peer(ours.public, "endpoint", "127.0.0.1:51820", "persistent-keepalive", "1",
                    preshared=preshared)  # fmt: skip
    daemon.wait_event("nwg0", "wg-peer-connected")
    known = wait_for(lambda: _read(daemon, "wg-peer-connected"), "the script")

    assert known["NETEVD_WG_PEER"] == theirs.public
    assert known["NETEVD_WG_PEER_STATE"] == "connected"
    assert known["NETEVD_WG_PEER_ALLOWED_IPS"] == "10.9.0.2/32"
    table = netevd(daemon, "list", "peers", "--interface", "nwg0").stdout
    assert "nwg0" in table and "connected" in table and "10.9.0.2/32" in table
    (listed,) = ask(daemon, "list", "peers")["peers"]
    assert (listed["public_key"], listed["state"]) == (theirs.public, "connected")
    metrics = read_metrics(daemon)
    assert 'netevd_wireguard_peers{interface="nwg0",state="connected"} 1.0' in metrics
    assert f'timestamp_seconds{{interface="nwg0",peer="{theirs.public}"}} 1.' in metrics
    theirs.set("listen-port", "51899")
    daemon.wait_event("nwg0", "wg-peer-endpoint-changed", 2)  # from none to 51821, then to 51899
    wait_for(lambda: _read(daemon, "wg-peer-endpoint-changed").get("NETEVD_WG_PEER_ENDPOINT")
             == "127.0.0.1:51899" or None, "the endpoint")  # fmt: skip
    ours.set("peer", theirs.public, "remove")
    daemon.wait_event("nwg0", "wg-peer-removed")
    ours.close()
    daemon.wait_event("nwg0", "link-removed")

    told = [each for each in daemon.events("nwg0") if each.startswith("wg-")]
    assert sorted(told[:3]) == ["wg-peer-added", "wg-peer-connected", "wg-peer-endpoint-changed"]
    assert told[3:] == ["wg-peer-endpoint-changed", "wg-peer-removed", "wg-down"]
    assert daemon.events("nwg0")[-1] == "link-removed"


def read_metrics(daemon: Daemon) -> str:
    """Return what Prometheus gets."""
    command = [
        "curl",
        "-s",
        "--unix-socket",
        str(daemon.root / "run/api.sock"),
        "http://localhost/metrics",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _read(daemon: Daemon, event: str) -> dict[str, str]:
    with contextlib.suppress(FileNotFoundError):
        text = (daemon.scripts / "data" / event).read_text()
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {}


def test_peers_that_changed_while_nobody_looked(
    make_daemon: Callable[..., Daemon], tunnels: tuple[Tunnel, Tunnel]
) -> None:
    """What users know of peers outlives worker, helper and daemon; the difference is told, once."""
    ours, theirs = tunnels
    daemon = start(make_daemon)
    ours.add_peer(theirs.public)
    daemon.wait_event("nwg0", "wg-peer-added")
    for role in ("worker", "helper"):
        daemon.kill(role)
    daemon.expect_serving(2)
    assert daemon.stop() == 0
    ours.set("peer", theirs.public, "remove")
    daemon.start()
    daemon.wait_event("nwg0", "wg-peer-removed")

    told = [each for each in daemon.events("nwg0") if each.startswith("wg-")]
    assert told == ["wg-peer-added", "wg-peer-removed"]


def test_no_key_leaves_the_helper(
    make_daemon: Callable[..., Daemon], tunnels: tuple[Tunnel, Tunnel]
) -> None:
    """Private and preshared keys are in no log, no answer, no file, no memory but the helper's."""
    ours, theirs = tunnels
    daemon = start(make_daemon)
    secrets = [*ours.secrets, ours.add_peer(theirs.public, "allowed-ips", "10.9.0.2/32")]
    daemon.wait_event("nwg0", "wg-peer-added")
    answers = [netevd(daemon, *words, "-j").stdout.encode() for words in (
        ("list", "peers"), ("events", "--limit", "100"), ("status",), ("list", "interfaces"))]  # fmt: skip
    assert theirs.public.encode() in answers[0]

    assert find_secret(secrets, b"".join(answers)) is None
    assert find_secret(secrets, "".join(daemon.raw).encode()) is None
    for path in (daemon.root / "state").rglob("*"):
        if path.is_file():
            assert find_secret(secrets, path.read_bytes()) is None, path
    others = [daemon.pid, *(pid for pid in children(daemon.pid) if comm(pid) != "netevd-helper")]
    assert len(others) == 3
    for pid in others:
        content = b"".join(read_memory(pid))
        assert len(content) > 1 << 20
        assert find_secret(secrets, content) is None, comm(pid)
    public = theirs.public.encode()
    assert any(
        public in b"".join(read_memory(pid)) for pid in others if comm(pid) == "netevd-worker"
    )


def read_memory(pid: int) -> Iterator[bytes]:
    """Yield what a process can write in its memory, mapped memfds included."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match is None:
                continue
            start, end = (int(each, 16) for each in match.groups())
            memory.seek(start)
            with contextlib.suppress(OSError):
                yield memory.read(end - start)
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        if "memfd:netevd-slate" in os.readlink(descriptor):
            with open(descriptor, "rb") as slate:
                yield slate.read(8 << 20)
