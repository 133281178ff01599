"""
Privileged or observe mode, and where each keeps its runtime directory and lock.

Privileged mode changes users; observe mode is for a caller who can't.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import stat
from contextlib import suppress
from typing import Final, NamedTuple

from privsep import sandbox
from privsep.launch import Identity, Launch
from privsep.scripts import maps_all_users, read_uid_map
from privsep.signatures import find_name
from privsep.trees import CONVENTIONS

USERS: Final = ("netevd", "netevd-net", "netevd-script")
MAKE_USERS: Final = (
    "groupadd --system netevd"
    " && useradd --system --gid netevd --home-dir / --no-create-home --shell /usr/sbin/nologin netevd"
    " && useradd --system --user-group --groups netevd --home-dir / --no-create-home"
    " --shell /usr/sbin/nologin netevd-net"
    " && useradd --system --user-group --home-dir / --no-create-home"
    " --shell /usr/sbin/nologin netevd-script"
)
"""The one command that makes the users; packaging/sysusers/netevd.conf says the same."""


class Refusal(Exception):
    """The daemon can't start; the text says why and what to do."""


class Mode(NamedTuple):
    """As whom each role lives."""

    observe: bool
    helper: Identity
    worker: Identity
    reader: Identity
    notice: str
    """What this mode can't do, to be said once; "" for nothing."""


def _caller() -> Identity:
    return Identity(find_name(os.getuid()), os.getuid(), os.getgid(), os.getgroups())


def choose(*, force_observe: bool) -> Mode:
    """Return the mode this caller can have. Raises: Refusal."""
    caller = _caller()
    observe = Mode(
        True, caller, caller, caller,
        f"observe mode: everything runs as {caller.user}, scripts included;"
        " start as root for separate users, full event buffers and scripts of other users",
    )  # fmt: skip
    if force_observe or os.geteuid() != 0:
        return observe
    _, permitted = sandbox.read_capabilities()
    missing = [name for name in sandbox.NEEDED if not permitted >> sandbox.CAPABILITIES[name] & 1]
    if not maps_all_users():
        try:
            uids = [pwd.getpwnam(name).pw_uid for name in USERS]
        except KeyError:
            return observe
        if missing or not all(any(uid in each for each in read_uid_map()) for uid in uids):
            return observe
    elif missing:
        raise Refusal(
            f"root without {', '.join(missing)} can't separate privileges;"
            " grant these capabilities, or give --observe to run everything as the caller"
        )
    return _privileged(permitted)


def _privileged(permitted: int) -> Mode:
    try:
        group = grp.getgrnam("netevd").gr_gid
        worker, helper = pwd.getpwnam("netevd"), pwd.getpwnam("netevd-net")
        pwd.getpwnam("netevd-script")
    except KeyError as error:
        missing = str(error.args[0]).rpartition(" ")[2] if error.args else "one"
        words = f"the system user or group {missing} does not exist; make all of them with"
        raise Refusal(f"{words}:\n{MAKE_USERS}") from None
    notice = ""
    if not permitted >> sandbox.CAPABILITIES["CAP_NET_ADMIN"] & 1:
        notice = "no CAP_NET_ADMIN: event buffers are limited by net.core.rmem_max"
    return Mode(
        False,
        Identity("netevd-net", helper.pw_uid, helper.pw_gid, [helper.pw_gid]),
        Identity("netevd", worker.pw_uid, worker.pw_gid, [group]),
        Identity("netevd-net", helper.pw_uid, helper.pw_gid, sorted({helper.pw_gid, group})),
        notice,
    )


def find_launch_faults(launch: Launch, mode: Mode) -> list[str]:
    """Return what the supervisor itself refuses in launch data, whoever wrote it."""
    faults = []
    if not launch.runners or len(launch.runners) > 32:
        faults.append(f"{len(launch.runners)} script identities, expected 1 to 32")
    if len(launch.directories) > 8 or len(launch.events) > 256:
        faults.append("more than 8 script directories or 256 event types")
    if not {tree.kind for tree in launch.trees} <= {*CONVENTIONS} - {""}:
        faults.append("trees of scripts that no convention is known of")
    for number, identity in enumerate(launch.runners):
        faults += [f"{name} is no capability" for name in identity.capabilities
                   if name not in sandbox.CAPABILITIES]  # fmt: skip
        reserved = {mode.helper.uid, mode.worker.uid, *([] if number else [0])}
        if not mode.observe and identity.uid in reserved:
            faults.append(
                f"scripts can't run as {identity.user} (uid {identity.uid}): root, unless a rule says so,"
                " and the users of netevd's own roles are not for scripts"
            )
        named = identity.scripts or any(tree.runner == number for tree in launch.trees)
        if (identity.uid == 0 or identity.capabilities) and not (mode.observe or named):
            faults.append(f"no rule names the scripts that {identity.user} runs with privilege")
    return faults


# --- runtime directory -----------------------------------------------------------------------------


def make_runtime_directory(given: str | None, *, observe: bool) -> str:
    """Return the runtime directory, made if need be and known to be ours. Raises: Refusal."""
    if given is not None:
        path, mode = os.path.abspath(given), 0o700 if observe else 0o755
    elif not observe:
        path, mode = "/run/netevd", 0o755
    elif base := os.environ.get("XDG_RUNTIME_DIR"):
        path, mode = os.path.join(base, "netevd"), 0o700
    else:
        path, mode = f"/tmp/netevd-{os.getuid()}", 0o700  # noqa: S108 - checked below
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)
    except FileExistsError:
        pass
    except OSError as error:
        raise Refusal(f"the runtime directory {path} can't be made: {error.strerror}") from None
    expected = f"must belong to uid {os.geteuid()} and be writable by nobody else"
    if fault := _find_fault(path, os.geteuid(), 0o022, expected):
        raise Refusal(f"the runtime directory {path} {fault}")
    return path


def find_state_directory(given: str | None, mode: Mode) -> str:
    """Return where the worker's directory is to be. given: what was asked for."""
    if given is not None or not mode.observe:
        return os.path.abspath(given or "/var/lib/netevd")
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "netevd")


def make_state_directory(given: str | None, mode: Mode) -> str:
    """
    Return the worker's directory, made if need be, "" where none can be had, which is said.

    Nothing in it is ever opened by a privileged role. Raises: Refusal, if a directory that was asked
    for can't be had.
    """
    path = find_state_directory(given, mode)
    if given is None and mode.observe:
        with suppress(OSError):  # a new user has none; what can't be made is said below
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    fault = _make_private(path, mode)
    if fault and given is not None:
        raise Refusal(f"the state directory {path} {fault}")
    if fault:
        text = f"netevd: the state directory {path} {fault}: each start is a first start\n"
        os.write(2, text.encode())
        return ""
    return path


def _make_private(path: str, mode: Mode) -> str:
    """Make a directory of the worker's own; return what is wrong with it, "" for nothing."""
    try:
        os.mkdir(path, 0o700)
        if not mode.observe:
            os.chown(path, mode.worker.uid, mode.worker.gid, follow_symlinks=False)
    except FileExistsError:
        pass
    except OSError as error:
        return f"can't be made ({error.strerror})"
    expected = f"must belong to {mode.worker.user} with mode 0700"
    return _find_fault(path, mode.worker.uid, 0o077, expected)


def _find_fault(path: str, uid: int, forbidden: int, expected: str) -> str:
    """Return what is wrong with a directory of this user, "" for nothing."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if status.st_uid == uid and not status.st_mode & forbidden:
        return ""
    present = f"uid {status.st_uid} with mode {stat.S_IMODE(status.st_mode):04o}"
    return f"{expected}; it belongs to {present}"


def take_lock(directory: str) -> int:
    """Return the descriptor that holds the lock for as long as it is open. Raises: Refusal."""
    path = os.path.join(directory, "lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        raise Refusal(f"the lock {path} can't be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise Refusal(
            f"another netevd (pid {holder}) holds {path};"
            " stop it first, or give this one another --runtime-dir"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
