"""SIGKILL of any role: replaced, nothing doubled, nothing lasting missed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, children, ip


def _pair(name: str, index: int) -> None:
    ip(
        f"link add name {name} index {index} type veth peer name p{name}",
        f"link set {name} addrgenmode none",  # no IPv6 address that comes a second later
        f"link set p{name} addrgenmode none",
        f"link set {name} up",
        f"link set p{name} up",
    )


@pytest.mark.parametrize("role", ["helper", "runner", "worker"])
def test_role_is_replaced_and_events_go_on(daemon: Daemon, role: str) -> None:
    """After SIGKILL of a role the next change runs its script, once."""
    daemon.script("address-added", RECORD)
    _pair("eth0", 101)
    daemon.start()
    wait_for(lambda: "carrier" in daemon.events("eth0") or None, "initial state")

    daemon.kill(role)
    ip("addr add 10.1.1.1/24 dev eth0")

    wait_for(
        lambda: [w for w in daemon.record() if w[5] == "10.1.1.1"] or None, "run after the death"
    )
    assert daemon.stop() == 0
    assert len([words for words in daemon.record() if words[5] == "10.1.1.1"]) == 1


def test_change_during_the_helpers_death_is_told_once(daemon: Daemon) -> None:
    """What changed before the new helper was there is announced, what did not is not repeated."""
    _pair("eth0", 101)
    _pair("eth1", 102)
    daemon.start()
    for name in ("eth0", "peth0", "eth1", "peth1"):
        daemon.wait_event(name, "carrier")
    before = len(daemon.announced())
    os.kill(daemon.role("helper"), signal.SIGSTOP)
    ip("link set peth0 down", "addr add 10.1.1.1/24 dev eth0")

    daemon.kill("helper")

    wait_for(lambda: "address-usable" in daemon.events("eth0") or None, "the change")
    new = [(e["interface"], e["event"]) for e in daemon.announced()[before:]]
    assert ("eth0", "no-carrier") in new
    assert not [entry for entry in new if entry[0] in {"eth1", "peth1"}]
    assert len(new) == len(set(new))


def test_change_during_the_workers_death_is_told_once(daemon: Daemon) -> None:
    """The next worker knows what users know: it tells the difference, and numbers go on."""
    daemon.script("address-added", RECORD)
    _pair("eth0", 101)
    _pair("eth1", 102)
    daemon.start()
    for name in ("eth0", "peth0", "eth1", "peth1"):
        daemon.wait_event(name, "carrier")
    last = daemon.announced()[-1]["sequence"]
    os.kill(daemon.role("worker"), signal.SIGSTOP)
    ip("link set peth0 down", "addr add 10.1.1.1/24 dev eth0")

    daemon.kill("worker")

    wait_for(lambda: daemon.record() or None, "the script")
    daemon.wait_event("eth0", "no-carrier")  # the log comes after the scripts
    daemon.wait_event("eth0", "address-added")
    new = [each for each in daemon.announced() if each["sequence"] > last]
    assert [each["sequence"] for each in new] == list(range(last + 1, last + 1 + len(new)))
    kinds = [(each["interface"], each["event"]) for each in new]
    assert ("eth0", "no-carrier") in kinds
    assert ("eth0", "address-added") in kinds
    assert not [kind for kind in kinds if kind[0] in {"eth1", "peth1"}]
    daemon.expect(lambda entry: "may have been lost: the worker died" in entry["message"])


def test_first_link_during_the_workers_death_is_told_as_new(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Where there was nothing to watch, that is remembered too: the first link is no initial state."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n")
    daemon.start()
    os.kill(daemon.role("worker"), signal.SIGSTOP)
    _pair("eth0", 101)

    daemon.kill("worker")

    daemon.wait_event("eth0", "carrier")
    assert daemon.events()[0] == "link-added"
    assert not [each for each in daemon.announced() if each.get("initial")]


def test_dead_runner_takes_its_scripts_with_it(daemon: Daemon) -> None:
    """Scripts of a killed runner are killed and reported lost; the queue goes on."""
    daemon.script("address-added", "#!/bin/sh\necho $$ >> DIRECTORY/pids\nexec sleep 1000\n")
    _pair("eth0", 101)
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")
    pids = daemon.scripts / "data" / "pids"
    wait_for(lambda: (pids.exists() and pids.read_text().endswith("\n")) or None, "script")
    script = int(pids.read_text().split()[-1])

    daemon.kill("runner")

    daemon.expect(lambda entry: "lost" in str(entry))
    wait_for(lambda: not Path(f"/proc/{script}").exists() or None, "death of the script")
    ip("addr add 10.1.1.2/24 dev eth0")
    wait_for(lambda: len(set(pids.read_text().split())) > 1 or None, "the next run")


def test_script_outlives_the_worker_that_started_it(daemon: Daemon) -> None:
    """A worker's death neither kills nor repeats a script that runs; its end is recorded."""
    daemon.script(
        "address-added",
        "#!/bin/sh\necho begin >> DIRECTORY/steps\nread line < DIRECTORY/gate\necho end >> DIRECTORY/steps\n",
    )
    gate = daemon.scripts / "data" / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    steps = daemon.scripts / "data" / "steps"
    _pair("eth0", 101)
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")
    wait_for(lambda: (steps.exists() and steps.read_text()) or None, "begin")

    daemon.kill("worker")
    daemon.expect_serving(2)
    with gate.open("w") as opened:
        opened.write("go\n")

    wait_for(lambda: steps.read_text().count("end") or None, "end")
    daemon.expect(lambda entry: "exited with code 0" in entry["message"])
    assert steps.read_text() == "begin\nend\n"


def test_roles_end_when_the_supervisor_is_killed(daemon: Daemon) -> None:
    """A role that loses its supervisor ends; scripts end with their runner."""
    daemon.script("address-added", "#!/bin/sh\necho $$ >> DIRECTORY/pids\nexec sleep 1000\n")
    _pair("eth0", 101)
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")
    pids = daemon.scripts / "data" / "pids"
    wait_for(lambda: (pids.exists() and pids.read_text().endswith("\n")) or None, "script")
    everyone = [*children(daemon.pid), int(pids.read_text().split()[-1])]

    os.kill(daemon.pid, signal.SIGKILL)

    for pid in everyone:
        wait_for(lambda pid=pid: _is_gone(pid) or None, f"end of {pid}")


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # ended; whoever adopted it has not reaped it yet


def test_role_that_never_gets_ready_ends_the_daemon(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    """Five deaths in a row right after the start end the daemon with an error."""
    daemon = make_daemon()
    daemon.start(ready=False)
    killed = 0
    assert daemon.process is not None
    while daemon.process.poll() is None:
        if (pid := daemon.find("worker")) and "watching" not in "".join(daemon.raw):
            try:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue

    assert daemon.process.returncode == 1
    assert "died 5 times in a row" in "".join(daemon.raw)
    assert killed >= 5
