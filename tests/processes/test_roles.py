"""The table of docs/architecture.md, read from /proc of a running daemon."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tests.processes.rig import Daemon, ip

CAP_NET_ADMIN = 1 << 12


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _sockets(pid: int) -> set[str]:
    found = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def _netlink_inodes() -> set[str]:
    lines = Path("/proc/net/netlink").read_text(encoding="ascii").splitlines()[1:]
    return {line.split()[-1] for line in lines}


@pytest.mark.parametrize(
    ("role", "user", "capabilities"),
    [
        ("helper", "netevd-net", CAP_NET_ADMIN),
        ("runner", "netevd-script", 0),
        ("worker", "netevd", 0),
    ],
)
def test_role_has_exactly_its_identity(
    daemon: Daemon, role: str, user: str, capabilities: int
) -> None:
    """Each role has its uid, gid, groups, capabilities, no_new_privs and seccomp, and no more."""
    daemon.start()

    status = _status(daemon.role(role))

    entry = pwd.getpwnam(user)
    groups = {"netevd": [pwd.getpwnam("netevd").pw_gid]}.get(user, [entry.pw_gid])
    assert status["Uid"].split() == [str(entry.pw_uid)] * 4
    assert status["Gid"].split() == [str(entry.pw_gid)] * 4
    assert [int(word) for word in status["Groups"].split()] == groups
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == capabilities
    assert int(status["CapBnd"], 16) == capabilities
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    # root's view: a process that is not dumpable belongs to root in /proc
    assert os.stat(f"/proc/{daemon.role(role)}/fd").st_uid == 0


def test_supervisor_keeps_its_capabilities_under_a_filter(daemon: Daemon) -> None:
    """The supervisor is root with what it was started with, no_new_privs and the deny-list."""
    daemon.start()

    status, ours = _status(daemon.pid), _status(os.getpid())

    assert status["Uid"].split() == ["0"] * 4
    assert status["CapEff"] == ours["CapEff"]
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_only_helper_and_supervisor_hold_netlink_sockets(daemon: Daemon) -> None:
    """Worker and runner hold no netlink socket; what they can't have they can't use."""
    daemon.start()

    netlink = _netlink_inodes()

    assert _sockets(daemon.role("helper")) & netlink
    assert not _sockets(daemon.role("worker")) & netlink
    assert not _sockets(daemon.role("runner")) & netlink


def test_supervisor_keeps_no_end_between_others(daemon: Daemon) -> None:
    """Of feed, rpc and scripts the supervisor holds no end, so that end of file means death."""
    daemon.start()
    ip("link add index 101 name a0 type veth peer name b0")
    daemon.wait_event("a0", "link-added")

    # wake pair, one lead each for helper and runner, control, two event sockets, the listeners (unix and TCP)
    assert len(_sockets(daemon.pid)) == 2 + 2 + 1 + 2 + 2


def test_no_role_can_be_read_or_signalled_by_the_worker(daemon: Daemon) -> None:
    """The worker's user can neither read the memory of nor signal any other role."""
    daemon.start()
    worker = pwd.getpwnam("netevd")
    pids = [daemon.pid, daemon.role("helper"), daemon.role("runner")]

    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setresgid(worker.pw_gid, worker.pw_gid, worker.pw_gid)
        os.setresuid(worker.pw_uid, worker.pw_uid, worker.pw_uid)
        told = []
        for pid in pids:
            for action in (
                lambda pid=pid: os.kill(pid, 0),
                lambda pid=pid: open(f"/proc/{pid}/mem", "rb"),
                lambda pid=pid: open(f"/proc/{pid}/environ", "rb").read(),
                lambda pid=pid: os.listdir(f"/proc/{pid}/fd"),
            ):
                try:
                    action()
                    told.append("did it")
                except PermissionError:
                    told.append("refused")
        os.write(writer, " ".join(told).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 4096).decode().split(" ") == ["refused"] * 12
    os.close(reader)
    os.close(writer)
