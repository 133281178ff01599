"""Reloads back to back for a minute, under load."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, children, ip
from tests.processes.storm import Storm
from tests.processes.undisturbed import Undisturbed

SECONDS = float(os.environ.get("NETEVD_SOAK_S", "60"))
RELOADS = 25 * SECONDS / 60
RATE = 200
"""Events a second at least, or the storm proves nothing."""
GATED = (
    '#!/bin/sh\n[ "$LINK" = long ] || exit 0\necho begin >> DIRECTORY/steps\n'
    "read line < DIRECTORY/gate\necho end >> DIRECTORY/steps\n"
)
"""Runs from before the first reload until after the last one."""


def test_reloads_for_a_minute(make_daemon: Callable[..., Daemon]) -> None:
    """
    20 links flap, a script records every run, another runs all the while.

    No number is missing or used twice, no link's events are out of order, no script is ended, and what
    ran is what the recorded stream runs when nobody disturbs it.
    """
    daemon = make_daemon(
        "system: {log_format: json}\nnetwork: {links: [eth*, long]}\nscript_timeout: 1h\n",
        initial=False,
    )
    daemon.script("link-changed", GATED)
    gate, steps = (daemon.scripts / "data" / name for name in ("gate", "steps"))
    os.mkfifo(gate)
    gate.chmod(0o666)
    storm = Storm(daemon, links=20, pause_s=0.25)
    storm.prepare()
    ip("link add name long index 99 type veth peer name plong")
    daemon.start()
    ip("link set long mtu 1400")
    wait_for(lambda: steps.exists() or None, "the long script")
    descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    undisturbed = Undisturbed(daemon)
    before = len(daemon.announced())
    began = time.monotonic()
    storm.begin()
    reloads = 0
    while time.monotonic() < began + SECONDS:
        reloads += 1
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        daemon.expect_serving(reloads + 1)
    storm.end()
    rate = (len(daemon.announced()) - before) / (time.monotonic() - began)

    storm.check_all_told(300)
    storm.check_ends()
    undisturbed.end()
    runs = undisturbed.check()
    assert len(os.listdir(f"/proc/{daemon.pid}/fd")) == descriptors
    assert len(children(daemon.pid)) == 3
    assert steps.read_text() == "begin\n"
    with gate.open("w") as opened:
        opened.write("go\n")
    wait_for(lambda: steps.read_text() == "begin\nend\n" or None, "end of the long script")
    assert daemon.stop() == 0
    numbers = [each["sequence"] for each in daemon.announced()]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    assert not [each for each in daemon.log if each["level"] in {"warn", "error"}]
    print(
        f"{reloads} reloads in {SECONDS:.0f} s, {storm.rounds} rounds, {len(numbers)} events,"
        f" {rate:.0f} a second; {runs} runs, as without a reload"
    )
    assert reloads >= RELOADS
    assert rate >= RATE, "the storm was too weak"
