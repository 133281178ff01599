"""What clients see over the runtime directory's socket, by the command line and by bare HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, ip
from tests.processes.test_reload import reload

PROGRAM = "import sys; from netevd.cli.main import main; sys.exit(main())"


def netevd(daemon: Daemon, *words: str, user: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command against a daemon."""
    prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    command = [*prefix, sys.executable, "-c", PROGRAM, "--socket", str(find_socket(daemon)), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def find_socket(daemon: Daemon) -> Path:
    """Return the path of a daemon's socket."""
    return daemon.root / "run" / "api.sock"


def ask(daemon: Daemon, *words: str) -> Any:
    """Return the JSON that a command prints."""
    done = netevd(daemon, *words, "-j")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Follower:
    """`netevd events --follow` in the background."""

    def __init__(self, daemon: Daemon, *words: str) -> None:
        command = [sys.executable, "-c", PROGRAM, "--socket", str(find_socket(daemon))]
        self.process = subprocess.Popen(
            [*command, "events", "--follow", "-o", "jsonl", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def read(self) -> dict[str, Any]:
        """Return the next event."""
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def close(self) -> str:
        """End it; return what it said."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=10)[1]


@pytest.fixture
def served(daemon: Daemon) -> Daemon:
    """Return a daemon that serves, with one link and a recording script."""
    daemon.script("address-added", RECORD)
    ip("link add name eth0 index 101 type veth peer name peth0 index 102")
    for name in ("eth0", "peth0"):  # no IPv6 address that comes a second later
        ip(f"link set {name} addrgenmode none", f"link set {name} up")
    daemon.start()
    wait_for(lambda: "carrier" in daemon.events("eth0") or None, "initial state")
    return daemon


def test_status_and_interfaces(served: Daemon) -> None:
    """The daemon on one screen, and each interface as the kernel has it."""
    status = ask(served, "status")
    assert (status["state"], status["generation"], status["interfaces"]) == ("serving", 1, 3)
    assert status["sequence"] == served.announced()[-1]["sequence"]

    found = ask(served, "list", "interfaces")
    assert [each["name"] for each in found["interfaces"]] == ["lo", "eth0", "peth0"]
    assert ask(served, "show", "interface", "eth0")["index"] == 101
    assert netevd(served, "status").stdout.startswith("state:")


def test_what_does_not_exist_has_its_own_exit_code(served: Daemon) -> None:
    """4 for what is not there, 3 without a daemon, 2 for a question that makes no sense."""
    missing = netevd(served, "show", "interface", "eth9")
    assert (missing.returncode, missing.stdout) == (4, "")
    assert "there is no interface 'eth9'" in missing.stderr
    wrong = netevd(served, "events", "--type", "routabel")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'routable'?" in wrong.stderr
    moment = netevd(served, "events", "--since", "yesterday")
    assert (moment.returncode, moment.stdout) == (2, "")
    assert "since: expected a sequence number" in moment.stderr
    served.stop()
    gone = netevd(served, "status")
    assert gone.returncode == 3
    assert str(find_socket(served)) in gone.stderr


def test_the_socket_is_for_root_and_the_group(served: Daemon) -> None:
    """Mode 0660, group netevd; somebody else is told what would help."""
    status = os.stat(find_socket(served))
    assert status.st_mode & 0o777 == 0o660
    other = netevd(served, "status", user="65534")
    assert other.returncode == 5
    assert "group netevd" in other.stderr


def test_events_are_what_was_announced(served: Daemon) -> None:
    """The journal and the log tell the same events; filters choose among them."""
    ip("addr add 10.1.1.1/24 dev eth0")
    wait_for(lambda: served.record() or None, "script")

    served.wait_event("eth0", "routable")
    wait_for(lambda: "routes" in served.events("eth0") or None, "the route's event")

    found = ask(served, "events")["events"]
    assert [each["sequence"] for each in found] == [e["sequence"] for e in served.announced()]
    assert [each["type"] for each in found] == [each["event"] for each in served.announced()]
    chosen = ask(served, "events", "--type", "address-*", "--interface", "eth?")["events"]
    assert chosen[0]["type"] == "address-added"
    assert {each["interface"] for each in chosen} == {"eth0"}
    last = ask(served, "events", "--limit", "1")["events"]
    assert [each["sequence"] for each in last] == [found[-1]["sequence"]]
    since = str(found[-2]["sequence"])
    assert ask(served, "events", "--since", since)["events"] == found[-1:]
    assert ask(served, "events", "--since", "1h")["count"] == len(found)


def test_explain_tells_runs_and_why_there_was_none(served: Daemon) -> None:
    """An event with a script, and one without."""
    ip("addr add 10.1.1.1/24 dev eth0")
    served.expect(lambda entry: "exited with code 0" in entry["message"])

    ran = ask(served, "explain", "--interface", "eth0", "--event", "address-added")
    assert [run["result"] for run in ran["runs"]] == ["ok"]
    assert ran["explanation"][0] == "no filter matched: action execute"
    assert ran["explanation"][1].endswith("s)")
    number = str(ran["runs"][0]["run"])
    assert ask(served, "show", "run", number)["runs"] == ran["runs"]
    none = ask(served, "explain", "--interface", "eth0", "--event", "address-usable")
    assert none["explanation"][1:] == [
        "no script: there is none in address-usable.d that may be run"
    ]
    unknown = netevd(served, "explain", "1")
    assert unknown.returncode == 4
    assert "oldest one is" in unknown.stderr


def test_following_goes_on_over_reload_and_crash(served: Daemon) -> None:
    """No gap and no repeat, whatever happens to the worker."""
    first = served.announced()[0]["sequence"]
    follower = Follower(served, "--since", str(first - 1))
    begun = [follower.read() for _ in served.announced()]
    ip("addr add 10.1.1.1/24 dev eth0")
    served.wait_event("eth0", "address-usable")
    reload(served, 2)
    ip("addr add 10.1.2.1/24 dev eth0")
    served.wait_event("eth0", "address-usable", 2)
    served.kill("worker")
    served.expect_serving(3)
    ip("addr add 10.1.3.1/24 dev eth0")
    served.wait_event("eth0", "address-usable", 3)

    wait_for(lambda: served.events("eth0").count("routes") >= 3 or None, "the routes' events")
    wanted = [each["sequence"] for each in served.announced()]
    told = begun + [follower.read() for _ in wanted[len(begun) :]]
    assert [each["sequence"] for each in told] == wanted
    assert follower.close() == ""


def test_reload_by_command_reports_the_outcome(served: Daemon) -> None:
    """Exit 0 once it is in force, exit 1 with the problems if the file is bad."""
    assert netevd(served, "reload").returncode == 0
    good = served.config.read_text()
    served.config.write_text(good + "nonsense: 1\n")

    bad = netevd(served, "reload")

    assert bad.returncode == 1
    assert bad.stdout.startswith(f"{served.config}:3:1: unknown key 'nonsense'") or (
        bad.stdout.startswith(f"{served.config}:4:1: unknown key 'nonsense'")
    )
    assert "what was there goes on" in bad.stderr
    assert ask(served, "status")["generation"] == 2


def test_a_paused_script_is_resumed_by_command(
    make_daemon: Callable[..., Daemon],
) -> None:
    """After too many failures it is shown as paused, and runs again when somebody says so."""
    daemon = make_daemon(pause_after=2)
    script = daemon.script("address-added", "#!/bin/sh\nexit 3\n")
    ip("link add name eth0 type veth peer name peth0", "link set eth0 up")
    daemon.start()
    for number in (1, 2):
        ip(f"addr add 10.1.1.{number}/24 dev eth0")
    daemon.expect(lambda entry: "is paused" in entry["message"])
    assert ask(daemon, "status")["paused_scripts"] == [str(script)]

    assert netevd(daemon, "resume", str(script)).returncode == 0

    assert ask(daemon, "status")["paused_scripts"] == []
    assert netevd(daemon, "resume", str(script)).returncode == 4
