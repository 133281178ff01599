"""Scripts of another program: where they will run, what would keep them from it, what they miss."""

from __future__ import annotations

import difflib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from netevd.cli.checks.processes import read_file
from netevd.cli.checks.scripts import find_start_fault, find_sudo
from netevd.cli.migrations.remark import Remark, note, warn
from netevd.model.event import EventType
from privsep.variables import VARIABLES

LEFTOVER: Final = re.compile(
    r"[.#]|.*(~|\.(bak|orig|rej|swp|tmp|disabled|rpm\w+|dpkg-\w+|ucf-\w+))\Z"
)
"""Names that nobody takes for scripts. Source: privsep/scripts.py."""

_NET_ADMIN: Final = "CAP_NET_ADMIN"
_CHANGES: Final = (
    r"[^#\n]*\s(?:add|append|change|del|delete|flush|replace|restore|set|(?:add|del)(?:br|if))\b"
)
_NEEDS: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = tuple(
    (re.compile(rf"(?:^|[\s;&|(`/])({program})(?=\s|$){rest}"), capability, named)
    for program, rest, capability, named in (
        ("ip", _CHANGES, _NET_ADMIN, "ip, which changes something,"),
        ("tc|brctl", _CHANGES, _NET_ADMIN, ""),
        ("ethtool", r"\s+-(?:[A-Z]|s|-set|-change|-coalesce)", _NET_ADMIN, ""),
        (
            "nft|iptables|ip6tables|iptables-restore|ip6tables-restore|ipset|wg|wg-quick",
            "",
            _NET_ADMIN,
            "",
        ),
        ("sysctl", r"[^#\n]*=", "", ""),
        ("systemctl", r"\s+(?!status|show|is-|list-|cat)[a-z]", "", ""),
        (r"service|invoke-rc\.d|modprobe|mount|umount|hostname", r"\s+[^-\s]", "", ""),
    )
)
"""Programs that need more than an ordinary user has: what they need, "" for root."""


class Convention(NamedTuple):
    """What scripts of one program are used to."""

    user: str
    """Whom its scripts ran as, and with which capabilities."""
    variables: Mapping[str, str]
    """Variables that it set and that are not the same here, and what to use instead."""
    tree: str = ""
    """Setting of the tree that they are run as, whose user and capabilities all of them have; "" for
    scripts of netevd's own kind, which have rules."""

    def allow(self, path: str, what: str) -> str:
        """Return what gives a script of a path what it lacks, as a setting says it."""
        if self.tree:
            return f"all scripts of the tree have it with {self.tree}: {{{what}}}"
        return f"add to scripts.rules: {{path: {json.dumps(path)}, {what}}}"


def list_scripts(directory: str, *, leftovers: bool = False) -> list[str]:
    """
    Return the files of a directory, in order; none where it is not there.

    leftovers: also those that editors and package tools leave behind.
    """
    try:
        names = sorted(os.listdir(directory), key=os.fsencode)
    except OSError:
        return []
    paths = [f"{directory}/{name}" for name in names if leftovers or not LEFTOVER.match(name)]
    return [path for path in paths if not os.path.isdir(path)]


def list_states(root: str) -> list[str]:
    """Return the words T for which there is a directory `T.d`."""
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return []
    return [name[:-2] for name in names if name.endswith(".d") and os.path.isdir(f"{root}/{name}")]


def explain_unknown(state: str, root: str) -> Remark:
    """Say that scripts of a state never run here."""
    path = f"{root}/{state}.d"
    known = [each.value for each in EventType]
    close = difflib.get_close_matches(state.replace("_", "-"), known, 1, 0.75)
    count = len(list_scripts(path))
    many = f"{count} script{'' if count == 1 else 's'}"
    text = f"is never looked into: {state!r} is no event type here; {many} in it"
    return warn(path, f"{text}; the nearest is {close[0]}.d" if close else text)


def look_at_directory(root: str, state: str, convention: Convention) -> Iterator[Remark]:
    """Yield what is to be said of the scripts of an event type, which run where they stand."""
    for path in list_scripts(f"{root}/{state}.d"):
        if fault := find_fault(path):
            yield warn(path, f"is skipped: {fault}")
        else:
            yield note(path, f"runs on {state} as netevd-script, there as {convention.user}")
        yield from look(path, convention)


def look(path: str, convention: Convention) -> Iterator[Remark]:
    """Yield what is to be said of one script: can it be started, what it needs, what it misses."""
    content = read_file(path)
    if not content:
        yield warn(path, "it is empty, or can't be read by who asks; it was not looked at")
        return
    if fault := find_start_fault(content, path):
        yield warn(path, f"can't be started: {fault}")
        return
    if not content.startswith(b"#!"):
        yield note(path, "is a program, so it was not looked at which variables it uses")
        return
    lines = content.decode("utf-8", "replace").splitlines()
    yield from _find_needs(path, lines, convention)
    for name, line in find_sudo(content).items():
        text = f"{name} gains nothing: scripts run with no_new_privs"
        yield warn(path, f"{text}; {convention.allow(path, 'user: root')}", line)
    yield from _find_variables(path, lines, convention)


def _find_needs(path: str, lines: list[str], convention: Convention) -> Iterator[Remark]:
    """Yield one remark for each program that an ordinary user can't make use of."""
    told: set[str] = set()
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("#"):
            continue
        for pattern, capability, named in _NEEDS:
            found = pattern.search(line)
            if found is None or found[1] in told:
                continue
            told.add(found[1])
            what = f"capabilities: [{capability}]" if capability else "user: root"
            need = capability or "root, or a rule of polkit"
            text = f"{named or found[1]} needs {need}, which scripts don't have"
            yield warn(path, f"{text}; {convention.allow(path, what)}", number)


def _find_variables(path: str, lines: list[str], convention: Convention) -> Iterator[Remark]:
    """Yield one remark for each variable of the convention that is another one here, or none."""
    for name, advice in convention.variables.items():
        used = re.compile(rf"\$\{{?{name}\b|[\"'{{]{name}[\"'}}]")
        for number, line in enumerate(lines, 1):
            if used.search(re.sub(r"(^|\s)#.*", "", line)):
                missing = name not in VARIABLES
                text = f"variable {name} is {'not set here' if missing else 'another one here'}"
                yield Remark(
                    note(path, "", number).place,
                    "warning" if missing else "note",
                    f"{text}: {advice}",
                )
                break


# --- trust -----------------------------------------------------------------------------------------


def find_fault(path: str) -> str:
    """
    Return why netevd would not run this file for its owner or mode, "" when it would.

    Every directory on the way, and on that of what links lead to, is root's and written by nobody else;
    netevd-script, an ordinary user, may enter them and execute the file.
    Source: privsep/scripts.py, which decides.
    """
    try:
        real = os.path.realpath(path, strict=True)
        for each in dict.fromkeys([*_list_above(path), *_list_above(real)]):
            status = os.lstat(each)
            if stat.S_ISLNK(status.st_mode):
                continue
            if status.st_uid:
                return f"its directory {each} belongs to uid {status.st_uid}, expected root"
            if not status.st_mode & 0o001:
                return f"netevd-script may not enter its directory {each}; mend it with: chmod o+x {each}"
            if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
                return (
                    f"its directory {each} is writable by others; mend it with: chmod go-w {each}"
                )
        status = os.stat(real)
    except OSError as error:
        return f"it can't be looked at: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_uid:
        return f"it belongs to uid {status.st_uid}; mend it with: chown root {real}"
    if status.st_mode & 0o022:
        return f"it is writable by others; mend it with: chmod go-w {real}"
    if not status.st_mode & 0o111:
        return f"it is not executable; mend it with: chmod +x {real}"
    if status.st_mode & 0o005 != 0o005:
        return f"netevd-script may not read and execute it; mend it with: chmod o+rx {real}"
    return ""


def _list_above(path: str) -> list[str]:
    parts = os.path.dirname(os.path.abspath(path)).split("/")
    return ["/".join(parts[:end]) or "/" for end in range(1, len(parts) + 1)]
