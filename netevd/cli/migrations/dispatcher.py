"""From networkd-dispatcher: its trees stay where they are and are run as it ran them."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import define, field

from netevd.cli.failure import Failure
from netevd.cli.migrations.remark import Migration, Remark, note, warn
from netevd.cli.migrations.scripts import Convention, find_fault, list_scripts, list_states, look
from netevd.cli.migrations.sheet import write_value
from netevd.config.load import DEFAULT_PATH
from netevd.config.tree import read_file

ROOTS: Final = ("/etc/networkd-dispatcher", "/usr/lib/networkd-dispatcher")
OPTIONS_FILE: Final = "/etc/default/networkd-dispatcher"

CONVENTION: Final = Convention(
    "root",
    {
        "json": "Path, Driver and Network File are not in it",
        **dict.fromkeys(
            ("HOME", "USER", "LANG", "TZ", "INVOCATION_ID", "JOURNAL_STREAM"),
            "the dispatcher's own was handed on there",
        ),
    },
    "compat.networkd_dispatcher",
)

_ADMINISTRATIVE: Final = (
    "configured", "configuring", "failed", "pending", "unmanaged", "linger", "initialized",
)  # fmt: skip
_STATES: Final = (
    *_ADMINISTRATIVE,
    "carrier", "degraded", "degraded-carrier", "dormant", "enslaved", "missing", "no-carrier", "off",
    "routable",
)  # fmt: skip
"""Words whose directories it looked into."""
_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?networkd_dispatcher_args=(.*)")


@define(slots=True)
class _Options:
    """How it was started."""

    roots: list[str] = field(factory=list)
    replay: bool = False
    """Whether the states at the start ran scripts."""
    remarks: list[Remark] = field(factory=list)


def migrate(roots: Sequence[str], options_file: str | None) -> Migration:
    """
    Return a configuration for trees and for the file of its command line options; None: there is none.

    roots: none given, those of its options. Raises: Failure, Unreadable.
    """
    options = _Options() if options_file is None else _read_options(options_file)
    roots = list(roots) or options.roots or [each for each in ROOTS if os.path.isdir(each)]
    if not roots:
        raise Failure(f"neither {ROOTS[0]} nor {ROOTS[1]} is there; give the paths of its trees")
    place = options_file or roots[0]
    remarks = options.remarks
    lines = ["# Made by netevd migrate networkd-dispatcher."]
    if options.replay:
        remarks.append(note(place, "states at the start run scripts here too (scripts.initial)"))
    else:
        lines += ["scripts:", "  initial: false  # it was not started with --run-startup-triggers"]
        remarks.append(note(place, "it did not run scripts for the states at its start; scripts.initial: false"
                            " holds for every script of netevd"))  # fmt: skip
    lines += ["compat:", "  networkd_dispatcher:", "    enabled: true"]
    if tuple(roots) != ROOTS:
        lines.append(f"    roots: {write_value(list(roots))}")
    remarks += _look_at_trees(roots)
    remarks.append(
        note(
            place,
            "its scripts ran as root and without a limit of time; here they run as netevd-script for at most"
            " script_timeout, still one at a time on the whole host. Below compat.networkd_dispatcher user: root"
            " and timeout: 10m change that for all of them",
        )
    )
    return Migration("".join(f"{line}\n" for line in lines), DEFAULT_PATH, remarks)


def _read_options(path: str) -> _Options:
    """Return what a file of shell assignments says of its command line."""
    options = _Options()
    for number, line in enumerate(read_file(path).decode("utf-8", "replace").splitlines(), 1):
        found = _ASSIGNMENT.match(line)
        if found is None:
            if line.strip() and not line.lstrip().startswith("#"):
                options.remarks.append(
                    warn(path, "is no assignment of networkd_dispatcher_args and left out", number)
                )
            continue
        options.roots, options.replay = [], False  # the last assignment counts
        try:
            words = [
                word for part in shlex.split(found[1], comments=True) for word in shlex.split(part)
            ]
        except ValueError as error:
            raise Failure(f"{path}:{number}: can't be read as a shell does: {error}") from None
        _read_words(options, words, path, number)
    return options


def _read_words(options: _Options, words: list[str], path: str, line: int) -> None:
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        name, given, value = word.partition("=")
        if name in {"-S", "--script-dir"}:
            if not given and not waiting:
                options.remarks.append(warn(path, f"{word} has no value and is left out", line))
                return
            options.roots = [
                each for each in (value if given else waiting.pop(0)).split(":") if each
            ]
        elif word in {"-T", "--run-startup-triggers"}:
            options.replay = True
        elif re.fullmatch(r"-[vq]+|--verbose|--quiet", word):
            options.remarks.append(
                note(path, f"{word} is left out: system.log_level is for that here", line)
            )
        else:
            options.remarks.append(warn(path, f"option {word!r} is unknown and left out", line))


# --- trees -----------------------------------------------------------------------------------------


def _look_at_trees(roots: Sequence[str]) -> Iterator[Remark]:
    """Yield what is to be said of each script: the first root that has a good one of a name wins."""
    for state in _STATES:
        taken: dict[str, str] = {}
        for root in roots:
            for path in list_scripts(f"{root}/{state}.d", leftovers=True):
                yield from _look_at_script(path, state, taken)
    for root in roots:
        for state in list_states(root):
            if state not in _STATES and list_scripts(f"{root}/{state}.d"):
                yield note(
                    f"{root}/{state}.d",
                    "is no state of it, so its scripts ran never, and don't here",
                )


def _look_at_script(path: str, state: str, taken: dict[str, str]) -> Iterator[Remark]:
    """taken: by name what runs already."""
    name = os.path.basename(path)
    kind = "administrative" if state in _ADMINISTRATIVE else "operational"
    if state == "missing":
        yield warn(path, "never runs: no link has the state missing here; one that goes is linger")
    elif name in taken:
        yield note(path, f"does not run, there neither: {taken[name]} comes before it")
    elif fault := _find_strict_fault(path):
        yield note(path, f"does not run, there neither: {fault}")
    elif fault := find_fault(path):
        yield warn(path, f"ran there and is skipped here: {fault}")
    else:
        taken[name] = path
        yield note(
            path, f"runs when the {kind} state becomes {state}, as netevd-script; there as root"
        )
        yield from look(path, CONVENTION)


def _find_strict_fault(path: str) -> str:
    """Return why it refused this file itself, "" when it took it: modes had to be exactly these."""
    try:
        above, script = os.lstat(os.path.dirname(path)), os.stat(path)
    except OSError as error:
        return f"it can't be looked at: {error.strerror}"
    for what, status in (("its directory", above), ("it", script)):
        mode = stat.S_IMODE(status.st_mode)
        if (mode, status.st_uid, status.st_gid) != (0o755, 0, 0):
            found = f"mode {mode:04o}, uid {status.st_uid}, gid {status.st_gid}"
            return f"{what} has {found}, where 0755, root and root is asked for"
    return "" if stat.S_ISREG(script.st_mode) else "it is not a regular file"
