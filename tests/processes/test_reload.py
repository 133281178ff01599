"""SIGHUP: another configuration, other roles, and nothing that anybody could notice otherwise."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, NotifySocket, children, comm, ip
from tests.processes.storm import Storm
from tests.processes.undisturbed import Undisturbed

GATED = (
    "#!/bin/sh\necho begin $LINK\necho begin >> DIRECTORY/steps.$(id -u)\nread line < DIRECTORY/gate\n"
    "echo end $LINK\necho end >> DIRECTORY/steps.$(id -u)\n"
)
"""Runs until somebody writes a line into the gate."""


@pytest.fixture
def gate(daemon: Daemon) -> Path:
    """Return the gate of `GATED`."""
    path = daemon.scripts / "data" / "gate"
    os.mkfifo(path)
    path.chmod(0o666)
    return path


def reload(daemon: Daemon, times: int) -> None:
    """Reload, and wait until this many workers have served."""
    daemon.process.send_signal(signal.SIGHUP)
    daemon.expect_serving(times)


def count_steps(daemon: Daemon, word: str) -> int:
    """Return how often a gated script came that far."""
    # a file for each user: in a sticky directory root may not write to others' (fs.protected_regular)
    files = (daemon.scripts / "data").glob("steps.*")
    return sum(path.read_text().split().count(word) for path in files)


def test_reloads_under_load_lose_double_and_disorder_nothing(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Reloads back to back while links flap: the runs are those of a daemon that nobody reloads."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n", initial=False)
    storm = Storm(daemon, links=6, pause_s=0.05)
    storm.prepare()
    daemon.start()
    undisturbed = Undisturbed(daemon)
    storm.begin()
    for times in range(2, 7):
        reload(daemon, times)
    storm.end()

    storm.check_all_told()
    storm.check_ends()
    undisturbed.end()
    undisturbed.check()
    assert not [each for each in daemon.log if "may have been" in each["message"]]
    assert daemon.stop() == 0
    assert not [each for each in daemon.log if each["level"] in {"warn", "error"}]


def test_reload_neither_ends_nor_repeats_a_script(daemon: Daemon, gate: Path) -> None:
    """A script runs on, its output before and after is logged, its end is recorded once."""
    daemon.script("address-added", GATED)
    ip("link add name eth0 type veth peer name peth0", "link set eth0 up")
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")
    wait_for(lambda: count_steps(daemon, "begin") or None, "begin")

    reload(daemon, 2)
    reload(daemon, 3)
    with gate.open("w") as opened:
        opened.write("go\n")

    daemon.expect(lambda entry: "exited with code 0" in entry["message"])
    assert (count_steps(daemon, "begin"), count_steps(daemon, "end")) == (1, 1)
    said = [each["message"] for each in daemon.log if each.get("kind") == "script-output"]
    assert said == ["begin eth0", "end eth0"] or said[-2:] == ["begin eth0", "end eth0"]


def test_bad_file_changes_nothing_and_says_where(daemon: Daemon) -> None:
    """Problems are logged with their place, the roles stay, and a good file is taken later."""
    daemon.script("address-added", RECORD)
    ip("link add name eth0 type veth peer name peth0", "link set eth0 up")
    daemon.start()
    before = sorted(children(daemon.pid))
    good = daemon.config.read_text()
    daemon.config.write_text(good + "network: {link: [eth0]}\n")

    daemon.process.send_signal(signal.SIGHUP)

    daemon.expect(lambda e: f"{daemon.config}:4:11" in e["message"] and "link" in e["message"])
    daemon.expect(lambda entry: "stays in force" in entry["message"])
    wait_for(lambda: sorted(children(daemon.pid)) == before or None, "the end of the reader alone")
    daemon.config.write_text(good)
    reload(daemon, 2)
    ip("addr add 10.1.1.1/24 dev eth0")
    wait_for(lambda: daemon.record() or None, "script after the reload")


def test_everything_may_change_by_reload(make_daemon: Callable[..., Daemon]) -> None:
    """Links, directories and log level: what is newly watched is introduced, nothing else is told."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth0]}\n")
    daemon.script("carrier", RECORD)
    for number, name in enumerate(("eth0", "eth1")):
        ip(
            f"link add name {name} index {100 + number} type veth peer name p{name}",
            f"link set {name} addrgenmode {'none' if number else 'eui64'}",  # eth1 is told of once
            f"link set {name} up",
            f"link set p{name} up",
        )
    daemon.start()
    wait_for(lambda: daemon.record() or None, "initial script")
    daemon.wait_event("eth0", "degraded")
    told = len(daemon.announced())
    other = daemon.root / "others"
    (other / "carrier.d").mkdir(parents=True)
    for path in (other, other / "carrier.d"):
        path.chmod(0o755)
    script = other / "carrier.d" / "10-other"
    script.write_text(
        RECORD.replace("DIRECTORY", str(daemon.scripts / "data")).replace("$LINK", "other:$LINK")
    )
    script.chmod(0o755)
    daemon.config.write_text(
        "system: {log_format: json, log_level: debug}\nnetwork: {links: [eth*]}\n"
        f"scripts: {json.dumps({'directory': str(other)})}\n"
    )

    reload(daemon, 2)

    wait_for(lambda: [w for w in daemon.record() if w[1] == "other:eth1"] or None, "other script")
    daemon.wait_event("eth1", "carrier")
    new = daemon.announced()[told:]
    introduced = {(each["interface"], each.get("initial")) for each in new}
    assert introduced - {("eth0", None)} == {("eth1", True)}
    again = [each for each in new if each["interface"] == "eth0"]
    assert not {each["event"] for each in again} & {"carrier", "off", "degraded", "routable"}
    ip("link set peth0 down")
    daemon.wait_event("eth0", "no-carrier")
    ip("link set peth0 up")
    wait_for(lambda: [w for w in daemon.record() if w[1] == "other:eth0"] or None, "old link")


def test_an_old_runner_ends_once_its_last_script_has(daemon: Daemon, gate: Path) -> None:
    """A rule that changes brings a new runner; the old one stays for what it runs, and then ends."""
    script = daemon.script("address-added", GATED)
    ip("link add name eth0 type veth peer name peth0", "link set eth0 up")
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")
    wait_for(lambda: count_steps(daemon, "begin") or None, "begin")
    (old,) = list_runners(daemon)
    daemon.configure(user="nobody", rules=[{"path": str(script), "user": "root"}])

    reload(daemon, 2)

    assert len(list_runners(daemon)) == 3
    assert old in list_runners(daemon)
    with gate.open("w") as opened:
        opened.write("go\n")
    daemon.expect(lambda entry: "exited with code 0" in entry["message"])
    wait_for(lambda: old not in list_runners(daemon) or None, "end of the old runner")
    ip("addr add 10.1.1.2/24 dev eth0")
    wait_for(lambda: count_steps(daemon, "begin") == 2 or None, "the script as root")
    running = [pid for runner in list_runners(daemon) for pid in children(runner)]
    assert [os.stat(f"/proc/{pid}").st_uid for pid in running] == [0]


def list_runners(daemon: Daemon) -> list[int]:
    """Return the pids of all runners."""
    return [pid for pid in children(daemon.pid) if comm(pid) == "netevd-runner"]


def test_a_runner_that_fits_is_kept(daemon: Daemon) -> None:
    """The same identity, scripts and directories: the runner stays, other roles are new."""
    daemon.start()
    before = {role: daemon.role(role) for role in ("helper", "runner", "worker")}

    reload(daemon, 2)

    after = {role: daemon.role(role) for role in before}
    assert {role for role in before if before[role] == after[role]} == {"runner"}


@pytest.fixture
def notify() -> Iterator[NotifySocket]:
    """Return what stands for systemd."""
    sock = NotifySocket()
    yield sock
    sock.close()


def test_systemd_hears_of_a_reload(daemon: Daemon, notify: NotifySocket) -> None:
    """RELOADING=1 with its time, then READY=1, whether the file was good or bad."""
    daemon.start(environment={"NOTIFY_SOCKET": notify.path})
    notify.receive_until("READY=1")

    daemon.process.send_signal(signal.SIGHUP)

    message = notify.receive_until("RELOADING=1")
    assert message[1].startswith("MONOTONIC_USEC=")
    assert int(message[1].partition("=")[2]) > 0
    notify.receive_until("READY=1")
    daemon.config.write_text("nonsense: 1\n")
    daemon.process.send_signal(signal.SIGHUP)
    notify.receive_until("RELOADING=1")
    notify.receive_until("READY=1")


@pytest.mark.parametrize("role", ["helper", "worker"])
def test_death_of_an_old_role_in_a_reload(daemon: Daemon, role: str) -> None:
    """It counts as a crash: what changed is told, and that something may have been missed is said."""
    daemon.script("address-added", RECORD)
    ip("link add name eth0 type veth peer name peth0", "link set eth0 up")
    daemon.start()
    old = daemon.role(role)
    os.kill(old, signal.SIGSTOP)  # so it can't work off what it got
    ip("addr add 10.1.1.1/24 dev eth0")
    daemon.process.send_signal(signal.SIGHUP)
    new = [None]

    def find_new() -> int | None:
        found = [p for p in children(daemon.pid) if comm(p) == f"netevd-{role}" and p != old]
        new[:] = found or [None]
        return new[0]

    wait_for(find_new, "the next role")
    os.kill(old, signal.SIGKILL)

    daemon.expect_serving(2)
    wait_for(lambda: daemon.record() or None, "the script")
    daemon.expect(lambda entry: "may have been lost" in entry["message"])
    assert [words[5] for words in daemon.record()] == ["10.1.1.1"]


@pytest.mark.parametrize("role", ["helper", "worker"])
def test_death_of_a_new_role_in_a_reload_keeps_the_old_generation(
    daemon: Daemon, role: str
) -> None:
    """The reload fails and says so; what was there goes on."""
    daemon.script("address-added", RECORD)
    ip("link add name eth0 type veth peer name peth0", "link set eth0 up")
    daemon.start()
    before = {each: daemon.role(each) for each in ("helper", "worker")}
    killed = 0
    while not any("reload failed" in each["message"] for each in list(daemon.log)):
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(
            lambda: (
                [
                    p
                    for p in children(daemon.pid)
                    if comm(p) == f"netevd-{role}" and p not in before.values()
                ]
                or any("reload failed" in each["message"] for each in list(daemon.log))
                or None
            ),
            "the next role",
        )
        for pid in children(daemon.pid):
            if comm(pid) == f"netevd-{role}" and pid not in before.values():
                with suppress(ProcessLookupError):  # one of an earlier turn, reaped meanwhile
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        if daemon.role(role) != before[role]:
            pytest.skip("the reload was through before the new role could be killed")
    assert killed
    ip("addr add 10.1.1.1/24 dev eth0")
    wait_for(lambda: daemon.record() or None, "the script")
    assert {each: daemon.role(each) for each in before} == before
