"""A daemon on a machine without wireless links: nothing is said of them, and they are asked for once."""

from __future__ import annotations

from tests.processes.rig import Daemon, ip
from tests.processes.test_api import ask
from tests.processes.test_wireguard import read_metrics


def test_without_radios_nothing_is_said(daemon: Daemon) -> None:
    """Links that come, change and go make no other question, no word in the log, and no backend."""
    daemon.start()
    ip(
        "link add index 101 name eth0 type veth peer name peer0", "link set eth0 up",
        "link set peer0 up", "addr add 192.0.2.1/24 dev eth0",
    )  # fmt: skip
    daemon.wait_event("eth0", "routable")
    shown = ask(daemon, "show", "interface", "eth0")
    ip("link del eth0")
    daemon.wait_event("eth0", "link-removed")

    assert (shown["ssid"], shown["bssid"]) == (None, None)
    assert not [line for line in daemon.raw if "nl80211" in line or "wireless" in line]
    assert "nl80211" not in str(ask(daemon, "status"))
    metrics = read_metrics(daemon)
    (asked,) = [
        line for line in metrics.splitlines() if 'verb="wireless"' in line and "requests" in line
    ]
    assert asked.endswith(" 1.0")
