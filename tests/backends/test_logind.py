"""A real logind: a sleep of the machine is two events of the host with their scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.logind import lay_bed, sleep
from tests.backends.networkd import boot
from tests.boundary.rig import wait_for
from tests.lab.system import System
from tests.processes.rig import Daemon

RECORD = """#!/bin/sh
echo "$NETEVD_EVENT|$BACKEND|$NETEVD_REASON|${LINK-no link}" >> %s/data/said
"""


@pytest.fixture
def place() -> Iterator[tuple[System, Daemon]]:
    """A system that can be put to sleep, and a daemon beside it that is not started."""
    with boot() as (system, _):
        lay_bed(system)
        daemon = Daemon("network: {links: [eth*]}\nsystem: {log_format: json}\n")
        try:
            yield system, daemon
        finally:
            daemon.close()


def test_a_sleep_is_told(place: tuple[System, Daemon]) -> None:
    """Suspend, then resume, each with its script; again after logind was restarted, whose absence is none."""
    system, daemon = place
    script = daemon.scripts / "manager.d" / "10-record"
    script.parent.mkdir(exist_ok=True)
    script.write_text(RECORD % daemon.scripts)
    script.chmod(0o755)
    said = daemon.scripts / "data" / "said"
    daemon.start(prefix=system.beside)
    daemon.expect(lambda entry: "systemd-logind 252" in entry["message"])
    sleep(system)
    wait_for(lambda: (said.exists() and len(said.read_text().splitlines()) == 2) or None, "both")

    after = len(daemon.log)
    system.run("systemctl", "restart", "systemd-logind")
    daemon.expect(lambda entry: "what it knows counts again" in entry["message"], after)
    sleep(system)
    wait_for(lambda: len(said.read_text().splitlines()) == 4 or None, "both of the second sleep")

    row = [f"manager|systemd-logind|{each}|no link" for each in ("suspend", "resume")]
    assert said.read_text().splitlines() == row * 2
    told = [each for each in daemon.announced() if each["event"] == "manager"]
    assert [each["message"] for each in told] == ["suspend", "resume"] * 2
