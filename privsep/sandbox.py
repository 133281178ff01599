"""
Identity, capabilities, no_new_privs, limits, seccomp and Landlock: each set once, never widened.

The policies are data: which system calls a role may make stands in the tables below. Default is
EPERM and not a kill, because a C library that starts to use another call must degrade one function
and not the whole daemon. Sources: capabilities(7), prctl(2), seccomp(2), landlock(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import struct
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

import pyseccomp

from privsep.launch import Identity

_NAMES: Final = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
""".split()
CAPABILITIES: Final = {f"CAP_{name}": number for number, name in enumerate(_NAMES)}
"""Number of each capability by name. Source: linux/capability.h."""
NEEDED: Final = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL", "CAP_CHOWN",
                 "CAP_SYS_PTRACE")  # fmt: skip
"""What privileged mode cannot do without."""

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NAME, _PR_SET_SECCOMP = 4, 8, 15, 22
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 23, 24, 36, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
"""Source: linux/prctl.h."""
_CAPABILITY_VERSION_3 = 0x20080522
_CLONE_THREAD: Final = 0x10000
"""Source: linux/sched.h."""


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _prctl(what: str, *arguments: int) -> int:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)][:5]
    return _check(_libc.prctl(ctypes.c_int(padded[0].value), *padded[1:]), what)


def name_process(name: str) -> None:
    """Show this name (15 bytes at most) in ps and /proc/PID/comm."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0), "PR_SET_NAME")


def become_subreaper() -> None:
    """Have orphaned descendants re-parented to this process."""
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, 1)


def forbid_dumps() -> None:
    """Make this process unreadable to others of its own user: no core, no ptrace, closed /proc."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)


def forbid_new_privileges() -> None:
    """Set no_new_privs: no setuid program gains anything from here on."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


# --- identity and capabilities -------------------------------------------------------------------


def read_capabilities() -> tuple[int, int]:
    """Return the effective and the permitted set of this process as bit masks."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, sets), "capget")
    low_e, low_p, _, high_e, high_p, _ = struct.unpack("=6I", sets.raw)
    return low_e | high_e << 32, low_p | high_p << 32


def _write_capabilities(kept: int, inherited: int) -> None:
    words = [each >> low & 0xFFFFFFFF for low in (0, 32) for each in (kept, kept, inherited)]
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, struct.pack("=6I", *words)), "capset")


def limit_resources(limits: list[tuple[str, int]]) -> None:
    """Set soft and hard limits, by name and unit as in setrlimit(2). Raises: OSError, ValueError."""
    for name, value in limits:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))


def _limit_bounding_set(kept: int) -> None:
    for number in range(64):
        try:
            present = _prctl("PR_CAPBSET_READ", _PR_CAPBSET_READ, number)
        except OSError as error:
            if error.errno == errno.EINVAL:  # one past the last capability of this kernel
                return
            raise
        if present and not kept >> number & 1:
            _prctl("PR_CAPBSET_DROP", _PR_CAPBSET_DROP, number)


def become(identity: Identity, *, change_user: bool, keep: int = 0, inherit: bool = False) -> None:
    """
    Take an identity for good: groups, uid, capabilities, bounding set, no_new_privs.

    change_user: False in observe mode, where the identity is the caller's already.
    keep: capabilities to keep, a bit mask, reduced to what this process has.
    inherit: whether programs it executes get the kept capabilities too (ambient).

    Raises: OSError when any step fails; the process must not go on then.
    """
    effective, permitted = read_capabilities()
    keep &= permitted
    if effective >> CAPABILITIES["CAP_SETPCAP"] & 1:
        _limit_bounding_set(keep)
    if change_user:
        _prctl("PR_SET_KEEPCAPS", _PR_SET_KEEPCAPS, 1)
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    _prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _write_capabilities(keep, keep if inherit else 0)
    if inherit:
        for number in range(64):
            if keep >> number & 1:
                _prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)
    forbid_new_privileges()
    if os.getresuid() != (identity.uid,) * 3 or os.getresgid() != (identity.gid,) * 3:
        raise OSError(errno.EPERM, f"could not become {identity.user}")


# --- seccomp ---------------------------------------------------------------------------------------

DENIED_TO_ALL: Final = """
    kexec_load kexec_file_load init_module finit_module delete_module bpf ptrace process_vm_readv
    process_vm_writev open_by_handle_at userfaultfd perf_event_open add_key request_key keyctl
    io_uring_setup io_uring_enter io_uring_register reboot swapon swapoff acct quotactl
    lookup_dcookie nfsservctl iopl ioperm modify_ldt vhangup kcmp fanotify_init
""".split()
"""Nobody from the supervisor down needs these, scripts included."""

_MEMORY_AND_SIGNALS: Final = """
    brk mmap munmap mremap mprotect madvise futex rt_sigaction rt_sigprocmask rt_sigreturn
    sigaltstack restart_syscall exit exit_group getpid gettid getrandom rseq clock_gettime
    clock_getres clock_nanosleep nanosleep sched_yield gettimeofday time
""".split()

_HELPER: Final = [*_MEMORY_AND_SIGNALS, *"""
    read write close poll ppoll recvmsg sendmsg sendto recvfrom getsockopt getsockname
    epoll_wait epoll_pwait epoll_ctl
""".split()]  # fmt: skip

_FILES: Final = """
    open openat newfstatat fstat stat lstat statx lseek read pread64 close getdents64 getcwd
    readlink readlinkat access faccessat faccessat2 fcntl dup ioctl fadvise64 statfs fstatfs
""".split()

_READER: Final = [*_MEMORY_AND_SIGNALS, *_FILES, *"""
    write pwrite64 ftruncate sendmsg sendto recvmsg recvfrom connect socket setsockopt getsockopt
    getsockname getpeername poll ppoll uname sysinfo getuid geteuid getgid getegid getresuid
    getresgid getgroups prlimit64 getrlimit umask prctl
""".split()]  # fmt: skip

_WORKER: Final = [*_MEMORY_AND_SIGNALS, *_FILES, *"""
    write writev pwrite64 pwritev ftruncate fallocate fsync fdatasync readv preadv rename renameat
    renameat2 unlink unlinkat mkdir mkdirat poll ppoll epoll_create1 epoll_ctl epoll_wait
    epoll_pwait eventfd2 pipe2 recvmsg sendmsg sendto recvfrom accept4 getsockopt getsockname
    getpeername uname sysinfo getuid geteuid getgid getegid getresuid getresgid getgroups prlimit64
    getrlimit getrusage memfd_create sched_getaffinity inotify_init1 inotify_add_watch inotify_rm_watch
""".split()]  # fmt: skip
"""No execve, fork, clone, socket, connect, kill, ptrace, setuid, mount, prctl; see also `_NARROW`."""

_COURIER: Final = [*_MEMORY_AND_SIGNALS, *_FILES, *"""
    write writev poll ppoll epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 connect
    recvmsg sendmsg sendmmsg sendto recvfrom shutdown getsockopt setsockopt getsockname getpeername
    uname sysinfo getuid geteuid getgid getegid getresuid getresgid set_robust_list getrlimit
    sched_getaffinity prlimit64
""".split()]  # fmt: skip
"""No execve, fork, kill; `clone` and `socket` only as `_NARROW` says."""

_WHOLE: Final = 0xFFFFFFFF
_OPTIONS: Final = ((socket.IPPROTO_TCP, 1), (socket.IPPROTO_TCP, 25), (socket.SOL_SOCKET, 7), (socket.SOL_SOCKET, 8))  # fmt: skip
"""TCP_NODELAY, TCP_NOTSENT_LOWAT, SO_SNDBUF and SO_RCVBUF, which Trio sets. Source: linux/tcp.h, asm-generic/socket.h."""
_STREAM: Final = ("socketpair", (1, 0xF, socket.SOCK_STREAM))
"""A datagram socket could send to any other by its path, and be connected anew."""
_NARROW: Final[dict[str, list[tuple[str, *tuple[tuple[int, int, int], ...]]]]] = {
    "helper": [("setsockopt", (1, _WHOLE, 270), (2, _WHOLE, 1))],
    "worker": [
        _STREAM, ("shutdown", (1, _WHOLE, socket.SHUT_WR)),
        *(("setsockopt", (1, _WHOLE, level), (2, _WHOLE, each)) for level, each in _OPTIONS),
    ],
    "courier": [
        _STREAM, ("prctl", (0, _WHOLE, _PR_SET_NAME)), ("clone", (0, _CLONE_THREAD, _CLONE_THREAD)),
        *(("socket", (0, _WHOLE, each)) for each in (socket.AF_INET, socket.AF_INET6)),
    ],
}  # fmt: skip
"""What a role may call with some values of an argument alone: call, then number, mask and value of each.

A listener is the next worker's too: who could shut down reading there, or set options that say what comes in,
could make it useless for good, and connect it elsewhere by TCP Fast Open. The helper joins groups of netlink
messages, those of nl80211 as soon as that is there: SOL_NETLINK and NETLINK_ADD_MEMBERSHIP. Source: linux/netlink.h."""


class Policy(NamedTuple):
    """What a role may do at most, whatever its user may."""

    calls: list[str]
    """System calls, by the names of libseccomp; others fail with EPERM. No role may execute."""
    readable: list[str] | None
    """Paths below which it may read, words like CODE among them; None: Landlock closes nothing."""
    writable: list[str]
    """Paths below which it may write."""
    limits: dict[str, int]
    """Resource limits, soft and hard, by name and unit as in setrlimit(2)."""
    capabilities: tuple[str, ...] = ()
    """What it has of them, in every set but inheritable and ambient."""
    connects: bool = False
    """Whether it may make sockets of IPv4 and IPv6, connect them, and have threads."""


CODE: Final = "code"
"""Stands for the directories of Python, netevd and the system's libraries and settings."""
STATE: Final = "state"
"""Stands for the worker's own directory."""
LEASES: Final = "leases"
"""Stands for directories that DHCP clients keep leases in, see `launch.READABLE`."""
_RESOLVERS: Final = ["/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf"]
"""Where /etc/resolv.conf may lead; whole directories, since it is replaced and not written."""
_ALONE: Final = {"nproc": 0, "memlock": 0}
POLICIES: Final = {
    "helper": Policy(_HELPER, [], [], {"nproc": 0, "nofile": 64}, ("CAP_NET_ADMIN",)),
    "reader": Policy(_READER, None, [], _ALONE),
    "worker": Policy(_WORKER, [CODE, LEASES, "/run/systemd/netif"], [STATE], _ALONE),
    "courier": Policy(_COURIER, [CODE, *_RESOLVERS], [], {"memlock": 0}, connects=True),
}
"""By role. Supervisor and runners, and so all scripts, have `DENIED_TO_ALL` and nothing else."""
_ACTIONS: Final = {"enforce": pyseccomp.ERRNO(errno.EPERM), "log": pyseccomp.LOG, "trap": pyseccomp.KILL_PROCESS}  # fmt: skip
"""What becomes of a call that a filter does not allow, by `security.sandbox`. Only tests trap."""
traps = False
"""Whether what would be enforced ends the process instead; set by `__main__`, from root's environment."""


def choose(how: str) -> str:
    """Return how a role is confined where the configuration says this."""
    return "trap" if traps and how == "enforce" else how


def confine(role: str, how: str, places: Mapping[str, list[str]] | None = None) -> None:
    """
    Take the sandbox of a role for good; call it after every import.

    how: as `choose` says. places: what CODE and STATE stand for.
    """
    policy, places = POLICIES[role], places or {}
    if how == "off":
        return
    limit_resources(list(policy.limits.items()))
    if how != "log" and policy.readable is not None:
        pair = (policy.readable, policy.writable)
        lists = ([path for word in words for path in places.get(word, [word])] for words in pair)
        restrict_files(*lists, connects=policy.connects)
    allow_only(role, how)


def deny_dangerous_calls() -> None:
    """Load the deny-list that the supervisor and all it starts live under."""
    program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    _add(program, pyseccomp.ERRNO(errno.EPERM), DENIED_TO_ALL)
    program.load()


@cache
def build_filter(role: str, how: str = "enforce", machine: int | None = None) -> bytes:
    """Return the filter of a role as the kernel takes it: struct sock_filter, 8 bytes each. Source: seccomp(2)."""
    program = pyseccomp.SyscallFilter(_ACTIONS[how])
    if machine is not None:
        program.remove_arch(pyseccomp.Arch.NATIVE)
        program.add_arch(machine)
    _add(program, pyseccomp.ALLOW, POLICIES[role].calls)
    for name, *parts in _NARROW.get(role, []):
        program.add_rule(pyseccomp.ALLOW, name, *(_compare(*part) for part in parts))
    if POLICIES[role].connects:
        # the C library asks for these where it looks names up, and gets on without
        for family in (socket.AF_UNIX, socket.AF_NETLINK):
            program.add_rule(pyseccomp.ERRNO(errno.EACCES), "socket", _compare(0, _WHOLE, family))
        program.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags are out of sight
    with open(os.memfd_create(f"netevd-{role}-filter"), "rb+") as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()


def allow_only(role: str, how: str = "enforce") -> None:
    """Load the filter of a role: all other calls fail, are logged, or end the process."""
    built = build_filter(role, how)
    code = ctypes.create_string_buffer(built)
    program = struct.pack("@HP", len(built) // 8, ctypes.addressof(code))
    _check(_libc.prctl(_PR_SET_SECCOMP, 2, program, 0, 0), "PR_SET_SECCOMP")


def find_unknown_calls() -> list[str]:
    """Return the names in policies that libseccomp here does not know: these are left out."""
    probe, unknown = pyseccomp.SyscallFilter(pyseccomp.KILL_PROCESS), set[str]()
    for names in (DENIED_TO_ALL, *(policy.calls for policy in POLICIES.values())):
        unknown.update(_add(probe, pyseccomp.ALLOW, names))
    return sorted(unknown)


def _add(program: pyseccomp.SyscallFilter, action: int, names: list[str]) -> list[str]:
    """Add a rule for each name; return those that this architecture or libseccomp does not know."""
    unknown = []
    for name in names:
        own = [pyseccomp.Arg(0, pyseccomp.EQ, 0)] if name == "prlimit64" else []  # its own limits
        try:
            program.add_rule(action, name, *own)
        except (OSError, ValueError):
            unknown.append(name)
    return unknown


def _compare(argument: int, mask: int, value: int) -> pyseccomp.Arg:
    return pyseccomp.Arg(argument, pyseccomp.MASKED_EQ, mask, value)


# --- Landlock ----------------------------------------------------------------------------------------

_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446
_READ = 1 << 2 | 1 << 3
"""LANDLOCK_ACCESS_FS_READ_FILE and READ_DIR. Source: linux/landlock.h."""
_FILE_ACCESS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Rights that make sense for a file: EXECUTE, WRITE, READ, TRUNCATE, IOCTL_DEV."""
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of file system rights that each ABI knows; later ones know as many as 5."""


def find_landlock() -> int:
    """Return the ABI of Landlock that this kernel has, less than 1 for none."""
    return int(_libc.syscall(_LANDLOCK_CREATE, None, 0, 1))


def restrict_files(readable: list[str], writable: list[str], *, connects: bool = False) -> bool:
    """
    Confine this process to these paths by Landlock; tell whether the kernel can.

    connects: it may connect to TCP ports; it may listen to none.

    Signals to and abstract sockets of processes outside are refused too where the kernel knows it
    (ABI 6). Paths that do not exist are passed over: what is not there needs no right.
    """
    version = find_landlock()
    if version < 1:
        return False
    everything = (1 << _RIGHTS_BY_ABI.get(version, 16)) - 1
    network = 0 if version < 4 else 1 if connects else 3
    attribute = struct.pack("=QQQ", everything, network, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _check(_libc.syscall(_LANDLOCK_CREATE, attribute, size, 0), "landlock_create_ruleset")
    try:
        for path in readable:
            _allow_path(ruleset, path, _READ)
        for path in writable:
            _allow_path(ruleset, path, everything & ~1)
        _check(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return True


def _allow_path(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _FILE_ACCESS
        rule = struct.pack("=Qi", rights, descriptor)
        _check(_libc.syscall(_LANDLOCK_ADD_RULE, ruleset, 1, rule, 0), "landlock_add_rule")
    finally:
        os.close(descriptor)
