"""What is in force for each role of a daemon that runs here, as the kernel tells it and the daemon says."""

from __future__ import annotations

import pwd
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, get_args

from netevd.cli.checks.case import Case, Finding, Level
from netevd.cli.checks.processes import list_processes, read_file
from netevd.cli.client import ask
from netevd.cli.failure import Failure
from netevd.config.kinds import Capability

_NAMES: Final = get_args(Capability)
_PREFIX: Final = "netevd-"


class Held(NamedTuple):
    """What the kernel says of one process. Source: proc_pid_status(5)."""

    user: str
    no_new_privs: bool
    filters: int
    """Of seccomp; those that it was started with count too."""
    effective: frozenset[str]
    bounding: frozenset[str]


_FILTERED: Final = frozenset({"helper", "reader", "worker", "courier"})
"""Roles with a filter of their own, beside the one that all have. Source: privsep/sandbox.py."""


def check_roles(_: Case) -> Iterator[Finding]:
    """Look at each process of a daemon that is seen to live in this network namespace, if there is one."""
    found = False
    for process in list_processes(known=True):
        role = process.name.removeprefix(_PREFIX).partition("-")[0]
        if not process.is_netevd or process.arguments[4:5] not in {("run",), ("confined",)}:
            continue
        held = read_held(read_file(f"/proc/{process.pid}/status").decode(errors="replace"))
        if held is not None:
            found = True
            known = role if process.name.startswith(_PREFIX) else "supervisor"
            yield judge(known, process.pid, held)
    if found:
        yield from _ask_daemon()


def read_held(status: str) -> Held | None:
    """Return what a process' status says, None if it is gone."""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    try:
        uid = int(fields["Uid"].split()[0])
        filters = int(fields.get("Seccomp_filters", int(fields["Seccomp"] == "2")))
        return Held(
            _name(uid), fields["NoNewPrivs"] == "1", filters,
            _read_mask(fields["CapEff"]), _read_mask(fields["CapBnd"]),
        )  # fmt: skip
    except (KeyError, ValueError):
        return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _read_mask(word: str) -> frozenset[str]:
    mask = int(word, 16)
    return frozenset(name for number, name in enumerate(_NAMES) if mask >> number & 1)


def judge(role: str, pid: int, held: Held) -> Finding:
    """Return what is in force for a role, and whether that is what it should have."""
    shown = _show(held.effective) if held.effective != held.bounding else _show(held.bounding)
    bound = "" if held.effective == held.bounding else f", at most {_show(held.bounding)}"
    words = (
        f"user {held.user}, capabilities {shown}{bound},"
        f" {'no_new_privs' if held.no_new_privs else 'without no_new_privs'},"
        f" {held.filters} seccomp filter{'s' * (held.filters != 1)}"
    )
    faults = []
    if not held.no_new_privs:
        faults.append("no_new_privs is missing")
    if held.filters < 1 + (role in _FILTERED):
        faults.append(
            "its filter is not in force: security.sandbox is off, or this is an observer's"
        )
    allowed = {"CAP_NET_ADMIN"} if role == "helper" else set()
    if role in _FILTERED and held.effective - allowed:
        faults.append("it has capabilities that it does not need")
    level: Level = "warning" if faults else "ok"
    return Finding(level, "roles", f"{role} (pid {pid})", "; ".join([words, *faults]))


def _show(names: frozenset[str]) -> str:
    if len(names) > 8:
        return f"{len(names)} of them"
    return " ".join(sorted(names)) or "none"


def _ask_daemon() -> Iterator[Finding]:
    """Yield what the daemon says of its own sandbox; what the kernel does not tell of others is there."""
    try:
        checks: Mapping[str, Mapping[str, str]] = ask("/health", expected=(503,))["checks"]
    except Failure:
        return
    if check := checks.get("sandbox"):
        advice = f"; {check['advice']}" if "advice" in check else ""
        level: Level = "ok" if check["status"] == "pass" else "warning"
        yield Finding(level, "roles", "sandbox of the daemon", f"{check['detail']}{advice}")
