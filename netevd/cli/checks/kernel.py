"""What the kernel grants: seccomp, Landlock, memory files, socket buffers. Asked for, never set."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterator
from typing import Final

from netevd.cli.checks.case import Case, Finding, as_root
from netevd.config.load import Loaded
from netevd.config.reversepath import find_strict, write_setting

EVENT_BUFFER: Final = 8 * 1024 * 1024
"""Bytes of each event socket's buffer. Source: privsep/rtnetlink.py; a test holds the two equal."""
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE = 444
"""landlock_create_ruleset(2), the same number on every architecture."""
_LANDLOCK_VERSION = 1
_MFD_EXEC: Final = 0x10
"""Source: linux/memfd.h; since Linux 6.3."""
_SO_RCVBUFFORCE: Final = 33
"""Source: asm-generic/socket.h; Python does not name it."""

_libc = ctypes.CDLL(None, use_errno=True)


def check_reverse_path(case: Case) -> Iterator[Finding]:
    """Look whether the kernel drops what policy routing has let in by another link than main's."""
    if not isinstance(case.loaded, Loaded):
        return
    for name in find_strict(case.loaded.configuration):
        setting = write_setting(name)
        yield Finding(
            "warning", "reverse-path", setting,
            "is 1 (strict): what comes in by this link and would not be answered by it may be dropped before"
            " netevd's rules are asked; 2 (loose) never does that",
            as_root(f"sysctl -w {setting}=2"),
        )  # fmt: skip


def check_sandbox(_: Case) -> Iterator[Finding]:
    """Ask the kernel for seccomp and Landlock, without confining this process."""
    # no program to load: EFAULT says that one would be taken. Source: seccomp(2)
    _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), None, 0, 0)
    code = ctypes.get_errno()
    if code == errno.EFAULT:
        yield Finding("ok", "sandbox", "seccomp", "filters can be loaded")
    else:
        yield Finding(
            "problem", "sandbox", "seccomp",
            f"filters can't be loaded ({os.strerror(code)}), and netevd does not run without; boot a"
            " kernel with CONFIG_SECCOMP_FILTER=y, or allow seccomp(2) in the container's profile",
        )  # fmt: skip
    version = int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION))
    yield judge_landlock(version, ctypes.get_errno())


def judge_landlock(version: int, code: int) -> Finding:
    """Return what the kernel's answer means: ABI, or less than 1 and an error number."""
    if version > 0:
        lacks = ["TCP"] * (version < 4) + ["signals and abstract sockets"] * (version < 6)
        rest = (
            f", which closes files; {' and '.join(lacks)} are the filter's alone" if lacks else ""
        )
        return Finding("ok", "sandbox", "Landlock", f"ABI {version}{rest}")
    meaning = "netevd runs, but only its user and seccomp confine a worker that was taken over"
    why, advice, command = _LANDLOCK_FAULTS.get(code, (
        f"is refused ({os.strerror(code)})",
        "allow landlock_create_ruleset(2) in the container's profile", "",
    ))  # fmt: skip
    return Finding("warning", "sandbox", "Landlock", f"{why}: {meaning}; {advice}", command)


_LANDLOCK_FAULTS: Final = {
    errno.EOPNOTSUPP: (
        "was not switched on at boot",
        "write landlock and what is on now into lsm= of the kernel's command line, and boot; this is on",
        "cat /sys/kernel/security/lsm",
    ),
    errno.ENOSYS: (
        "is not in this kernel",
        "boot Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK=y; this one is booted",
        "uname -r",
    ),
}
"""By error number: what is wrong, what to do, a command. Source: landlock_create_ruleset(2)."""


def check_memory(case: Case) -> Iterator[Finding]:
    """Make memory files as the daemon does, and let them go; one to execute where scripts are signed."""
    signed = isinstance(case.loaded, Loaded) and case.loaded.configuration.security.verify_scripts
    try:
        _make_memory(0)
    except OSError as error:
        yield Finding(
            "problem", "memory", "memfd_create(2)",
            f"is refused ({error.strerror}), and netevd does not run without; vm.memfd_noexec must be"
            " 0 or 1", as_root("sysctl -w vm.memfd_noexec=1"),
        )  # fmt: skip
        return
    try:
        _make_memory(_MFD_EXEC if signed else 0)
    except OSError as error:
        if error.errno == errno.EINVAL:  # before Linux 6.3, where it can always be executed
            yield Finding("ok", "memory", "memfd_create(2)", "is granted")
            return
        yield Finding(
            "problem", "memory", "memfd_create(2)",
            f"is refused for what is to be executed ({error.strerror}), so no script runs that has to be"
            " signed; vm.memfd_noexec must be 0 or 1", as_root("sysctl -w vm.memfd_noexec=1"),
        )  # fmt: skip
        return
    yield Finding("ok", "memory", "memfd_create(2)", "is granted")


def _make_memory(more: int) -> None:
    os.close(os.memfd_create("netevd-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | more))


def check_buffers(case: Case) -> Iterator[Finding]:
    """Ask for a netlink buffer as the helper does, and look what was granted."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, EVENT_BUFFER)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, EVENT_BUFFER)
        # the kernel doubles what it grants, for its own bookkeeping: socket(7)
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if granted >= EVENT_BUFFER:
        yield Finding("ok", "buffers", "netlink buffer", f"{granted // 1024} KiB, as asked for")
        return
    yield Finding(
        "warning" if case.privileged else "note", "buffers", "netlink buffer",
        f"{granted // 1024} KiB of {EVENT_BUFFER // 1024} KiB: net.core.rmem_max limits it without"
        " CAP_NET_ADMIN, so a storm of changes overruns it sooner, which costs a dump",
        as_root(f"sysctl -w net.core.rmem_max={EVENT_BUFFER}"),
    )  # fmt: skip
