"""
What a role that was taken over would try, with nothing but its domain in the way.

Run as root in the supervisor's domain, without seccomp, Landlock and without a user of its own: what
is refused then, the policy alone has refused. Prints a line of JSON: the name of the error of each act,
"" where it was done.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

SIOCSIFFLAGS = 0x8914
PTRACE_SEIZE = 0x4206

PROFILE = os.path.join("/root", ".profile")
"""A file in the home of root, who is the guest's own."""


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library. Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def execute(path: str) -> None:
    """Run a program. Raises: OSError; a refused interpreter shows as one too."""
    os.waitpid(os.posix_spawn(path, [path], {}), 0)


def read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def append(path: str) -> None:
    with open(path, "ab"):
        pass


def open_socket(family: int, kind: int, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)


def write_netlink() -> None:
    """Ask for a policy rule. Source: linux/rtnetlink.h, RTM_NEWRULE; linux/fib_rules.h."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        body = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 0, 0, 1, 0)
        sock.sendto(struct.pack("=IHHII", 28, 32, 0x605, 1, 0) + body, (0, 0))
        code = -struct.unpack_from("=i", sock.recv(4096), 16)[0]
    if code:
        raise OSError(code, os.strerror(code))


def take_link_down() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", 0))


def enter_unconfined() -> None:
    """Leave the domain for that of an ordinary process, in the words of either control."""
    for label in ("changeprofile unconfined", "unconfined_u:unconfined_r:unconfined_t:s0"):
        try:
            with open("/proc/self/attr/current", "wb", buffering=0) as file:
                file.write(label.encode())
        except OSError as error:
            if error.errno == errno.EINVAL:  # words of the other
                continue
            raise
        return


def make_acts(stranger: int) -> dict[str, Callable[[], None]]:
    """Return every act by its name. stranger: pid of a process that is none of netevd's."""
    return {
        "execute a program": lambda: execute("/bin/true"),
        "execute a shell": lambda: execute("/bin/sh"),
        "read a file of /etc": lambda: read("/etc/fstab"),
        "read a file of root's": lambda: read(PROFILE),
        "read shadow": lambda: read("/etc/shadow"),
        "read the configuration": lambda: read("/etc/netevd/netevd.yaml"),
        "read the journal": lambda: read("/var/lib/netevd/probe"),
        "read versions of manifests": lambda: read("/var/lib/netevd-signed/versions.json"),
        "write versions of manifests": lambda: append("/var/lib/netevd-signed/versions.json"),
        "connect to the system bus": lambda: connect("/run/dbus/system_bus_socket"),
        "read code": lambda: read("/opt/netevd/env/pyvenv.cfg"),
        "write below /etc": lambda: write("/etc/netevd-probe"),
        "write below /tmp": lambda: write("/tmp/netevd-probe"),
        "write the configuration": lambda: append("/etc/netevd/netevd.yaml"),
        "write a script": lambda: write("/etc/netevd/carrier.d/99-probe"),
        "write its code": lambda: append(os.__file__),
        "write the journal": lambda: append("/var/lib/netevd/probe"),
        "open netlink": lambda: open_socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "write netlink": write_netlink,
        "open a packet socket": lambda: open_socket(17, socket.SOCK_RAW, 0),
        "open TCP": lambda: open_socket(socket.AF_INET, socket.SOCK_STREAM),
        "open UDP": lambda: open_socket(socket.AF_INET, socket.SOCK_DGRAM),
        "take a link down": take_link_down,
        "trace a process": lambda: call("ptrace", PTRACE_SEIZE, stranger, None, None),
        "read memory of a process": lambda: read(f"/proc/{stranger}/mem"),
        "signal a process": lambda: os.kill(stranger, signal.SIGCONT),
        "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
        "set the host's name": lambda: socket.sethostname("probe"),
        "load a module": lambda: call("syscall", 175, b"", 0, b""),  # init_module, x86-64
        "change the policy": change_policy,
        "leave its domain": enter_unconfined,
        "change users": lambda: os.setresuid(12345, 12345, 12345),
    }


def change_policy() -> None:
    """Write to where a policy is loaded, of whichever control there is."""
    apparmor = Path("/sys/kernel/security/apparmor/.remove")
    path = apparmor if apparmor.exists() else Path("/sys/fs/selinux/enforce")
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b"netevd" if path == apparmor else b"0")
    finally:
        os.close(descriptor)


def attempt(act: Callable[[], None]) -> str:
    """Return the name of the error that an act ended with, "" for none."""
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


def try_everything(stranger: str) -> bytes:
    """Return a line of JSON: the label of this process, and what became of each act."""
    acts = make_acts(int(stranger))
    with open("/proc/self/attr/current", "rb") as file:
        label = file.read().rstrip(b"\0\n").decode()
    found = {name: attempt(act) for name, act in acts.items()}
    return json.dumps({"label": label, "acts": found}).encode() + b"\n"


def seal(script: str) -> str:
    """Return the path of a copy in memory, as a runner makes it of a verified script."""
    copy = os.memfd_create("netevd-script", os.MFD_ALLOW_SEALING)
    with open(script, "rb") as file:
        os.write(copy, file.read())
    os.fchmod(copy, 0o555)
    fcntl.fcntl(
        copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    )
    os.set_inheritable(copy, True)
    return f"/proc/self/fd/{copy}"


def be(role: str, stranger: str, script: str) -> bytes:
    """Enter the domain of a role as its process does, and try everything; a runner has its script do so."""
    from privsep import domain, sandbox

    sandbox.forbid_new_privileges()
    domain.enter("supervisor")
    if role in {"script", "sealed"}:
        domain.enter("runner")
        end, given = os.pipe()
        if role == "sealed":
            script = seal(script)
        actions = [(os.POSIX_SPAWN_DUP2, given, 1)]
        os.posix_spawn(script, [script, "-", stranger], {}, file_actions=actions)
        os.close(given)
        with open(end, "rb") as said:
            return said.read()
    if role != "supervisor":
        domain.enter(role)
    return try_everything(stranger)


def main(role: str, stranger: str, script: str = "") -> None:
    """As a script just try; else fork as the supervisor does, since a role has no more than a socket to it."""
    if role == "-":
        os.write(1, try_everything(stranger))
        return
    ours, its = socket.socketpair()
    if os.fork() == 0:
        its.sendall(be(role, stranger, script))
        os._exit(0)
    its.close()
    while said := ours.recv(65536):
        os.write(1, said)
    os.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
