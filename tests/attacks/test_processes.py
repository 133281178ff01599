"""Cases 33 to 46 and 75: descriptors, other processes, and system calls that a worker has not."""

from __future__ import annotations

import os
import platform
import pwd
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from privsep.protocol import Reload, Running, WantBus, pack
from privsep.supervisor import DIAL_PAUSE
from tests.attacks.rig import Gone, Hostile, Refused
from tests.boundary.rig import wait_for

EPERM, EACCES = 1, 13
_X86 = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kill": 62, "tkill": 200, "tgkill": 234,
    "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "sched_setscheduler": 144, "sched_setaffinity": 203,
    "sched_setattr": 314, "setpriority": 141, "ioprio_set": 251, "clone": 56, "fork": 57, "vfork": 58,
    "unshare": 272, "setns": 308, "mount": 165, "chroot": 161, "pivot_root": 155, "bpf": 321, "keyctl": 250,
    "add_key": 248, "perf_event_open": 298, "userfaultfd": 323, "setuid": 105, "setresuid": 117, "setresgid": 119,
    "setgroups": 116, "capset": 126, "prctl": 157, "execve": 59, "execveat": 322, "kcmp": 312, "connect": 42,
    "bind": 49, "listen": 50, "socket": 41, "personality": 135, "migrate_pages": 256, "mknod": 133,
}  # fmt: skip
_ARM = {
    "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kill": 129, "tkill": 130, "tgkill": 131,
    "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "sched_setscheduler": 119, "sched_setaffinity": 122,
    "sched_setattr": 274, "setpriority": 140, "ioprio_set": 30, "clone": 220, "unshare": 97, "setns": 268,
    "mount": 40, "chroot": 51, "pivot_root": 41, "bpf": 280, "keyctl": 219, "add_key": 217,
    "perf_event_open": 241, "userfaultfd": 282, "setuid": 146, "setresuid": 147, "setresgid": 149, "setgroups": 159,
    "capset": 91, "prctl": 167, "execve": 221, "execveat": 281, "kcmp": 272, "connect": 203, "bind": 200,
    "listen": 201, "socket": 198, "personality": 92, "migrate_pages": 238, "mknod": 33,
}  # fmt: skip
_BOTH = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "fsopen": 430, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440,
    "mount_setattr": 442, "landlock_restrict_self": 446,
}  # fmt: skip
NUMBERS = {**(_X86 if platform.machine() == "x86_64" else _ARM), **_BOTH}
"""Source: asm/unistd_64.h, asm-generic/unistd.h."""


@pytest.fixture
def sibling() -> Iterator[int]:
    """Return a process of the worker's own user and group that is not of the daemon."""
    entry = pwd.getpwnam("netevd")
    process = subprocess.Popen(
        ["sleep", "1000"], user=entry.pw_uid, group=entry.pw_gid, extra_groups=[entry.pw_gid]
    )
    yield process.pid
    process.kill()
    process.wait()


def expect_refused(hostile: Hostile, codes: set[int], deed: str, *arguments: object) -> None:
    """See that the kernel refuses a deed, with one of these codes."""
    with pytest.raises(Refused) as refusal:
        hostile.do(deed, *arguments)
    assert refusal.value.errno in codes, (deed, arguments, refusal.value)


@pytest.mark.parametrize("channel", ["rpc", "scripts", "control"])
@pytest.mark.parametrize("count", [1, 253])
def test_descriptors_end_the_worker(hostile: Hostile, channel: str, count: int) -> None:
    """With whatever message one comes, or as many as fit (33): none is taken, none is kept."""
    message = {
        "rpc": msgspec.msgpack.encode([22, 1]),
        "scripts": pack(Running()),
        "control": pack(Reload()),
    }
    numbers = [f"/proc/{pid}/fd" for pid in hostile.privileged().values()]
    with hostile.attack("do not fit"):
        hostile.send(channel, message[channel], count)
    before = [len(os.listdir(path)) for path in numbers]
    with hostile.attack("do not fit"):
        hostile.send(channel, message[channel], count)
    assert [len(os.listdir(path)) for path in numbers] == before


def test_descriptors_under_way_are_the_workers_own(hostile: Hostile) -> None:
    """A flood of descriptors (34) costs its sender; the helper goes on taking and giving its own."""
    with hostile.attack("do not fit"), pytest.raises((Gone, Refused)):
        hostile.do("flood", "control", [pack(Reload()).hex()], 1000, 253)
    with hostile.attack():
        expect_refused(hostile, {24, 109, 11, 105}, "flood", "feed", ["91"], 1 << 20, 253)


def test_credentials_are_not_forged(hostile: Hostile) -> None:
    """The kernel refuses those of somebody else (35), and nobody asks for them: a socket is who it is."""
    with hostile.attack():
        expect_refused(hostile, {EPERM}, "pose", "control", pack(Reload()).hex(), 1, 0)


def test_other_processes_are_out_of_reach(hostile: Hostile, sibling: int) -> None:
    """Tracing, memory, descriptors (36), signals (38), limits and scheduling (39): of privileged roles and of one's own user."""
    with hostile.attack():
        for pid in [*hostile.privileged().values(), sibling, 1]:
            for name, *arguments in (
                ("ptrace", 16, pid, 0, 0), ("ptrace", 0x4206, pid, 0, 0), ("process_vm_readv", pid, 0, 0, 0, 0, 0),
                ("process_vm_writev", pid, 0, 0, 0, 0, 0), ("pidfd_open", pid, 0), ("pidfd_getfd", 0, 0, 0),
                ("kcmp", pid, pid, 0, 0, 0), ("kill", pid, 0), ("kill", pid, signal.SIGSTOP), ("tkill", pid, 9),
                ("tgkill", pid, pid, 9), ("rt_sigqueueinfo", pid, 9, 0), ("rt_tgsigqueueinfo", pid, pid, 9, 0),
                ("pidfd_send_signal", 0, 9, 0, 0), ("sched_setscheduler", pid, 0, 0), ("sched_setaffinity", pid, 0, 0),
                ("sched_setattr", pid, 0, 0), ("setpriority", 0, pid, 19), ("ioprio_set", 1, pid, 0),
                ("migrate_pages", pid, 0, 0, 0), ("process_madvise", 0, 0, 0, 0, 0),
            ):  # fmt: skip
                expect_refused(hostile, {EPERM}, "call", NUMBERS[name], *arguments)
            expect_refused(hostile, {EPERM}, "kill", pid, signal.SIGKILL)
            expect_refused(hostile, {EPERM}, "limits", pid)
    assert os.path.exists(f"/proc/{sibling}")


def test_proc_is_closed(hostile: Hostile) -> None:
    """What /proc tells of others (37), and of the worker itself, is not to be read or written."""
    with hostile.attack():
        for pid in (*hostile.privileged().values(), hostile.worker, "self"):
            for name in ("mem", "environ", "maps", "cmdline", "status", "root/etc/shadow", "fd/0"):
                expect_refused(hostile, {EACCES, EPERM}, "read", f"/proc/{pid}/{name}")
            expect_refused(hostile, {EACCES, EPERM}, "look", f"/proc/{pid}/fd")
            expect_refused(hostile, {EACCES, EPERM}, "append", f"/proc/{pid}/oom_score_adj")


def test_no_process_and_no_program(hostile: Hostile) -> None:
    """No fork in any form (41, 42), no program by any name (45)."""
    with hostile.attack():
        for how in ("execve", "spawn", "fork", "memory"):
            expect_refused(hostile, {EPERM, EACCES}, "run", how)
        for name in {"fork", "vfork"} & NUMBERS.keys():
            expect_refused(hostile, {EPERM}, "call", NUMBERS[name])
        expect_refused(hostile, {EPERM}, "call", NUMBERS["clone"], 17, 0, 0, 0, 0)
        expect_refused(hostile, {EPERM, 38}, "call", NUMBERS["clone3"], 0, 0)
        expect_refused(hostile, {EPERM}, "call", NUMBERS["execveat"], -100, "/bin/true", 0, 0, 0)


def test_no_way_up(hostile: Hostile) -> None:
    """No namespace, mount, priority (43) or other user (75), and no_new_privs and the filter stay."""
    with hostile.attack():
        for name, *arguments in (
            ("unshare", 0x10000000), ("unshare", 0x40000000), ("setns", 0, 0), ("setpriority", 0, 0, -20),
            ("mount", "none", "/mnt", "tmpfs", 0, 0), ("chroot", "/"), ("pivot_root", "/", "/"), ("open_tree", -100, "/", 1),
            ("fsopen", "tmpfs", 0), ("mount_setattr", -100, "/", 0, 0, 0), ("setuid", 0), ("setresuid", 0, 0, 0),
            ("setresgid", 0, 0, 0), ("setgroups", 0, 0), ("capset", 0, 0), ("prctl", 38, 0, 0, 0, 0), ("prctl", 4, 1, 0, 0, 0),
            ("prctl", 22, 0, 0, 0, 0), ("personality", 0x40000), ("mknod", "/tmp/x", 0o20666, 0x101),
        ):  # fmt: skip
            expect_refused(hostile, {EPERM}, "call", NUMBERS[name], *arguments)
    lines = Path(f"/proc/{hostile.worker}/status").read_text().splitlines()
    status = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert {
        status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")
    } == {"0" * 16}
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")


def test_no_socket_of_any_family(hostile: Hostile) -> None:
    """Netlink, packets (44) and all others: a worker makes none, and connects none that it could make."""
    with hostile.attack():
        for family in (
            1,
            2,
            10,
            16,
            17,
            29,
            31,
            38,
            40,
            44,
        ):  # unix inet inet6 netlink packet can bluetooth alg vsock xdp
            expect_refused(hostile, {EPERM}, "open_socket", family, 2)
        for name in ("socket", "connect", "bind", "listen"):
            expect_refused(hostile, {EPERM}, "call", NUMBERS[name], 16, 3, 0)


def test_no_door_into_the_kernel(hostile: Hostile) -> None:
    """io_uring, bpf, keys (46) and their like are refused before they do anything."""
    with hostile.attack():
        for name in ("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "keyctl", "add_key",
                     "perf_event_open", "userfaultfd"):  # fmt: skip
            expect_refused(hostile, {EPERM}, "call", NUMBERS[name], 0, 0, 0, 0, 0)


def test_files_of_others_are_out_of_reach(hostile: Hostile) -> None:
    """It reads what user netevd may of /etc and code, and writes below its own directory alone."""
    with hostile.attack():
        for path in (
            "/etc/shadow",
            "/root",
            "/var/log/x",
            "/run/netevd",
            str(hostile.audit_path),
            "/dev/mem",
            "/dev/tty",
        ):
            expect_refused(hostile, {EACCES, EPERM, 2, 21}, "read", path)
        for path in (
            "/etc/passwd",
            "/usr/bin/env",
            str(hostile.daemon.config),
            str(hostile.audit_path),
            "/dev/null",
        ):
            expect_refused(hostile, {EACCES, EPERM}, "append", path)


@pytest.mark.parametrize("family", ["unix", "tcp"])
@pytest.mark.parametrize("how", ["shutdown", "filter", "device", "distance"])
def test_listeners_outlive_whoever_was_taken_over(hostile: Hostile, how: str, family: str) -> None:
    """What the next worker gets too can't be made useless by this one: neither by options nor by its end."""
    with hostile.attack():
        expect_refused(hostile, {EPERM}, "wreck", how, family)


def test_no_connection_without_connect(hostile: Hostile) -> None:
    """Neither TCP Fast Open from a socket that listened, nor a datagram to a socket by its path."""
    with socket.socket() as outside, tempfile.TemporaryDirectory() as place:
        outside.bind(("127.0.0.1", 0))
        outside.listen()
        outside.settimeout(0.5)
        os.chmod(place, 0o755)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inside:
            inside.bind(f"{place}/notify")
            os.chmod(f"{place}/notify", 0o777)
            inside.settimeout(0.5)
            with hostile.attack():
                expect_refused(hostile, {EPERM, 32, 106}, "reach_out", outside.getsockname()[1])
                expect_refused(hostile, {EPERM}, "post", f"{place}/notify")
            for sock, take in ((outside, outside.accept), (inside, lambda: inside.recv(9))):
                with pytest.raises(TimeoutError):
                    take()
                del sock


def test_connections_to_the_bus_are_few_at_once(hostile: Hostile) -> None:
    """Each has a process of its own that made it: a worker that keeps asking, and keeps what it got, gets few."""
    with hostile.attack():
        before = count_children(hostile.daemon.pid)

        def ask() -> bool:
            hostile.do("send", "control", pack(WantBus()).hex())
            hostile.do("follow", 0.2)
            select.select(
                [], [], [], 0.02
            )  # who asks without end is ended, which is another test's
            return count_children(hostile.daemon.pid) - before >= 3

        wait_for(ask, "three connections")
        until = time.monotonic() + 3 * DIAL_PAUSE  # in which two more would be made
        while time.monotonic() < until:
            ask()
        assert count_children(hostile.daemon.pid) - before == 3


def count_children(pid: int) -> int:
    """Return how many children a process has."""
    return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
