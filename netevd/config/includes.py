"""Includes: which files belong to a configuration, and how their trees become one."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from netevd.config.expand import expand
from netevd.config.tree import Place, Problem, Tree, Unreadable, parse, read_file

FILE_LIMIT: Final = 256
"""Files of one configuration at most."""

APPENDED: Final = frozenset(
    {("scripts", "rules"), ("filters",), ("debounce", "overrides"), ("security", "allowed_signers")}
)
"""Lists that grow with each file; any other is replaced."""


@frozen(slots=True)
class File:
    """One file of a configuration as it was read."""

    path: str
    content: bytes


def read_all(
    path: str,
    environment: Mapping[str, str],
    problems: list[Problem],
    given: bytes | None = None,
) -> tuple[Tree, tuple[File, ...]]:
    """
    Return one tree of a file and all it includes, and the files; problems are added to the list.

    given: what to read instead of the first file's content.
    """
    reader = _Reader(environment, problems, given)
    return reader.read(os.path.abspath(path), ()), tuple(reader.files)


class _Reader:
    def __init__(
        self, environment: Mapping[str, str], problems: list[Problem], given: bytes | None
    ) -> None:
        self._environment = environment
        self._problems = problems
        self._given = given
        self._count = 0
        self.files: list[File] = []

    def read(self, path: str, chain: tuple[str, ...]) -> Tree:
        """Return the tree of a file; `chain` are the files that include it."""
        empty = Tree(Place(path), {})
        self._count += 1
        if self._count > FILE_LIMIT:
            self._problems.append(Problem(Place(path), f"more than {FILE_LIMIT} files"))
            return empty
        try:
            content = read_file(path) if chain or self._given is None else self._given
            self.files.append(File(path, content))
            tree = parse(content, path)
        except Unreadable as unreadable:
            self._problems.extend(unreadable.problems)
            return empty
        if tree is None or tree.value is None:
            return empty
        if not isinstance(tree.value, dict):
            self._problems.append(
                Problem(tree.place, f"expected keys such as 'network:', found {tree.kind}")
            )
            return empty
        tree = expand(tree, self._environment, self._problems)
        assert isinstance(tree.value, dict)
        _, include = tree.value.pop("include", (None, None))
        if include is None:
            return tree
        for place, included in self._find(include, path):
            if included in (*chain, path):
                cycle = " -> ".join((*chain, path, included))
                self._problems.append(Problem(place, f"a cycle of includes: {cycle}"))
            else:
                tree = merge(tree, self.read(included, (*chain, path)))
        return tree

    def _find(self, include: Tree, path: str) -> list[tuple[Place, str]]:
        """Return the files that an include names, in order, each with its place."""
        if include.value is None:
            return []
        wanted = include.value if isinstance(include.value, list) else [include]
        found: list[tuple[Place, str]] = []
        for entry in wanted:
            if not isinstance(entry, Tree) or not isinstance(entry.value, str) or not entry.value:
                place = entry.place if isinstance(entry, Tree) else include.place
                self._problems.append(Problem(place, "expected a path or a list of paths"))
                continue
            pattern = os.path.join(os.path.dirname(path), entry.value)
            if glob.has_magic(entry.value):
                found += [(entry.place, name) for name in sorted(glob.glob(pattern))]
            elif os.path.lexists(pattern):
                found.append((entry.place, os.path.normpath(pattern)))
            else:
                self._problems.append(
                    Problem(entry.place, f"included file {pattern} does not exist")
                )
        return found


def merge(first: Tree, second: Tree, path: tuple[str, ...] = ()) -> Tree:
    """
    Return one tree of two: mappings merge, some lists are appended, of anything else the second wins.

    path: keys that lead to the two.
    """
    if second.value is None or (second.value == {} and isinstance(first.value, dict)):
        return first
    if path in APPENDED and isinstance(first.value, list) and isinstance(second.value, list):
        return Tree(first.place, [*first.value, *second.value])
    if not (isinstance(first.value, dict) and isinstance(second.value, dict)):
        return second
    merged = dict(first.value)
    for name, (place, child) in second.value.items():
        known = merged.get(name)
        both = child if known is None else merge(known[1], child, (*path, name))
        merged[name] = (place, both)
    return Tree(first.place, merged)
