"""security.sandbox in a whole daemon: what is in force, and that it is said loudly where less is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, ip
from tests.unit.cli.rig import netevd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
FILTERED = ("helper", "worker")


def switch(daemon: Daemon, how: str) -> None:
    """Write how roles are confined into the configuration."""
    text = daemon.config.read_text(encoding="utf-8").split("security:")[0]
    daemon.config.write_text(f"{text}security: {{sandbox: {how}}}\n", encoding="utf-8")


def ask(daemon: Daemon, *words: str) -> Any:
    """Return the JSON of a command that asks the daemon."""
    return json.loads(netevd("--socket", f"{daemon.root}/run/api.sock", "-j", *words).stdout)


def read_filters(daemon: Daemon) -> dict[str, int]:
    """Return how many filters each role has; one of them is what is refused to all."""
    found = {}
    for role in (*FILTERED, "runner"):
        status = Path(f"/proc/{daemon.role(role)}/status").read_text(encoding="utf-8")
        found[role] = int(status.split("Seccomp_filters:")[1].split()[0])
    return found


def told_by_doctor(daemon: Daemon) -> dict[str, tuple[str, str]]:
    """Return level and message of each process of this daemon, and of its sandbox, by role."""
    answer = ask(daemon, "doctor", "--config", str(daemon.config))
    found = [each for each in answer["findings"] if each["check"] == "roles"]
    return {each["subject"].partition(" ")[0]: (each["level"], each["message"]) for each in found}


@pytest.mark.parametrize("how", ["log", "off"])
def test_less_than_enforced_is_said_everywhere_and_undone_by_a_reload(
    daemon: Daemon, how: str
) -> None:
    """The daemon works without its filters, says so in log, health and doctor, and takes them again."""
    daemon.script("address-added", RECORD)
    switch(daemon, how)
    ip("link add eth0 index 101 type veth peer name p0 index 201")
    daemon.start()

    daemon.expect(
        lambda entry: entry["level"] == "warn" and f"security.sandbox is {how}" in entry["message"]
    )
    own = {"log": 2, "off": 1}[how]
    assert read_filters(daemon) == {"helper": own, "worker": own, "runner": 1}
    assert not [entry for entry in daemon.log if "died" in entry["message"]]
    ip("addr add 10.1.1.1/24 dev eth0")
    wait_for(daemon.record, "a run")
    told = told_by_doctor(daemon)
    assert told["sandbox"][0] == "warning" and f"security.sandbox is {how}" in told["sandbox"][1]
    assert told["worker"][0] == {"log": "ok", "off": "warning"}[how]
    assert told["worker"][1].startswith(
        f"user netevd, capabilities none, no_new_privs, {own} seccomp filter"
    )

    switch(daemon, "enforce")
    assert ask(daemon, "reload")

    wait_for(lambda: read_filters(daemon) == {"helper": 2, "worker": 2, "runner": 1}, "filters")
    told = wait_for(
        lambda: (
            found if (found := told_by_doctor(daemon)).get("sandbox", ("",))[0] == "ok" else None
        ),
        "fine",
    )
    assert {level for level, _ in told.values()} == {"ok"}
    assert (
        "user netevd-net, capabilities CAP_NET_ADMIN, no_new_privs, 2 seccomp filters"
        in told["helper"][1]
    )
    assert told.keys() >= {"supervisor", "helper", "worker", "runner", "sandbox"}


def test_a_worker_can_not_ask_for_less(daemon: Daemon) -> None:
    """Over the API the sandbox stays as root's file says."""
    daemon.config.write_text(f"{daemon.config.read_text()}api: {{config_writes: true}}\n")
    daemon.start()
    other = daemon.root / "other.yaml"
    other.write_text(f"{daemon.config.read_text()}security: {{sandbox: 'off'}}\n")

    refused = netevd("--socket", f"{daemon.root}/run/api.sock", "apply", str(other))

    assert refused.returncode == 1
    assert (
        "security.sandbox is changed; over the API it stays as it is"
        in refused.stderr + refused.stdout
    )
