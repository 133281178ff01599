"""Names of peers from files of WireGuard tools, and endpoints that have a name: with real tunnels and name servers."""

from __future__ import annotations

import grp
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.boundary.wireguard import Tunnel, find_secret
from tests.processes.nameserver import NameServer
from tests.processes.rig import Daemon, children, comm
from tests.processes.test_api import netevd
from tests.processes.test_tunnel_routes import FAR, NEAR, Site, answers, ours, site
from tests.processes.test_webhooks import mounting
from tests.processes.test_wireguard import read_memory

__all__ = ["ours", "site"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make tunnels")

MakeDaemon = Callable[..., Daemon]

CONFIGURATION = """
system: {{log_format: json}}
network: {{links: [{near}]}}
wireguard:
  poll_interval: 100ms
  handshake_timeout: 2s
  grace: 1s
  names_from: [{path}]
  routes: {{mode: manage}}
  endpoint_reresolve: 1s
audit: {{enabled: true, path: {audit}}}
"""


@pytest.fixture
def name_server(tmp_path: Path) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """Return what a name server of this namespace says, to be changed, and what has a daemon ask it."""
    said = {"vpn.test": "192.0.2.2"}
    configuration, order = tmp_path / "resolv.conf", tmp_path / "nsswitch.conf"
    configuration.write_text("nameserver 127.0.0.1\n")
    order.write_text("passwd: files\ngroup: files\nhosts: dns\n")
    server = NameServer(lambda _: [said["vpn.test"]])
    yield said, mounting({configuration: "/etc/resolv.conf", order: "/etc/nsswitch.conf"})
    server.close()


@pytest.fixture
def audit() -> Iterator[Path]:
    """Return where an audit log may be."""
    path = Path("/var/log") / f"netevd-test-{os.getpid()}" / "audit.jsonl"
    yield path
    shutil.rmtree(path.parent, ignore_errors=True)


def write_file(daemon: Daemon, tunnel: Tunnel, peer: str, preshared: str) -> Path:
    """Write a file as wg-quick has it, keys and all, for the reader alone; return its path."""
    path = daemon.root / "wg" / "tunnel.conf"
    path.parent.mkdir(mode=0o750)
    path.write_text(
        f"[Interface]\nPrivateKey = {tunnel.private}\n\n[Peer]\n# friendly_name = head office\n"
        f"PublicKey = {peer}\nPresharedKey = {preshared}\nEndpoint = vpn.test:51821\n"
    )
    path.chmod(0o640)
    for each in (path.parent, path):
        os.chown(each, 0, grp.getgrnam("netevd-net").gr_gid)
    return path


def test_a_peer_that_moved_is_found_again_by_its_name(
    make_daemon: MakeDaemon,
    site: Site,
    ours: Tunnel,
    name_server: tuple[dict[str, str], tuple[str, ...]],
    audit: Path,
) -> None:
    """
    A peer that does not answer where its device sends to is looked up and found, again when it moves; what is
    said of it has the name of the file, and no key of that file is in any process but the helper.
    """
    said, prefix = name_server
    daemon = make_daemon("")
    words = (
        "endpoint",
        "192.0.2.77:51821",
        "allowed-ips",
        "10.77.0.0/16",
        "persistent-keepalive",
        "1",
    )
    preshared = ours.add_peer(site.tunnel.public, *words)
    site.tunnel.add_peer(ours.public, "allowed-ips", "0.0.0.0/0", preshared=preshared)
    site.ip(f"addr add 10.77.1.1/32 dev {FAR}", f"route add 10.9.0.1/32 dev {FAR}")
    path = write_file(daemon, ours, site.tunnel.public, preshared)
    daemon._configuration = CONFIGURATION.format(
        near=NEAR, audit=audit, path=f"{path.parent}/*.conf"
    )
    daemon.configure()
    daemon.start(prefix=prefix)

    daemon.expect(lambda entry: "peer head office is 192.0.2.2:51821 now" in entry["message"])
    daemon.wait_event(NEAR, "wg-peer-connected")
    wait_for(lambda: answers("10.77.1.1") or None, "an answer through the tunnel")
    said["vpn.test"] = "192.0.2.9"
    site.ip("addr flush dev near scope global", "addr add 192.0.2.9/24 dev near")
    wait_for(lambda: "endpoint: 192.0.2.9:51821" in ours.show() or None, "its new address", 60.0)
    wait_for(lambda: answers("10.77.1.1") or None, "an answer through the tunnel")

    noted = [line for line in audit.read_text().splitlines() if "SetEndpoint" in line]
    assert len(noted) == 2
    assert all('"source":"helper"' in line and site.tunnel.public in line for line in noted)
    assert "head office" in netevd(daemon, "list", "peers").stdout
    assert "head office" not in netevd(daemon, "show", "config").stdout
    assert daemon.events(NEAR).count("wg-peer-endpoint-changed") >= 2
    shown = ours.show()
    assert "10.77.0.0/16" in shown and "every 1 second" in shown
    secrets = [ours.private, preshared]
    assert find_secret(secrets, "".join(daemon.raw).encode()) is None
    for pid in (daemon.pid, *children(daemon.pid)):
        if comm(pid) != "netevd-helper":
            assert find_secret(secrets, b"".join(read_memory(pid))) is None, comm(pid)
    assert sorted(comm(pid) for pid in children(daemon.pid)) == [
        "netevd-courier", "netevd-helper", "netevd-runner", "netevd-worker"
    ]  # fmt: skip


def test_a_file_that_the_reader_may_not_read_is_told(make_daemon: MakeDaemon, audit: Path) -> None:
    """It is a problem with the command that mends it, and no line of the file is shown."""
    daemon = make_daemon("")
    path = daemon.root / "wg" / "tunnel.conf"
    path.parent.mkdir(mode=0o700)
    path.write_text("[Interface]\nPrivateKey = hidden\n")
    daemon._configuration = CONFIGURATION.format(near=NEAR, audit=audit, path=path)
    daemon.configure()
    daemon.start(ready=False)

    told = daemon.expect(lambda entry: "names_from" in entry["message"])
    assert f"chgrp netevd-net {path}" in told["message"]
    assert daemon.process is not None and daemon.process.wait() == 1
    assert not any("hidden" in line for line in daemon.raw)
