"""The configuration as the daemon reads it, and the runtime directory that it would use."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from netevd.cli.advice import find_doubts
from netevd.cli.checks.case import Case, Finding, as_root, name_caller, read_finding
from netevd.cli.checks.privileges import USERS
from netevd.cli.checks.processes import read_file, read_process
from netevd.config.legacy import is_variable
from netevd.config.load import Loaded
from netevd.config.tree import Problem

_SHOWN: Final = 20
"""Problems shown at most; `netevd validate` shows all."""


def check_configuration(case: Case) -> Iterator[Finding]:
    """Tell what the daemon's reader says, then what a valid configuration can hardly mean."""
    path = case.path
    if case.config is None and _is_closed(path):
        yield Finding("note", "configuration", path, f"not looked at, nor the scripts: {name_caller()}"
                      " may not read it; ask as root", case.ask_as_root)  # fmt: skip
        return
    own = [] if isinstance(case.loaded, Loaded) else [str(each) for each in case.loaded]
    problems = own if case.refusal else case.problems or own
    for problem in problems[:_SHOWN]:
        place, _, text = problem.partition(": ")
        yield read_finding("problem", "configuration", place, text)
    if len(problems) > _SHOWN:
        yield Finding("problem", "configuration", path, f"{len(problems) - _SHOWN} more problems; list"
                      " all of them", f"netevd validate {shlex.quote(path)}")  # fmt: skip
    if isinstance(case.loaded, Loaded):
        for doubt in find_doubts(case.loaded, path):
            known = any(problem.endswith(doubt.message) for problem in problems)
            if not (known or any(f"no system user {name!r}" in doubt.message for name in USERS)):
                place = str(doubt.place) if os.path.lexists(path) else "defaults"
                yield read_finding("warning", "configuration", place, doubt.message)
    if isinstance(case.loaded, Loaded) and case.loaded.notices:
        yield _count_notices(case.loaded.notices, path)
    if not problems:
        reader = "netevd-net:netevd" if case.privileged else name_caller()
        fine = f"valid, and readable by {reader}"
        absent = "not there, so the defaults apply"
        yield Finding("ok", "configuration", path, fine if os.path.lexists(path) else absent)


def _count_notices(notices: Sequence[Problem], path: str) -> Finding:
    """Tell that there are keys or variables of the Rust daemon, and what shows the keys as today's."""
    files = sorted({each.place.file for each in notices if not is_variable(each.place)})
    command = f"netevd migrate rust-netevd {shlex.quote(files[0])}" if files else ""
    text = (
        f"settings in words of the Rust daemon: {len(notices)}, each read as netevd validate says"
    )
    return Finding("note", "configuration", path, text, command)


def _is_closed(path: str) -> bool:
    """Tell whether there is, or may be, a file that an ordinary user may not read."""
    try:
        os.lstat(path)
    except OSError as error:
        return isinstance(error, PermissionError)
    return os.geteuid() != 0 and not os.access(path, os.R_OK)


# --- runtime directory -----------------------------------------------------------------------------


def check_runtime(case: Case) -> Iterator[Finding]:
    """Tell whether the daemon would take its runtime directory, and whether one runs there."""
    path = find_directory(observe=bool(case.identity and case.identity.observe))
    name, parent = shlex.quote(path), os.path.dirname(path)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        if os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
            yield Finding("ok", "runtime", path, "not there yet; netevd run makes it")
        else:
            yield Finding("problem", "runtime", path, f"not there, and {name_caller()} can't make it in"
                          f" {parent}; choose another", f"netevd run --runtime-dir /tmp/netevd-{os.geteuid()}")  # fmt: skip
        return
    except OSError as error:
        yield Finding("problem", "runtime", path, f"can't be looked at: {error.strerror}")
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Finding("problem", "runtime", path, "is no directory; netevd run makes one when this is"
                      " gone", f"rm {name}")  # fmt: skip
    elif status.st_uid != os.geteuid():
        yield Finding("problem", "runtime", path, f"belongs to uid {status.st_uid}, expected"
                      f" {name_caller()}", as_root(f"chown {os.geteuid()} {name}"))  # fmt: skip
    elif status.st_mode & 0o022:
        yield Finding("problem", "runtime", path, f"has mode {stat.S_IMODE(status.st_mode):04o}; nobody"
                      " else may write there", f"chmod go-w {name}")  # fmt: skip
    else:
        pid = find_daemon(path)
        runs = f"a daemon runs (pid {pid})" if pid else "no daemon runs"
        yield Finding("ok", "runtime", path, f"{name_caller()}'s alone; {runs}")


def find_directory(*, observe: bool) -> str:
    """Return where this caller's daemon keeps its lock. Source: privsep/mode.py."""
    if not observe and os.geteuid() == 0:
        return "/run/netevd"
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(base, "netevd")
    return f"/tmp/netevd-{os.getuid()}"  # noqa: S108 - looked at, as the daemon does


def find_daemon(directory: str) -> int | None:
    """
    Return the pid of the daemon of a runtime directory, None when none runs there.

    Only read: to try the lock, were it for an instant, could keep a daemon from starting.
    """
    word = read_file(os.path.join(directory, "lock")).strip()
    process = read_process(int(word)) if word.isdigit() else None
    return process.pid if process and process.is_netevd else None
