"""
Which scripts there are, for commands that run none: as the daemon's runner lists them, or as taken.

Whether a file may be run is the runner's to say, here as in the daemon; nothing of that is repeated.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from netevd.cli.failure import Failure
from netevd.cli.output import say
from netevd.cli.trials.answers import Entry, Identity, Problems
from netevd.cli.trials.once import Once, show_problems
from netevd.config.identities import Identities
from netevd.model.event import EventType
from netevd.model.inputs import Hook
from privsep.protocol import escape


class ScriptTable(NamedTuple):
    """Every script file, in running order."""

    hooks: tuple[Hook, ...]
    checked_for: str
    """Name of the user that the files were checked for, "" where they were not checked."""
    observe: bool
    """That is the caller, who can't or would not change users."""


USER_MAY_NOT: Final = "the script user"
"""How the verdict begins on a file that the user it was checked for may not execute. Source: privsep/scripts.py."""


def clear(entry: Entry, identities: Identities) -> Entry:
    """
    Return what is to be thought of a file that was checked for scripts.user.

    Whether another tree's own user may execute its file, only that user's runner can tell.
    """
    if identities.trees.get(entry.tree) and entry.reason.startswith(USER_MAY_NOT):
        return msgspec.structs.replace(entry, runnable=True, reason="")
    return entry


def list_scripts(config: str | None, identities: Identities, *, observe: bool) -> ScriptTable:
    """Return the scripts as the runner lists them. Raises: Failure."""
    hooks: list[Hook] = []
    identity: Identity | None = None
    with Once(None, config=config, observe=observe) as answers:
        for answer in answers:
            match answer:
                case Problems(problems=problems):
                    raise show_problems(problems)
                case Identity():
                    identity = answer
                case Entry():
                    found = clear(answer, identities)
                    hooks.append(Hook(
                        len(hooks) + 1, found.event, found.name, found.path, found.runnable, found.reason,
                        found.tree,
                    ))  # fmt: skip
                case _:
                    continue
    if identity is None:  # the process has said why
        raise Failure("the scripts could not be listed as the daemon does; see above")
    if identity.observe and not observe:
        say(
            f"scripts were checked for the caller, {identity.user}; a daemon started as root differs"
        )
    return ScriptTable(tuple(hooks), identity.user, identity.observe)


def take_scripts(directories: Sequence[str], root: str) -> ScriptTable:
    """
    Return the executable files of directories laid out like `root`, as if they stood there.

    Nobody's ownership is checked. Of files of the same name the first one counts. Raises: OSError.
    """
    hooks: list[Hook] = []
    for directory in directories:
        os.listdir(directory)  # one that is not there is a mistake
    for kind in EventType:
        names: dict[bytes, None] = {}
        for directory in directories:
            below = os.path.join(os.fsencode(directory), f"{kind.value}.d".encode())
            if os.path.isdir(below):
                names |= dict.fromkeys(each for each in os.listdir(below) if _runs(below, each))
        for raw in sorted(names):
            name = escape(os.fsdecode(raw))
            path = f"{root}/{kind.value}.d/{name}"
            hooks.append(Hook(len(hooks) + 1, kind.value, name, path, runnable=True, reason=""))
    return ScriptTable(tuple(hooks), "", observe=False)


def _runs(directory: bytes, name: bytes) -> bool:
    path = os.path.join(directory, name)
    return not name.startswith(b".") and os.path.isfile(path) and os.access(path, os.X_OK)
