"""Start, stop, signals, locks, and what systemd is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, NotifySocket, children, comm, ip


@pytest.fixture
def notify() -> Iterator[NotifySocket]:
    """Return a socket in systemd's place."""
    sock = NotifySocket()
    yield sock
    sock.close()


def test_systemd_hears_ready_status_and_stopping(daemon: Daemon, notify: NotifySocket) -> None:
    """READY and STATUS come once the daemon serves, STOPPING when it stops."""
    daemon.start(environment={"NOTIFY_SOCKET": notify.path})

    ready = notify.receive_until("READY=1")
    status = daemon.stop()

    assert "STATUS=watching all links but lo (privileged)" in ready
    assert "STOPPING=1" in notify.receive_until("STOPPING=1")
    assert status == 0


def test_watchdog_stops_hearing_when_the_helper_hangs(daemon: Daemon, notify: NotifySocket) -> None:
    """WATCHDOG=1 comes while worker and helper answer, and not when the helper does not."""
    daemon.start(environment={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "600000"})
    notify.receive_until("WATCHDOG=1")
    notify.receive_until("WATCHDOG=1")

    helper = daemon.role("helper")
    os.kill(helper, signal.SIGSTOP)
    notify._sock.settimeout(1.5)
    heard = 0
    with pytest.raises(TimeoutError):
        while True:
            heard += "WATCHDOG=1" in notify.receive()
    assert heard <= 2  # answers that were on their way
    os.kill(helper, signal.SIGCONT)
    notify._sock.settimeout(20)
    notify.receive_until("WATCHDOG=1")


def test_second_daemon_says_who_holds_the_lock(daemon: Daemon) -> None:
    """A second daemon in one runtime directory ends at once and names the first one's pid."""
    daemon.start()

    command = [
        sys.executable,
        "-I",
        "-m",
        "privsep",
        "run",
        "--runtime-dir",
        str(daemon.root / "run"),
    ]
    second = subprocess.run(command, capture_output=True, text=True, check=False)

    assert second.returncode == 1
    assert f"another netevd (pid {daemon.pid}) holds {daemon.root}/run/lock" in second.stderr


def test_lock_ends_with_its_holder(daemon: Daemon, make_daemon: Callable[..., Daemon]) -> None:
    """After SIGKILL of a daemon the next one can start in the same runtime directory."""
    daemon.start()
    old = [daemon.pid, *children(daemon.pid)]
    os.kill(daemon.pid, signal.SIGKILL)
    assert daemon.process is not None
    daemon.process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}/fd").exists() and _fds(pid) for pid in old) or None,
             "end of all roles")  # fmt: skip

    daemon.log.clear()
    daemon.start()

    assert daemon.stop() == 0


def _fds(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def test_a_dry_run_is_not_reloaded(daemon: Daemon) -> None:
    """SIGHUP is answered in the log; all roles stay."""
    daemon.start("--dry-run")
    roles = _list_roles(daemon)

    os.kill(daemon.pid, signal.SIGHUP)

    daemon.expect(lambda entry: "a dry run is not reloaded" in entry["message"])
    assert _list_roles(daemon) == roles


def _list_roles(daemon: Daemon) -> list[int]:
    """Return the processes of roles; who dials the bus comes and goes."""
    return [pid for pid in children(daemon.pid) if comm(pid) != "netevd-dialer"]


def test_stop_ends_a_stubborn_script_and_all_roles(daemon: Daemon) -> None:
    """A script that ignores TERM is killed; the daemon ends with status 0 and leaves nobody."""
    daemon.script(
        "address-added",
        "#!/bin/sh\ntrap '' TERM\necho $$ >> DIRECTORY/pids\nwhile :; do sleep 1; done\n",
    )
    ip("link add name eth0 index 101 type veth peer name p0", "link set eth0 up")
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")
    pids = daemon.scripts / "data" / "pids"
    wait_for(lambda: (pids.exists() and pids.read_text().endswith("\n")) or None, "script")
    everyone = [*children(daemon.pid), int(pids.read_text())]

    assert daemon.stop() == 0
    assert not [pid for pid in everyone if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_stops_in_good_order(daemon: Daemon) -> None:
    """SIGINT to the whole foreground group is a stop, not a heap of tracebacks."""
    daemon.start()

    for pid in [*children(daemon.pid), daemon.pid]:
        os.kill(pid, signal.SIGINT)

    assert daemon.process is not None
    assert daemon.process.wait(timeout=20) == 0
    assert "Traceback" not in "".join(daemon.raw)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("system: {log_levl: info}\n", "netevd.yaml:1:10: unknown key 'log_levl'"),
        ("scripts: {user: nobody-here}\n", "there is no system user 'nobody-here'"),
        ("scripts: {user: root}\n", "scripts don't run as root"),
        ("- a\n", "expected keys such as 'network:'"),
    ],
)
def test_bad_configuration_is_told_and_nothing_starts(
    daemon: Daemon, text: str, expected: str
) -> None:
    """Every problem is told with its place; the daemon ends with status 1."""
    daemon.config.write_text(text)

    daemon.start(ready=False)

    assert daemon.process is not None
    assert daemon.process.wait(timeout=20) == 1
    wait_for(lambda: expected in "".join(daemon.raw) or None, expected)
    assert "Traceback" not in "".join(daemon.raw)


def test_configuration_of_others_may_not_choose_the_script_user(daemon: Daemon) -> None:
    """A file that others can write can't say as whom or from where scripts run."""
    daemon.config.chmod(0o666)

    daemon.start(ready=False)

    assert daemon.process is not None
    assert daemon.process.wait(timeout=20) == 1
    wait_for(lambda: "chmod go-w" in "".join(daemon.raw) or None, "advice")


def test_unreadable_configuration_names_what_blocks(daemon: Daemon) -> None:
    """A file that the reader's user can't read is told with the command that mends it."""
    daemon.config.chmod(0o600)

    daemon.start(ready=False)

    assert daemon.process is not None
    assert daemon.process.wait(timeout=20) == 1
    wait_for(lambda: f"chgrp netevd {daemon.config}" in "".join(daemon.raw) or None, "advice")


def test_missing_users_are_told_with_the_one_command(daemon: Daemon, tmp_path: Path) -> None:
    """Started as root without its users the daemon ends and prints the command that makes them."""
    passwd = tmp_path / "passwd"
    lines = Path("/etc/passwd").read_text().splitlines(keepends=True)
    passwd.write_text("".join(line for line in lines if not line.startswith("netevd")))
    command = f"mount --bind {passwd} /etc/passwd && exec {sys.executable} -I -m privsep run"

    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{command} --runtime-dir {tmp_path}/run"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    if "unshare:" in result.stderr:
        pytest.skip("this system gives no mount namespace of its own (a chroot does not)")
    assert result.returncode == 1
    assert "useradd --system" in result.stderr
    assert "groupadd --system netevd" in result.stderr


def test_dry_run_decides_and_runs_nothing(
    make_daemon: Callable[..., Daemon], daemon: Daemon
) -> None:
    """Beside a working daemon: no lock, no runner, numbers from 1, and what would run is told."""
    daemon.start()
    other = make_daemon()
    other.script("address-added", RECORD)
    ip("link add name eth0 index 101 type veth peer name p0")
    other.start("--dry-run", "--runtime-dir", str(daemon.root / "run"))
    other.wait_event("eth0", "off")

    ip("addr add 10.1.1.1/24 dev eth0")

    would = other.expect(lambda entry: "would run" in entry["message"])
    assert would["message"].endswith("address-added.d/10-test")
    assert other.find("runner") is None
    assert other.announced()[0]["sequence"] == 1
    assert other.stop() == 0
    assert other.record() == []


def test_new_script_is_used_without_a_restart(daemon: Daemon) -> None:
    """A script that is put into its directory while the daemon runs takes the next event."""
    ip("link add name eth0 index 101 type veth peer name p0")
    (daemon.scripts / "address-added.d").mkdir(mode=0o755)
    daemon.start()
    daemon.wait_event("eth0", "off")

    daemon.script("address-added", RECORD)
    octets = iter(range(1, 250))

    def told() -> list[list[str]] | None:
        ip(f"addr add 10.1.{next(octets)}.1/24 dev eth0")
        return daemon.record() or None

    wait_for(told, "a run of the new script")


def test_json_log_has_the_promised_keys(daemon: Daemon) -> None:
    """A record of an event has timestamp, level, interface, event, ip and message."""
    ip("link add name eth0 index 101 type veth peer name p0", "link set eth0 up", "link set p0 up")
    daemon.start()
    ip("addr add 192.168.1.100/24 dev eth0")

    record = daemon.expect(lambda entry: entry.get("event") == "routable")

    assert list(record)[:5] == ["timestamp", "level", "interface", "event", "ip"]
    assert (record["level"], record["interface"]) == ("info", "eth0")
    assert record["ip"] == "192.168.1.100"
    assert record["timestamp"].endswith("Z")


def test_exit_code_of_a_script_is_logged_in_the_promised_words(daemon: Daemon) -> None:
    """`Script PATH exited with code N`, as a warning when N is not 0."""
    path = daemon.script("address-added", "#!/bin/sh\nexit 7\n")
    ip("link add name eth0 index 101 type veth peer name p0")
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")

    record = daemon.expect(lambda entry: "exited with code" in entry["message"])

    assert record["message"] == f"Script {path} exited with code 7"
    assert (record["level"], record["interface"]) == ("warn", "eth0")


def test_script_that_runs_too_long_is_ended(make_daemon: Callable[..., Daemon]) -> None:
    """script_timeout ends all processes of a run; the next run of the link follows."""
    daemon = make_daemon("system: {log_format: json}\nscript_timeout: 300ms\n")
    daemon.script("address-added", "#!/bin/sh\nsleep 1000 & setsid sleep 1000 & wait\n")
    daemon.script("address-usable", RECORD)
    ip("link add name eth0 index 101 type veth peer name p0")
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")

    daemon.expect(lambda entry: "has run for 0.3 s, its limit" in entry["message"])
    wait_for(lambda: daemon.record() or None, "the next run")
    wait_for(lambda: not children(daemon.role("runner")) or None, "end of all processes")
