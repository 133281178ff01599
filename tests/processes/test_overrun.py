"""A real overrun, by a receive buffer that holds a handful of messages, while scripts run and wait."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, ask, connect
from tests.processes.rig import RECORD, SMALL_BUFFER, Daemon, await_carrier, ip, pull

GATED = "#!/bin/sh\necho begin >> DIRECTORY/steps\nread line < DIRECTORY/gate\n"
DEBOUNCE = (
    "debounce: {enabled: true, window: 1h, max_events: 2, overrides: [{event_type: address-*},"
    ' {event_type: "*", window: 0s}]}\n'
)


def explain(daemon: Daemon, link: str, event: str) -> dict[str, Any]:
    """Return what became of the last such event of a link."""
    with connect(daemon) as client:
        found: dict[str, Any] = ask(client, "/api/v1/explain", interface=link, event=event)
    return found


def test_overrun_while_windows_are_open_and_lanes_are_busy(
    make_daemon: Callable[..., Daemon],
) -> None:
    """
    It is announced, counted and explained; what lasts is told once, what came and went is not made up.

    The window that was open takes the difference in, and the lane that was busy keeps its order.
    """
    daemon = make_daemon(
        f"system: {{log_format: json}}\nnetwork: {{links: [eth*]}}\n{DEBOUNCE}", initial=False
    )
    daemon.script("carrier", GATED)
    daemon.script("no-carrier", RECORD)
    daemon.script("address-added", RECORD)
    daemon.script("address-removed", RECORD)
    gate = daemon.scripts / "data" / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    for number in range(3):
        add_pair(f"eth{number}", 101 + 2 * number)
    ip("link set peth0 down")
    daemon.start(fault=SMALL_BUFFER)
    ip("link set peth0 up")
    steps = daemon.scripts / "data" / "steps"
    wait_for(lambda: steps.exists() or None, "a lane that is busy")
    ip("addr add 10.1.1.1/24 dev eth1")
    daemon.wait_event("eth1", "address-added")
    lost = sum("were lost" in each["message"] for each in daemon.log)

    helper = daemon.role("helper")
    os.kill(helper, signal.SIGSTOP)
    ip(*[f"addr {verb} 10.2.2.{n}/32 dev eth2" for n in range(1, 200) for verb in ("add", "del")])
    ip("link set peth0 down", "link set peth0 up")
    await_carrier("eth0", up=True)
    pull("peth0", "eth0")  # lost too: the kernel tells of a carrier a moment later
    ip("addr del 10.1.1.1/24 dev eth1", "addr add 10.2.2.200/32 dev eth2")
    os.kill(helper, signal.SIGCONT)

    daemon.wait_event("eth0", "no-carrier")
    daemon.wait_event("eth1", "address-removed")
    daemon.wait_event("eth2", "address-added")
    daemon.expect(lambda e: e["message"].startswith("All links were read again"))
    said = [each for each in daemon.log if "links again" in each["message"]]
    assert [each["level"] for each in said] == ["warn"]
    with connect(daemon) as client:
        assert ask(client, "/api/v1/status")["losses"] >= lost + 1
    why = "All links were read again: the receive buffer was full"
    for link, event in (("eth0", "no-carrier"), ("eth2", "address-added")):
        told = explain(daemon, link, event)["explanation"]
        assert any(line.startswith(why) for line in told), (link, told)
    window = explain(daemon, "eth1", "address-added")["decisions"]
    assert [each["result"] for each in window] == ["unchanged"]
    assert daemon.events("eth0").count("carrier") == 1
    assert not [words for words in daemon.record() if words[1] == "eth0"], "its lane is busy"

    with gate.open("w") as opened:
        opened.write("go\n")
    wait_for(lambda: daemon.record() or None, "the run that waited")
    assert daemon.stop() == 0
    assert [words[1:3] for words in daemon.record()] == [["eth0", "no-carrier"]]
    told = [each["sequence"] for each in daemon.announced()]
    assert told == list(range(told[0], told[0] + len(told)))
