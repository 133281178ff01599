"""System users, capabilities, and the mode in which `netevd run` would start."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from typing import Final, get_args

from netevd.cli.checks.case import Case, Finding, Level, as_root, name_caller, read_finding
from netevd.config.kinds import Capability

USERS: Final = ("netevd", "netevd-net", "netevd-script")
GROUP: Final = "netevd"
MAKE_USERS: Final = (
    "groupadd --system netevd"
    " && useradd --system --gid netevd --home-dir / --no-create-home --shell /usr/sbin/nologin netevd"
    " && useradd --system --user-group --groups netevd --home-dir / --no-create-home"
    " --shell /usr/sbin/nologin netevd-net"
    " && useradd --system --user-group --home-dir / --no-create-home"
    " --shell /usr/sbin/nologin netevd-script"
)
"""The command that `netevd run` prints; a test holds the two equal."""
NEEDED: Final = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL", "CAP_CHOWN",
                 "CAP_SYS_PTRACE")  # fmt: skip
"""What privileged mode can't do without. Source: privsep/sandbox.py; a test holds the two equal."""
_NUMBERS: Final = {name: number for number, name in enumerate(get_args(Capability))}


def check_users(case: Case) -> Iterator[Finding]:
    """Look whether the system users exist, each with a uid of its own."""
    uids = {name: _find_uid(name) for name in USERS}
    missing = [f"user {name}" for name, uid in uids.items() if uid is None]
    if not _exists_group():
        missing.append(f"group {GROUP}")
    if missing:
        level: Level = "problem" if case.refusal and os.geteuid() == 0 else "warning"
        which = f"{', '.join(missing)} {'do' if len(missing) > 1 else 'does'} not exist"
        message = f"{which}; netevd does not start as root without"
        yield Finding(level, "users", "system users", message, as_root(make_users(missing)))
        return
    seen = [0, *uids.values()]
    if wrong := [name for index, name in enumerate(USERS, 1) if seen[index] in seen[:index]]:
        again = [*(f"userdel {name}" for name in wrong), make_users([f"user {n}" for n in wrong])]
        shown = ", ".join(f"{name} has uid {uid}" for name, uid in uids.items())
        yield Finding(
            "problem", "users", "system users",
            f"{shown}; each needs a uid of its own, or nothing is separated",
            as_root(" && ".join(again)),
        )  # fmt: skip
    else:
        shown = ", ".join(f"{name} (uid {uid})" for name, uid in uids.items())
        yield Finding("ok", "users", "system users", f"{shown} and group {GROUP} exist")


def make_users(missing: list[str]) -> str:
    """Return the command that makes what is missing: `user NAME` or `group NAME` each."""
    kinds = {"groupadd": "group", "useradd": "user"}
    steps = [step.split() for step in MAKE_USERS.split(" && ")]
    return " && ".join(
        " ".join(step) for step in steps if f"{kinds[step[0]]} {step[-1]}" in missing
    )


def _find_uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _exists_group() -> bool:
    try:
        grp.getgrnam(GROUP)
    except KeyError:
        return False
    return True


def check_capabilities(case: Case) -> Iterator[Finding]:
    """Look which capabilities root lacks; others have none and need none in observe mode."""
    if os.geteuid() != 0:
        return
    present = _read_capabilities()
    lacking = [name for name in NEEDED if name not in present]
    if lacking:
        names = " ".join(lacking)
        added = " ".join(f"--cap-add={name.removeprefix('CAP_')}" for name in lacking)
        yield Finding(
            "problem" if case.refusal else "note", "capabilities", "capabilities",
            f"root lacks {', '.join(lacking)}, which separating privileges needs; in a container start it"
            f" with {added}, in a unit of systemd widen CapabilityBoundingSet= by {names}; or run"
            " everything, scripts too, as the caller",
            "netevd run --observe",
        )  # fmt: skip
    if "CAP_NET_ADMIN" not in present:
        yield Finding(
            "warning" if case.privileged else "note", "capabilities", "capabilities",
            "root lacks CAP_NET_ADMIN: netevd runs with event buffers limited by net.core.rmem_max and"
            " can't write routes and rules; in a container start it with --cap-add=NET_ADMIN, in a"
            " unit of systemd widen CapabilityBoundingSet= by CAP_NET_ADMIN",
        )  # fmt: skip
    if present.issuperset({*NEEDED, "CAP_NET_ADMIN"}):
        yield Finding("ok", "capabilities", "capabilities", "root has all that netevd needs")


def _read_capabilities() -> frozenset[str]:
    """Return the permitted capabilities of this process. Source: proc_pid_status(5)."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as lines:
        mask = next(int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:"))
    return frozenset(name for name, number in _NUMBERS.items() if mask >> number & 1)


def check_mode(case: Case, found: list[Finding]) -> Iterator[Finding]:
    """Tell as what `netevd run` would start. found: what was found of users and capabilities."""
    subject = f"netevd run by {name_caller()}"
    if case.refusal:
        if not any(each.level == "problem" for each in found):  # else it is what was just told
            text = case.refusal.replace("\n", " ")
            yield read_finding("problem", "mode", subject, f"does not start: {text}")
    elif case.identity is None:
        return  # the configuration has problems
    elif case.privileged:
        yield Finding("ok", "mode", subject, "privileged mode, roles and scripts as own users")
    elif os.geteuid() == 0:
        yield Finding("note", "mode", subject, "observe mode, scripts run as the caller: this user"
                      " namespace does not map the system users, or lacks capabilities")  # fmt: skip
    else:
        yield Finding("note", "mode", subject, "observe mode, scripts run as the caller, for whom all was"
                      " looked at; what a daemon of root would find, root can ask", case.ask_as_root)  # fmt: skip
