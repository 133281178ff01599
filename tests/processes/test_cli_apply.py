"""`netevd apply`, `confirm` and `rollback`, as people use them on a daemon."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon
from tests.processes.test_api import ask, netevd

OPEN = "# ours\nsystem: {log_format: json}\napi: {config_writes: true}\n"


@pytest.fixture
def writable(make_daemon: Callable[..., Daemon]) -> Daemon:
    """Return a daemon that serves and lets its configuration be written."""
    return make_daemon(OPEN).start()


def write(daemon: Daemon, more: str) -> Path:
    """Return a file that is the configuration and more."""
    path = daemon.root / "new"
    path.write_text(daemon.config.read_text() + more)
    return path


def test_applied_shown_and_confirmed(writable: Daemon) -> None:
    """The difference on standard output, what to do on standard error; then it stays."""
    path = write(writable, "script_timeout: 5s  # short\n")

    done = netevd(writable, "apply", str(path), "--confirm", "1h")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "+script_timeout: 5s  # short"
    assert "taken back in 3600 s unless: netevd confirm" in done.stderr
    assert writable.config.read_text() == path.read_text()
    writable.expect_serving(2)
    assert netevd(writable, "confirm").returncode == 0
    again = netevd(writable, "confirm")
    assert (again.returncode, "nothing waits" in again.stderr) == (1, True)
    same = netevd(writable, "apply", str(path))
    assert (same.returncode, same.stdout) == (0, "")
    assert "in force already" in same.stderr
    assert ask(writable, "status")["generation"] == 2


def test_taken_back(writable: Daemon) -> None:
    """By the command at once, or by itself; without --confirm it stays, and nothing is to take back."""
    before = writable.config.read_text()
    path = write(writable, "script_timeout: 5s\n")
    assert netevd(writable, "apply", str(path), "--confirm", "1h").returncode == 0
    writable.expect_serving(2)

    assert netevd(writable, "rollback").returncode == 0

    assert writable.config.read_text() == before
    writable.expect_serving(3)
    assert netevd(writable, "apply", str(path), "--confirm", "1s").returncode == 0
    wait_for(lambda: writable.config.read_text() == before or None, "the file of before")
    writable.expect_serving(5)
    assert netevd(writable, "apply", str(path)).returncode == 0
    assert netevd(writable, "rollback").returncode == 1
    assert writable.config.read_text() == path.read_text()


def test_refused(writable: Daemon, make_daemon: Callable[..., Daemon]) -> None:
    """Problems with their places and 1, what is not allowed 5, no daemon 3; nothing is changed."""
    before = writable.config.read_text()
    bad = netevd(writable, "apply", str(write(writable, "network: {link: a}\n")))
    assert (bad.returncode, bad.stdout) == (
        1, f"{writable.config}:6:11: unknown key 'link'; did you mean 'links'?\n",
    )  # fmt: skip
    root = netevd(writable, "apply", str(write(writable, "include: /etc/netevd/x.yml\n")))
    assert (root.returncode, "include is changed" in root.stdout) == (1, True)
    assert netevd(writable, "apply", str(writable.root / "none")).returncode == 2
    assert writable.config.read_text() == before
    closed = make_daemon().start()
    denied = netevd(closed, "apply", str(write(closed, "script_timeout: 5s\n")))
    assert (denied.returncode, "api.config_writes" in denied.stderr) == (5, True)
    path = write(closed, "script_timeout: 5s\n")
    closed.stop()
    assert netevd(closed, "apply", str(path)).returncode == 3


def test_a_group_member_may_look_and_not_write(writable: Daemon) -> None:
    """Who may steer by the socket's mode is told who may do this."""
    path = write(writable, "script_timeout: 5s\n")
    path.chmod(0o644)
    (writable.root / "run" / "api.sock").chmod(0o666)  # as for a member of the group

    done = netevd(writable, "apply", str(path), user="netevd-script")

    assert (done.returncode, "only root" in done.stderr) == (5, True), done.stderr
    assert netevd(writable, "show", "config", user="netevd-script").returncode == 0


def test_as_json(writable: Daemon) -> None:
    """A dry run and the real thing answer with what changes."""
    path = write(writable, "script_timeout: 5s\n")

    tried = netevd(writable, "apply", str(path), "--dry-run", "-j")

    assert json.loads(tried.stdout)["changes"] == [
        {"key": "script_timeout", "before": 30.0, "after": 5.0}
    ]
    assert json.loads(tried.stdout)["outcome"] == "not tried"
    assert ask(writable, "status")["generation"] == 1
    assert ask(writable, "apply", str(path))["outcome"] == "in force"
