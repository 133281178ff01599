"""The host's name, which the kernel tells."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from tests.processes.rig import Daemon

CONFIGURATION = "network: {links: [none]}\nsystem: {log_format: json, backend: kernel}\n"


def rename(daemon: Daemon, name: str) -> None:
    """Call the daemon's host this."""
    subprocess.run(["nsenter", "-t", str(daemon.pid), "--uts", "hostname", name], check=True)


def test_another_name_is_an_event(namespace: None, make_daemon: Callable[..., Daemon]) -> None:
    """It is told once, also what was changed while the worker was away; as it is at the start it is not."""
    daemon = make_daemon(CONFIGURATION)
    daemon.start(prefix=("unshare", "--uts"))

    rename(daemon, "first.example")
    daemon.expect(lambda entry: entry["message"].startswith("first.example (was "))
    rename(daemon, "first.example")
    rename(daemon, "second")
    daemon.expect(lambda entry: entry["message"] == "second (was first.example)")
    daemon.kill("worker")
    daemon.expect_serving(2)
    rename(daemon, "third")
    daemon.expect(lambda entry: entry["message"] == "third (was second)")

    assert [each["event"] for each in daemon.announced()] == ["hostname-changed"] * 3
