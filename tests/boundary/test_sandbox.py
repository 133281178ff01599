"""What each role's filter refuses, tried from inside: denials are the promise."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from privsep import sandbox
from tests.boundary.rig import script_identity

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def _syscall(number: int, *arguments: object) -> None:
    if _libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), str(number))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "execve": lambda: os.execv("/bin/true", ["true"]),
    "execveat": lambda: _syscall(322, -100, b"/bin/true", None, None, 0),
    "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "fork": os.fork,
    "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "inet socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "setuid": lambda: os.setresuid(0, 0, 0),
    "kill": lambda: os.kill(os.getppid(), 0),
    "ptrace": lambda: _call("ptrace", 16, os.getppid(), 0, 0),
    "process_vm_readv": lambda: _call("process_vm_readv", os.getppid(), None, 0, None, 0, 0),
    "unshare": lambda: _call("unshare", 0x10000000),
    "mount": lambda: _call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "bpf": lambda: _syscall(321, 0, None, 0),
    "io_uring_setup": lambda: _syscall(425, 1, None),
    "keyctl": lambda: _syscall(250, 0, 0, 0, 0, 0),
    "open for writing": lambda: open("/etc/passwd", "a"),
    "chmod": lambda: os.chmod("/tmp", 0o777),
    "memfd and exec": lambda: _syscall(322, os.memfd_create("x"), b"", None, None, 0x1000),
    "prctl": lambda: _call("prctl", 4, 1, 0, 0, 0),
    "prlimit of another": lambda: _syscall(302, os.getppid(), 7, None, None),
}
FILES: dict[str, Callable[[], object]] = {"open for reading": lambda: open("/etc/hostname").read()}


def _try_inside(role: str, attempts: dict[str, Callable[[], object]]) -> dict[str, str]:
    """Return what came of each attempt in a process that is confined as a role is."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        sandbox.forbid_new_privileges()
        sandbox.deny_dangerous_calls()
        sandbox.become(script_identity(), change_user=os.geteuid() == 0)
        sandbox.forbid_dumps()
        if role != "reader":
            files = (
                []
                if role == "helper"
                else ["/etc"]
                if role == "worker"
                else ["/etc", "/usr", "/lib"]
            )
            sandbox.restrict_files(files, [], connects=role == "courier")
        sandbox.allow_only(role)
        for name, attempt in attempts.items():
            try:
                attempt()
                outcome = "did it"
            except OSError:
                outcome = "refused"
            os.write(writer, f"{name}={outcome}\n".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        outcomes = dict(line.rstrip("\n").split("=") for line in told)
    os.waitpid(pid, 0)
    return outcomes


@pytest.mark.parametrize("role", ["helper", "worker"])
def test_confined_role_can_do_none_of_it(role: str) -> None:
    """Helper and worker can't execute, fork, open sockets, signal, trace, mount or write files."""
    outcomes = _try_inside(role, ATTEMPTS)

    assert outcomes == dict.fromkeys(ATTEMPTS, "refused")


SERVICE = f"/var/tmp/netevd-service-{os.getpid()}"


@pytest.fixture
def service() -> Iterator[None]:
    """Have a service of this machine that listens at a unix socket open to everybody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(SERVICE)
        os.chmod(SERVICE, 0o666)
        yield
    os.unlink(SERVICE)


def _connect_pair(kind: int) -> None:
    """Connect to a service by a socket that was made without `socket`."""
    near, _ = socket.socketpair(socket.AF_UNIX, kind)
    near.connect(SERVICE)


COURIER: dict[str, Callable[[], object]] = {
    "vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
    "unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "pair of datagrams": lambda: _connect_pair(socket.SOCK_DGRAM),
    "pair of streams": lambda: _connect_pair(socket.SOCK_STREAM),
    "pair of packets": lambda: _connect_pair(socket.SOCK_SEQPACKET),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "bind": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", 0)),
    "clone3": lambda: _syscall(435, None, 0),
    "clone as fork": lambda: _syscall(56, 17, None, None, None, None),
    "vfork": lambda: _syscall(58),
    "proc": lambda: open("/proc/1/status").read(),
    "delete": lambda: os.unlink("/tmp/netevd-is-not-there"),
    "pidfd": lambda: _syscall(434, os.getppid(), 0),
}


def test_courier_can_connect_and_nothing_else(service: None) -> None:
    """It has sockets of IPv4 and IPv6 and threads; no program, process, listener or other socket."""
    attempts = {**ATTEMPTS, **COURIER}
    del attempts["inet socket"]
    wanted: dict[str, Callable[[], object]] = {
        "inet socket": ATTEMPTS["inet socket"],
        "inet6 socket": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "thread": lambda: threading.Thread(target=int).start(),
        "names": lambda: socket.getaddrinfo("localhost", 80),
    }

    assert _try_inside("courier", {**attempts, **wanted}) == {
        **dict.fromkeys(attempts, "refused"),
        **dict.fromkeys(wanted, "did it"),
    }


def test_helper_opens_no_file_at_all() -> None:
    """The helper has no way to a file, not even for reading."""
    assert _try_inside("helper", FILES) == dict.fromkeys(FILES, "refused")


def test_worker_reads_only_what_it_was_left() -> None:
    """The worker may read configuration and code; other paths are closed by Landlock."""
    attempts = FILES | {"proc": lambda: open("/proc/1/status").read()}

    outcomes = _try_inside("worker", attempts)

    assert outcomes["open for reading"] == "did it"
    assert outcomes["proc"] == "refused"


def test_reader_executes_and_changes_nothing() -> None:
    """The reader may open sockets to ask for users, but not execute, fork, signal or become root."""
    allowed = {"netlink socket", "packet socket", "inet socket", "open for writing", "prctl"}
    attempts = {name: attempt for name, attempt in ATTEMPTS.items() if name not in allowed}

    assert _try_inside("reader", attempts) == dict.fromkeys(attempts, "refused")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up what root has")
def test_identity_can_not_be_taken_back() -> None:
    """After `become` neither uid, nor groups, nor capabilities come back."""
    script = """
import os, sys
from privsep import sandbox
from privsep.launch import Identity
sandbox.become(Identity("nobody", 65534, 65534, [65534]), change_user=True, keep=1 << 12)
for attempt in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.setgid(0),
                lambda: sandbox._write_capabilities(1 << 21 | 1 << 12, 0)):
    try:
        attempt()
        print("did it")
    except PermissionError:
        print("refused")
print(*map(hex, sandbox.read_capabilities()), os.getgroups())
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert result.stdout.splitlines() == ["refused"] * 4 + ["0x1000 0x1000 [65534]"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
def test_runner_with_a_capability_hands_it_to_scripts_only() -> None:
    """Kept capabilities are ambient where scripts shall have them, and nowhere else."""
    script = """
import os
from privsep import sandbox
from privsep.launch import Identity
sandbox.become(Identity("nobody", 65534, 65534, [65534]), change_user=True, keep=1 << 12, inherit=INHERIT)
os.execv("/bin/grep", ["grep", "CapEff", "/proc/self/status"])
"""
    seen = [
        subprocess.run(
            [sys.executable, "-c", script.replace("INHERIT", word)],
            capture_output=True, text=True, check=True,
        ).stdout.split()[1]
        for word in ("True", "False")
    ]  # fmt: skip

    assert seen == ["0000000000001000", "0000000000000000"]
