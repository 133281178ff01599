"""
What the daemon's health is: vital signs in, one object out.

A check fails when events are not told, or scripts of a link not run, until somebody does something; it
warns when something is worse than it should be while both go on.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from netevd.core.insight import StuckRun
from netevd.model.answers import CheckObject, HealthObject, ReadyObject
from netevd.model.shape import printable
from netevd.report.view import View

_SHOWN: Final = 3
"""Names in one sentence."""


@frozen(slots=True)
class Silence:
    """A role that does not answer."""

    role: str
    """helper, or runner with its key."""
    seconds: float | None
    """For how long it has not; None: it is not there."""


@frozen(slots=True)
class Vitals:
    """What was found when the daemon was examined."""

    started: bool
    """The first dump is known, so that changes are told."""
    loss: str = ""
    """Why links or routes are being read again, "" when nothing is missing."""
    silences: tuple[Silence, ...] = ()
    """Roles that have not answered in time."""
    runners: int = 0
    """How many runners there have to be."""
    full_lanes: int = 0
    """Lanes that drop runs."""
    stuck: tuple[StuckRun, ...] = ()
    """Runs that block their lane."""
    problems: tuple[str, ...] = ()
    """Why the last reload was refused; none: it was not."""
    storage: str = ""
    """Why what is remembered does not outlive the daemon, "" where it does."""
    truncated: bool = False
    """What is to be remembered did not fit."""
    audit: str = ""
    """Why the audit log can't be written, "" where it can or nobody wants it."""
    sandbox: str = "enforce"
    """What becomes of a system call that a role does not need."""
    landlock: int = 0
    """The ABI of Landlock that the kernel has, 0 for none."""


def judge(view: View, vitals: Vitals) -> HealthObject:
    """Return the daemon's health."""
    checks = {
        "netlink": _check_netlink(vitals),
        "backend": _check_backend(view, vitals),
        "backends": _check_backends(view),
        "runners": _check_runners(vitals),
        "lanes": _check_lanes(vitals),
        "configuration": _check_configuration(vitals),
        "journal": _check_journal(vitals),
        "audit": _check_audit(vitals),
        "sandbox": _check_sandbox(vitals),
    }
    return {
        "status": find_status(checks),
        "uptime": view.get_uptime(),
        "interfaces": view.count_interfaces(),
        "routing_rules": view.count_owned_rules(),
        "checks": checks,
    }


def find_status(checks: dict[str, CheckObject]) -> Literal["healthy", "degraded", "unhealthy"]:
    """Return what checks amount to."""
    found = {each["status"] for each in checks.values()}
    return "unhealthy" if "fail" in found else "degraded" if "warn" in found else "healthy"


def show_readiness(vitals: Vitals) -> ReadyObject:
    """Return whether events are told."""
    netlink = _check_netlink(vitals)
    if not vitals.started:
        return {"status": "not ready", "detail": "the kernel's links are not known yet"}
    if netlink["status"] == "fail":
        return {"status": "not ready", "detail": netlink["detail"]}
    return {"status": "ready", "detail": "events are told"}


def _pass(detail: str) -> CheckObject:
    return {"status": "pass", "detail": detail}


def _warn(detail: str, advice: str) -> CheckObject:
    return {"status": "warn", "detail": detail, "advice": advice}


def _fail(detail: str, advice: str) -> CheckObject:
    return {"status": "fail", "detail": detail, "advice": advice}


def _tell(silence: Silence) -> str:
    if silence.seconds is None:
        return f"the {silence.role} is not there"
    return f"the {silence.role} has not answered for {silence.seconds:.0f} s"


def _check_netlink(vitals: Vitals) -> CheckObject:
    silent = [each for each in vitals.silences if each.role == "helper"]
    if silent:
        advice = (
            "if it does not come back within seconds: systemctl restart netevd; its log says why"
        )
        return _fail(_tell(silent[0]), advice)
    if vitals.loss:
        detail = f"everything is being read again, since {printable(vitals.loss)}"
        return _warn(detail, "wait; if it lasts, the log says what the kernel answers")
    return _pass("the helper answers and no kernel message is missing")


def _check_backend(view: View, vitals: Vitals) -> CheckObject:
    if not vitals.started:
        advice = "wait; if it lasts, the log says what the kernel answers"
        return _fail("kernel: its links are not known yet", advice)
    return _pass(f"kernel: {view.count_interfaces()} interfaces known")


def _check_backends(view: View) -> CheckObject:
    presences = view.get_backends()
    absent = [each for each in presences if not each.found and (each.wanted or each.version)]
    found = ", ".join(f"{each.backend} {each.version}".rstrip() for each in presences if each.found)
    if absent:
        detail = "; ".join(f"{each.backend}: {printable(each.reason)}" for each in absent)
        advice = "start it, or name other backends by system.backend; what it said last counts until then"
        return _warn(detail, advice)
    refusals = view.get_refusals()
    if refusals:
        advice = "install packaging/polkit/50-netevd.rules, or see what the service's log says"
        return _warn("; ".join(map(printable, refusals[:_SHOWN])), advice)
    return _pass(found or "none but the kernel")


def _check_runners(vitals: Vitals) -> CheckObject:
    silent = [each for each in vitals.silences if each.role != "helper"]
    if silent:
        detail = "; ".join(_tell(each) for each in silent[:_SHOWN])
        advice = "scripts wait for it; if it does not come back: systemctl restart netevd"
        return _fail(detail, advice)
    return _pass(f"{vitals.runners} of {vitals.runners} answer")


def _check_lanes(vitals: Vitals) -> CheckObject:
    if vitals.stuck:
        shown = ", ".join(
            f"run {each.run} ({printable(each.script)}) waits for {each.awaits}"
            for each in vitals.stuck[:_SHOWN]
        )
        advice = "look at its processes (a file system that hangs?); its link's scripts wait for it"
        return _fail(f"{len(vitals.stuck)} runs are stuck: {shown}", advice)
    if vitals.full_lanes:
        detail = f"{vitals.full_lanes} links have 10,000 runs waiting each, and drop what comes"
        return _warn(
            detail, "make the scripts quicker, or fewer: filters, debounce, scripts.obsolete"
        )
    return _pass("every run goes on")


def _check_configuration(vitals: Vitals) -> CheckObject:
    if vitals.problems:
        more = f" and {len(vitals.problems) - 1} more" if len(vitals.problems) > 1 else ""
        detail = f"the last reload was refused: {printable(vitals.problems[0])}{more}"
        return _warn(detail, "mend the file and reload; what was in force before still is")
    return _pass("the last one that was read is in force")


def _check_journal(vitals: Vitals) -> CheckObject:
    if vitals.storage:
        detail = f"nothing outlives the daemon: {printable(vitals.storage)}"
        return _warn(detail, "make it writable, or make room, and reload")
    if vitals.truncated:
        detail = "routes or history did not fit into what is remembered"
        return _warn(detail, "let routes.tables name fewer")
    return _pass("what is remembered is written")


def _check_sandbox(vitals: Vitals) -> CheckObject:
    if vitals.sandbox != "enforce":
        detail = (
            f"security.sandbox is {vitals.sandbox}: system calls that roles do not need pass, and files"
            " are closed by users alone"
        )
        return _warn(detail, "write security.sandbox: enforce and reload")
    closed = f"files by Landlock (ABI {vitals.landlock})"
    files = closed if vitals.landlock else "files by users alone, since the kernel has no Landlock"
    return _pass(f"in force: system calls by seccomp, {files}")


def _check_audit(vitals: Vitals) -> CheckObject:
    if vitals.audit:
        detail = f"the audit log is not written: {printable(vitals.audit)}"
        return _warn(detail, "make room or mend the permissions of its directory")
    return _pass("nothing is in its way")
