"""Observe mode: the same daemon for a caller who can't change users."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, ip

NOBODY = pwd.getpwnam("nobody")


def _as_nobody() -> tuple[str, ...]:
    return (
        "setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
        "--inh-caps=-all", "--",
    )  # fmt: skip


@pytest.fixture
def nobodys(daemon: Daemon) -> Iterator[Daemon]:
    """Return a daemon all of whose files belong to nobody."""
    daemon.script("address-added", RECORD)
    daemon.script("routable", "#!/bin/sh\nid -u >> DIRECTORY/uid\n")
    subprocess.run(
        ["chown", "-R", f"{NOBODY.pw_uid}:{NOBODY.pw_gid}", str(daemon.root)], check=True
    )
    yield daemon


def test_caller_without_root_gets_events_and_scripts(nobodys: Daemon) -> None:
    """Everything runs as the caller, who is told so; scripts of his own are accepted."""
    ip("link add name eth0 index 101 type veth peer name p0", "link set eth0 up", "link set p0 up")
    nobodys.start(prefix=_as_nobody())
    ip("addr add 10.1.1.1/24 dev eth0")

    uid = nobodys.scripts / "data" / "uid"
    wait_for(lambda: (uid.exists() and uid.read_text().endswith("\n")) or None, "script")

    assert set(uid.read_text().split()) == {str(NOBODY.pw_uid)}
    nobodys.expect(lambda entry: "observe mode: everything runs as nobody" in entry["message"])
    for role in ("helper", "runner", "worker"):
        status = Path(f"/proc/{nobodys.role(role)}/status").read_text()
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert lines["Uid"].split() == [str(NOBODY.pw_uid)] * 4
        assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")
        assert int(lines["CapEff"], 16) == 0
    assert nobodys.stop() == 0


def test_script_of_another_user_is_skipped_with_the_reason(nobodys: Daemon) -> None:
    """A script that belongs to neither root nor the caller is skipped, and said to be."""
    path = nobodys.scripts / "routable.d" / "10-test"
    os.chown(path, 12345, 12345)

    nobodys.start(prefix=_as_nobody())

    nobodys.expect(
        lambda entry: "belongs to uid 12345" in str(entry) and "routable.d/10-test" in str(entry)
    )


def test_user_namespace_is_observe_mode_by_the_same_path(nobodys: Daemon) -> None:
    """Root of a user namespace without mapped users watches the links of its own namespace."""
    command = (
        "ip link set lo up; ip link add name eth0 index 101 type veth peer name p0;"
        f"{sys.executable} -I -m privsep run --config {nobodys.config}"
        f" --runtime-dir {nobodys.root}/run & P=$!; "
        f"n=0; until [ -s {nobodys.scripts}/data/record ] || [ $n -gt 200 ]; do"
        " n=$((n+1)); ip addr add 10.1.$n.1/24 dev eth0; sleep 0.05; done;"
        " cat /proc/$P/status | grep -E '^(NoNewPrivs|Seccomp):'; kill $P; wait $P; echo status $?"
    )
    result = subprocess.run(
        [*_as_nobody(), "unshare", "--user", "--map-root-user", "--net", "sh", "-c", command],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "unshare failed" in result.stderr:
        pytest.skip("this system gives no user namespace to ordinary users")

    assert result.stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2", "status", "0"], (
        result.stderr
    )
    assert "observe mode" in result.stderr
    assert nobodys.record(), result.stderr


def test_own_runtime_directory_is_made_and_foreign_refused(nobodys: Daemon, tmp_path: Path) -> None:
    """Without XDG_RUNTIME_DIR it is /tmp/netevd-UID, own and 0700; somebody else's is refused."""
    command = [*_as_nobody(), sys.executable, "-I", "-m", "privsep", "run", "--config",
               str(nobodys.config), "--runtime-dir"]  # fmt: skip
    foreign = Path(f"{nobodys.root}/foreign")
    foreign.mkdir(mode=0o777)
    foreign.chmod(0o777)

    refused = subprocess.run(
        [*command, str(foreign)], capture_output=True, text=True, check=False, timeout=30
    )

    assert refused.returncode == 1
    assert f"must belong to uid {NOBODY.pw_uid}" in refused.stderr


def test_a_new_user_has_a_journal(nobodys: Daemon) -> None:
    """Where the home has no ~/.local/state yet it is made, so that a restart goes on with numbers."""
    home = nobodys.root / "home"
    home.mkdir()
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    command = [*_as_nobody(), sys.executable, "-I", "-m", "privsep", "run", "--config"]
    command += [str(nobodys.config), "--runtime-dir", str(nobodys.root / "run")]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("XDG_")}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment | {"HOME": str(home)},
    ) as daemon:  # fmt: skip
        assert daemon.stderr is not None
        state = home / ".local" / "state" / "netevd"
        try:
            wait_for(lambda: (state.is_dir() and any(state.iterdir())) or None, "the journal")
        finally:
            daemon.terminate()
            said = daemon.stderr.read()
    assert "each start is a first start" not in said
    assert state.stat().st_mode & 0o777 == 0o700


def test_root_can_ask_for_observe_mode(daemon: Daemon) -> None:
    """--observe keeps root's uid for all roles, and still takes every capability away."""
    daemon.start("--observe")

    for role in ("helper", "runner", "worker"):
        status = Path(f"/proc/{daemon.role(role)}/status").read_text()
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(lines["CapEff"], 16) == int(lines["CapPrm"], 16) == 0
    assert daemon.stop() == 0


def test_root_without_needed_capabilities_is_refused(daemon: Daemon) -> None:
    """Real root that may not change users ends with the names of what is missing."""
    result = subprocess.run(
        ["setpriv", "--bounding-set=-setuid,-setpcap", "--", sys.executable, "-I", "-m", "privsep",
         "run", "--runtime-dir", str(daemon.root / "run")],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert result.returncode == 1
    assert "CAP_SETUID, CAP_SETPCAP" in result.stderr
    assert "--observe" in result.stderr
