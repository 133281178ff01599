"""Reloads back to back for a minute, under load."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.processes.rig import Daemon, children
from tests.processes.storm import Storm

SECONDS = float(os.environ.get("NETEVD_SOAK_S", "60"))


def test_reloads_for_a_minute(make_daemon: Callable[..., Daemon]) -> None:
    """20 links flap, a script records every run: no hole, no repeat, no wrong order, no loss."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n", initial=False)
    storm = Storm(daemon, links=20, pause_s=0.2)
    storm.prepare()
    daemon.start()
    descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    storm.begin()
    until = time.monotonic() + SECONDS
    reloads = 0
    while time.monotonic() < until:
        reloads += 1
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        daemon.expect_serving(reloads + 1)
    storm.end()

    storm.check_all_told()
    storm.check_ends()
    assert len(os.listdir(f"/proc/{daemon.pid}/fd")) == descriptors
    assert len(children(daemon.pid)) == 3
    events = len(daemon.announced())
    assert daemon.stop() == 0
    assert not [each for each in daemon.log if each["level"] in {"warn", "error"}]
    print(f"{reloads} reloads, {storm.rounds} rounds, {events} events, {len(daemon.record())} runs")
    assert reloads >= 25 * SECONDS / 60
