"""
The table of scripts, and whether a file and every directory above it may be trusted.

The rule: whoever could write the file, or exchange any element of its path, could run programs as
the script user; so all of it belongs to root (or to the caller in observe mode) and nobody else may
write. It is checked when the table is read and again just before each exec.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from privsep import trees
from privsep.launch import Tree
from privsep.protocol import Entries, Entry, escape
from privsep.signatures import Verifier
from privsep.trees import CONVENTIONS

LINK_LIMIT: Final = 40
"""Symbolic links on the way to a file at most. Source: MAXSYMLINKS, linux/namei.h."""
TABLE_LIMIT: Final = 4096
"""Files looked at in one scan; a directory with more is a mistake, and said to be one."""
PART_BYTES: Final = 100_000
"""Size of one message of the table, well below the packet limit."""
MASK: Final = "/dev/null"
MASKED: Final = "it is masked: a link to /dev/null"
LEFTOVERS: Final = (
    "~", ".bak", ".orig", ".rej", ".swp", ".tmp", ".rpmsave", ".rpmorig", ".rpmnew",
    ".dpkg-old", ".dpkg-dist", ".dpkg-new", ".dpkg-tmp", ".dpkg-bak", ".ucf-old", ".ucf-dist",
    ".ucf-new", ".disabled",
)  # fmt: skip
"""Ends of names that editors and package tools leave behind."""


def read_uid_map() -> list[range]:
    """Return the uids that exist here. Source: user_namespaces(7)."""
    with open("/proc/self/uid_map", encoding="ascii") as lines:
        ranges = [[int(word) for word in line.split()] for line in lines]
    return [range(first, first + count) for first, _, count in ranges]


def maps_all_users() -> bool:
    """Tell whether every uid there is exists here too."""
    return sum(map(len, read_uid_map())) >= 2**32 - 1


def trusted_owners(*, observe: bool) -> frozenset[int]:
    """
    Return the uids that may own scripts and the directories above them.

    In observe mode the caller, and, in a user namespace, owners from outside it: they show as the
    overflow uid there and nobody inside can act as them. Source: user_namespaces(7).
    """
    if not observe:
        return frozenset({0})
    owners = {0, os.getuid()}
    if not maps_all_users():
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as overflow:
            owners.add(int(overflow.read()))
    return frozenset(owners)


def find_fault(path: str, owners: frozenset[int], *, script: bool = True) -> str:
    """
    Return why this file must not be trusted, and a script not be run, or "" when it may.

    Follows symbolic links element by element, so that the directory of each link and each target
    is held to the same rule. Blocks on nothing: it opens no file.
    """
    seen = ""  # what was checked so far, without the last slash: "" is the root
    waiting = [part for part in reversed(path.split("/")) if part]
    links = 0
    try:
        status = os.lstat("/")
        while True:
            if fault := _directory_fault(seen or "/", status, owners):
                return fault
            while waiting:
                part = waiting.pop()
                if part == "..":
                    seen = seen.rpartition("/")[0]
                elif part != ".":
                    break
            else:
                return "it is a directory, not a file"
            here = f"{seen}/{part}"
            status = os.lstat(here)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > LINK_LIMIT:
                    return f"{escape(path)} goes through more than {LINK_LIMIT} symbolic links"
                target = os.readlink(here)
                seen = "" if target.startswith("/") else seen
                waiting.extend(part for part in reversed(target.split("/")) if part)
                status = os.lstat(seen or "/")
            elif waiting or stat.S_ISDIR(status.st_mode):
                seen = here
            else:
                return _file_fault(here, status, owners, script=script)
    except FileNotFoundError:
        return "it is not there" if not links else "it is a link to something that is not there"
    except OSError as error:
        return f"it can't be checked: {error.strerror}"


def _directory_fault(path: str, status: os.stat_result, owners: frozenset[int]) -> str:
    mode = status.st_mode
    if not stat.S_ISDIR(mode):
        return f"{escape(path)} is not a directory"
    if status.st_uid not in owners:
        owner, name = status.st_uid, escape(path)
        return f"its directory {name} belongs to uid {owner}, expected {_say(owners)}"
    if mode & 0o022 and not mode & stat.S_ISVTX:  # sticky: only owners can exchange elements
        name, fault = escape(path), f"is writable by {_writers(mode)}"
        return f"its directory {name} {fault}; mend it with: chmod go-w {name}"
    return ""


def _file_fault(path: str, status: os.stat_result, owners: frozenset[int], *, script: bool) -> str:
    name = escape(path)
    if not stat.S_ISREG(status.st_mode):
        return f"it is {_kind(status.st_mode)}, not a regular file"
    if status.st_uid not in owners:
        return f"it belongs to uid {status.st_uid}, expected {_say(owners)}"
    if status.st_mode & 0o022:
        return f"it is writable by {_writers(status.st_mode)}; mend it with: chmod go-w {name}"
    if script and not status.st_mode & 0o111:
        return f"it is not executable; mend it with: chmod +x {name}"
    if script and not os.access(path, os.X_OK, effective_ids=True):
        user = f"the script user (uid {os.geteuid()})"
        return f"{user} may not execute it, or not enter its directory"
    return ""


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device", stat.S_IFDIR: "a directory",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")


def _writers(mode: int) -> str:
    names = [("group", stat.S_IWGRP), ("others", stat.S_IWOTH)]
    return " and ".join(name for name, bit in names if mode & bit)


def _say(owners: Iterable[int]) -> str:
    return " or ".join("root" if uid == 0 else f"uid {uid}" for uid in sorted(owners))


def is_leftover(name: str) -> bool:
    """Tell whether a file name is hidden, or one that an editor or package tool left behind."""
    return name.startswith((".", "#")) or name.endswith(LEFTOVERS)


class Table:
    """The script files of all event directories and trees, each with a number and a verdict."""

    def __init__(
        self, roots: list[str], events: list[str], owners: frozenset[int], only: Iterable[str] = (),
        *, forest: Sequence[Tree] = (), verifier: Verifier | None = None,
    ) -> None:  # fmt: skip
        """
        roots: the first wins over the later ones. events: names of the directories `T.d`. only:
        paths of the only files to take up, none for all. forest: trees of other dispatchers.
        verifier: None if nothing need be signed.
        """
        self.verifier = verifier
        self._roots = {"": roots, **{tree.kind: tree.roots for tree in forest}}
        """By kind of the tree, "" for netevd's own."""
        self._groups = [("", event) for event in events]
        for tree in forest:
            self._groups += [(tree.kind, each) for each in CONVENTIONS[tree.kind].groups]
        self._owners = owners
        self._only = frozenset(only)
        self._numbers: dict[tuple[str, str, str, int, int], int] = {}
        """Tree, group, path, inode and time of change: a changed file is another one."""
        self._last = 0
        self.entries: list[Entry] = []
        self.paths: dict[int, tuple[str, str]] = {}
        """Of each entry tree and path."""
        self._told: set[tuple[str, str]] = set()

    def directories(self) -> list[str]:
        """Return every directory that scripts may stand in, existing or not, or a root may appear."""
        roots = [root for each in self._roots.values() for root in each]
        found = [place for each in self._groups for place, _ in self._list_places(*each)]
        return [*map(_find_existing, roots), *roots, *found]

    def scan(self) -> bool:
        """Read all directories again; tell whether the table is another one now."""
        entries = [entry for group in self._groups for entry in self._scan_group(*group)]
        if len(entries) > TABLE_LIMIT:
            entries = entries[:TABLE_LIMIT]
        changed = entries != self.entries
        present = {entry.id for entry in entries}
        self._numbers = {key: id_ for key, id_ in self._numbers.items() if id_ in present}
        self.paths = {id_: (key[0], key[2]) for key, id_ in self._numbers.items()}
        self.entries = entries
        return changed

    def take_single(self, event: str, path: str) -> bool:
        """Make one file the whole table, whatever directory it stands in; True: it changed."""
        self.entries = [self._judge("", event, os.path.basename(path), path)]
        self.paths = {self.entries[0].id: ("", path)}
        return True

    def take_unknown(self) -> list[tuple[str, str]]:
        """
        Return path and reason of each file that is newly not to be run where all must be signed.

        A runner of single scripts has none: what it sees, the one of scripts without a rule sees too.
        """
        known = self.entries if self.verifier and not self._only else ()
        found = {(each.path, each.reason) for each in known if each.reason not in {"", MASKED}}
        new, self._told = found - self._told, found
        return sorted(new)

    def parts(self) -> list[Entries]:
        """Return the table as messages that fit into packets."""
        parts: list[list[Entry]] = [[]]
        size = 0
        for entry in self.entries:
            size += 64 + 4 * (len(entry.path) + len(entry.reason) + len(entry.name))
            if size > PART_BYTES:
                parts.append([])
                size = 0
            parts[-1].append(entry)
        return [Entries(part, more=part is not parts[-1]) for part in parts]

    def find_fault(self, id_: int) -> tuple[str, str, str]:
        """Return tree and path of an entry and why it must not be run now, "" when it may."""
        kind, path = self.paths.get(id_, ("", ""))
        fault = self._find_fault(kind, path) if path else "it is not in the table any more"
        return kind, path, fault

    def build_arguments(self, id_: int, words: list[str]) -> list[str]:
        """Return what is executed for an entry. Raises: ValueError, when it is not called so."""
        kind, path = self.paths[id_]
        parts = [[each.path for each in part] for part in self._list_sourced(kind)]
        return trees.build_arguments(kind, path, words, parts)

    def _list_sourced(self, kind: str) -> list[list[Entry]]:
        """Return the files of each group of a tree that one shell sources, without those that it skips."""
        groups = CONVENTIONS[kind].groups if CONVENTIONS[kind].wrapper else {}
        parts = [self._scan_group(kind, each) for each, place in groups.items() if place]
        return [[each for each in part if each.runnable] for part in parts]

    def _list_places(self, kind: str, group: str) -> Iterator[tuple[str, list[str]]]:
        for root in self._roots[kind]:
            directory, names = trees.list_place(CONVENTIONS[kind], group, root)
            yield directory, [name for name in names if kind or not is_leftover(name)]

    def _scan_group(self, kind: str, group: str) -> list[Entry]:
        found: dict[bytes, list[str]] = {}
        for directory, names in self._list_places(kind, group):
            for name in names:
                found.setdefault(os.fsencode(name), []).append(f"{directory}/{name}")
        entries: list[Entry] = []
        for raw in sorted(found):  # bytewise, so that the order does not depend on a locale
            for path in found[raw]:
                if kind or not self._only or path in self._only:
                    entries.append(self._judge(kind, group, os.fsdecode(raw), path))
                if not (CONVENTIONS[kind].exact and entries[-1].reason):
                    break
        return [each for each in entries if each.name or each.runnable]

    def _find_fault(self, kind: str, path: str) -> str:
        convention = CONVENTIONS[kind]
        if convention.wrapper and path.endswith("/"):
            return "" if any(self._list_sourced(kind)) else "it has no file that may be sourced"
        if os.path.realpath(path) == MASK:
            return MASKED
        fault = find_fault(path, self._owners, script=not convention.wrapper)
        return fault or trees.find_fault(kind, path, self._owners)

    def _judge(self, kind: str, group: str, name: str, path: str) -> Entry:
        reason = self._find_fault(kind, path)
        reason = reason or (self.verifier.find_fault(path) if self.verifier else "")
        try:
            status = os.stat(path)
            key = (kind, group, path, status.st_ino, status.st_mtime_ns)
        except OSError:
            key = (kind, group, path, 0, 0)
        if key not in self._numbers:
            self._last += 1
            self._numbers[key] = self._last
        if CONVENTIONS[kind].masks and trees.is_no_wait(path):
            group += trees.NO_WAIT
        shown = (escape(name)[:4096], escape(path)[:4096])
        return Entry(self._numbers[key], group, *shown, not reason, reason[:4096], kind)


def _find_existing(path: str) -> str:
    """Return a directory, or the one above it in which what is missing may appear."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
