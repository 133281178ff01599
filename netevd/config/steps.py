"""
How a tree is changed whose keys are called otherwise today: a value moves, comes or goes.

A value that moves keeps the place where it is written, so that what is wrong with it is told there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, assert_never

from attrs import frozen

from netevd.config.tree import Place, Tree

Keys: TypeAlias = tuple[str, ...]
"""Keys down to a value; in lists the index is one."""


@frozen(slots=True)
class Move:
    """What stands at one key is read at another one, at which nothing stands."""

    source: Keys
    target: Keys


@frozen(slots=True)
class Put:
    """Something is read that is not written there, instead of whatever is."""

    target: Keys
    tree: Tree
    """With the place of what brings it about."""


@frozen(slots=True)
class Drop:
    """Something that is written is not read."""

    source: Keys


Step: TypeAlias = Move | Put | Drop


def find(tree: Tree, keys: Keys) -> tuple[Place, Tree] | None:
    """Return where the last of these keys is written and what stands there; None: it is not there."""
    found: tuple[Place, Tree] = (tree.place, tree)
    for key in keys:
        inner = found[1].value
        if isinstance(inner, dict) and key in inner:
            found = inner[key]
        elif isinstance(inner, list) and key.isdigit() and int(key) < len(inner):
            child = inner[int(key)]
            found = (child.place, child)
        else:
            return None
    return found


def apply(tree: Tree, steps: Iterable[Step]) -> None:
    """
    Change a tree, step by step. Elements of lists keep their numbers until all is done.

    What has no room, since something else than a mapping stands above, is left out: that is a problem
    of its own, and told by who reads that.
    """
    gone: list[Keys] = []
    for step in steps:
        match step:
            case Move(source, target):
                found = _take(tree, source)
                if found is not None:
                    _put(tree, target, found)
            case Put(target, put):
                _put(tree, target, (put.place, put))
            case Drop(source) if source[-1].isdigit():
                gone.append(source)
            case Drop(source):
                _take(tree, source)
            case _:
                assert_never(step)
    for keys in sorted(gone, key=_count, reverse=True):
        above = find(tree, keys[:-1])
        if above is not None and isinstance(above[1].value, list):
            del above[1].value[int(keys[-1])]


def _count(keys: Keys) -> tuple[Keys, int]:
    return keys[:-1], int(keys[-1])


def _take(tree: Tree, keys: Keys) -> tuple[Place, Tree] | None:
    above = find(tree, keys[:-1])
    if above is None or not isinstance(above[1].value, dict):
        return None
    return above[1].value.pop(keys[-1], None)


def _put(tree: Tree, keys: Keys, found: tuple[Place, Tree]) -> None:
    inner = tree.value
    for key in keys[:-1]:
        if isinstance(inner, list) and key.isdigit() and int(key) < len(inner):
            inner = inner[int(key)].value
            continue
        if not isinstance(inner, dict):
            return
        if key not in inner or inner[key][1].value is None:
            inner[key] = (found[0], Tree(found[0], {}))
        inner = inner[key][1].value
    if isinstance(inner, dict):
        inner[keys[-1]] = found
