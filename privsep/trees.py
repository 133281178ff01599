"""
Trees of other dispatchers: which files each convention has, what a file has to be, how it is called.

Data, and the checks that go beyond those of every script (`scripts.find_fault`, which come first).
What a script may be called with is decided here and in `variables`; when, by the worker.
Source: docs/compatibility.md.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final, NamedTuple

from privsep.protocol import escape
from privsep.variables import is_ifname

NO_WAIT: Final = "-no-wait"
"""End of the group of what is started beside everything else."""
_RUN_PARTS: Final = r"[A-Za-z0-9_-]+"
"""Names that are run. Source: run-parts(8)."""
_NO_LEFTOVERS: Final = r"(?s)(?!\.)(?!.*(~|\.rpmsave|\.rpmorig|\.rpmnew|\.swp)\Z)(?!.*\.dpkg-).+"
_STATES: Final = "carrier configured configuring degraded degraded-carrier dormant enslaved failed initialized linger missing no-carrier off pending routable unmanaged"
_ACTIONS: Final = frozenset(
    "pre-up up pre-down down vpn-pre-up vpn-up vpn-pre-down vpn-down hostname dhcp4-change dhcp6-change"
    " connectivity-change reapply dns-change device-add device-delete in out probe".split()
)


class Convention(NamedTuple):
    """What is the same in every tree of one kind."""

    groups: dict[str, str]
    """Groups of files that run together, each with its place below a root: a file, or a directory/.
    No place: the one entry that stands for all files that one shell sources."""
    names: str = _RUN_PARTS
    """Pattern of the names of files that are looked at."""
    called: bool = False
    """Whether it has two arguments, an interface and what happened."""
    exact: bool = False
    """File and directory are 0755 root:root; a file that is not gives way to the next root's."""
    masks: bool = False
    """An empty file masks one of its name in later roots; setuid is refused; the owner executes."""
    wrapper: str = ""
    """Script of this package that sources the files."""
    marked: bool = True
    """Whether its environment may hold the run's marker."""

    def takes(self, directory: str, name: str) -> bool:
        """Tell whether a file of a directory is looked at."""
        taken = re.fullmatch(self.names, name) is not None
        return taken and not (self.groups and os.path.isdir(f"{directory}/{name}"))


CONVENTIONS: Final = {
    "": Convention({}, "(?s).+"),
    "networkd-dispatcher": Convention({each: f"{each}.d/" for each in _STATES.split()}, "(?s).+", exact=True),
    "networkmanager": Convention(
        {"dispatcher": "./", "pre-up": "pre-up.d/", "pre-down": "pre-down.d/"},
        _NO_LEFTOVERS, called=True, masks=True, marked=False,
    ),
    "ifupdown": Convention({f"if-{each}": f"if-{each}.d/" for each in ("pre-up", "up", "down", "post-down")}),
    "ifplugd": Convention({"action": "ifplugd.action", "actions": "action.d/"}, called=True),
    "netplug": Convention({"netplug": "netplug"}, called=True),
    "dhclient-hooks": Convention(
        {"chain": "", "enter": "dhclient-enter-hooks", "enter-d": "dhclient-enter-hooks.d/",
         "exit": "dhclient-exit-hooks", "exit-d": "dhclient-exit-hooks.d/"},
        wrapper="dhclient-hooks.sh",
    ),
}  # fmt: skip
"""By the word that a tree is called by everywhere, "" for netevd's own."""


def list_place(convention: Convention, group: str, root: str) -> tuple[str, list[str]]:
    """Return the directory of a group below a root, with the names of its files."""
    place = convention.groups.get(group, f"{group}.d/")
    if not place.endswith("/"):
        return root, [place] * os.path.lexists(f"{root}/{place}")
    directory = os.path.normpath(f"{root}/{place}")
    try:
        names = os.listdir(directory)
    except OSError:
        names = []
    return directory, [each for each in names if convention.takes(directory, each)]


def find_fault(kind: str, path: str, owners: frozenset[int]) -> str:
    """Return why a file that passes the check of every script is none for its dispatcher, "" if it is."""
    convention, above = CONVENTIONS[kind], os.path.dirname(path)
    try:
        status, directory = os.stat(path), os.lstat(above)
    except OSError as error:
        return f"it can't be checked: {error.strerror}"
    for name, each in ((above, directory), (path, status)) if convention.exact else ():
        mode, uid, gid = stat.S_IMODE(each.st_mode), each.st_uid, each.st_gid
        if mode != 0o755 or uid not in owners or (gid and owners == {0}):
            found = f"{escape(name)} has mode {mode:04o} and owner {uid}:{gid}"
            return f"{found}, {kind} wants exactly 0755 and root:root"
    if convention.wrapper and not os.access(path, os.R_OK, effective_ids=True):
        return f"the script user (uid {os.geteuid()}) may not read it"
    if convention.masks and not status.st_size:
        return "it is masked: an empty file"
    if convention.masks and (status.st_mode & stat.S_ISUID or not status.st_mode & stat.S_IXUSR):
        return f"its owner may not execute it, or it is setuid; mend it with: chmod u=rwx {escape(path)}"
    return ""


def is_no_wait(path: str) -> bool:
    """Tell whether a file is a link into a directory of what waits for nothing."""
    return os.path.islink(path) and os.path.dirname(os.path.realpath(path)).endswith("/no-wait.d")


def build_arguments(kind: str, path: str, words: list[str], parts: list[list[str]]) -> list[str]:
    """
    Return what is executed, with its arguments. Raises: ValueError, with the reason.

    parts: the files of each group that are sourced, where one shell sources all of them.
    """
    convention = CONVENTIONS[kind]
    right = len(words) == 2 and (not words[0] or is_ifname(words[0])) and words[1] in _ACTIONS
    if not (right if convention.called else not words):
        raise ValueError(f"{kind or 'netevd'} calls no script with {escape(repr(words))[:200]}")
    if not convention.wrapper:
        return [path, *words]
    wrapper = os.path.join(os.path.dirname(__file__), convention.wrapper)
    return ["/bin/sh", wrapper, *(word for part in parts for word in (*part, "--"))]
