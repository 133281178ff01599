"""Steps of a change, taken in a sheet: keys take their comments with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from netevd.cli.migrations.sheet import (
    Entry,
    Group,
    NotUnderstood,
    Raw,
    Sheet,
    open_flow,
    write_value,
)
from netevd.config.steps import Drop, Keys, Move, Put, Step


def rewrite(sheet: Sheet, steps: Iterable[Step]) -> list[str]:
    """
    Change a sheet as `netevd.config.steps.apply` changes a tree; return the comments that went with
    what is gone. Raises: NotUnderstood.
    """
    gone: list[Keys] = []
    lost: list[str] = []
    for step in steps:
        match step:
            case Move(source, target):
                _move(sheet, source, target)
            case Put(target, tree):
                _put(sheet, target, write_value(tree.plain()))
            case Drop(source) if source[-1].isdigit():
                gone.append(source)
            case Drop(source):
                lost += _drop(sheet, source)
            case _:
                assert_never(step)
    for keys in sorted(gone, key=lambda each: (each[:-1], int(each[-1])), reverse=True):
        lost += _drop(sheet, keys)
    return lost


def _find(sheet: Sheet, keys: Keys) -> Group | None:
    """Return the group at these keys, taken apart if it is in braces."""
    group = sheet.root
    for key in keys:
        index = group.index(key)
        found = None if index is None else open_flow(group.entries[index])
        if found is None:
            return None
        group = found
    return group


def _move(sheet: Sheet, source: Keys, target: Keys) -> None:
    above = _find(sheet, source[:-1])
    index = None if above is None else above.index(source[-1])
    if above is None or index is None:
        return
    entry = above.entries[index]
    if source[:-1] == target[:-1]:
        entry.name = entry.key = target[-1]
        return
    del above.entries[index]
    entry.name = entry.key = target[-1]
    into = _make(sheet, target[:-1], source, index)
    if not above.entries:
        entry.before = [*_take_headings(sheet, source[:-1]), *entry.before]
    if into.entries:
        while entry.before and not entry.before[0]:
            del entry.before[0]
    into.entries.append(entry)


def _make(sheet: Sheet, keys: Keys, source: Keys, index: int) -> Group:
    """Return the group at these keys; what of it is not there comes where `source` stands."""
    group = sheet.root
    for depth, key in enumerate(keys):
        found = group.index(key)
        if found is None:
            entry = Entry(key, key, Group())
            at = len(group.entries)
            if source[:depth] == keys[:depth]:
                here = group.index(source[depth])
                if here is not None:  # it takes the place, and the comments, of what it comes from
                    old, at = group.entries[here], here
                    entry.before, old.before = old.before, []
                    entry.after, old.after = old.after, ""
                else:
                    at = index
            group.entries.insert(at, entry)
            found = at
        inner = open_flow(group.entries[found])
        if inner is None or inner.is_list != "".join(keys[depth + 1 : depth + 2]).isdigit():
            raise NotUnderstood(f"{key} is no mapping")
        group = inner
    return group


def _take_headings(sheet: Sheet, keys: Keys) -> list[str]:
    """Return the comments of groups that hold nothing any more, the outermost first."""
    taken: list[str] = []
    for depth in range(len(keys), 0, -1):
        above = _find(sheet, keys[: depth - 1])
        index = None if above is None else above.index(keys[depth - 1])
        if above is None or index is None:
            break
        entry = above.entries[index]
        taken = [*entry.take_comment(), *taken]
        if len(above.entries) > 1:
            break
    return taken


def _put(sheet: Sheet, keys: Keys, text: str) -> None:
    group = _make(sheet, keys[:-1], keys, len(sheet.root.entries))
    index = group.index(keys[-1])
    if index is None:
        group.entries.append(Entry(keys[-1], keys[-1], Raw(text)))
    else:
        group.entries[index].value = Raw(text)


def _drop(sheet: Sheet, keys: Keys) -> list[str]:
    """Take an entry away; comments above it that an empty line sets apart stay."""
    above = _find(sheet, keys[:-1])
    index = None if above is None else above.index(keys[-1])
    if above is None or index is None:
        return []
    entry = above.entries.pop(index)
    lost = [*entry.take_comment(), *_list_comments(entry)]
    if index < len(above.entries):
        rest = above.entries[index].before
        rest[:0] = entry.before
    elif above is sheet.root:
        sheet.tail[:0] = entry.before
    else:
        lost += [line for line in entry.before if line]
    if len(keys) > 1 and not above.entries and not keys[-2].isdigit():
        lost += _drop(sheet, keys[:-1])  # nothing is left in it
    return lost


def _list_comments(entry: Entry) -> list[str]:
    """Return the comments within a value."""
    if isinstance(entry.value, Raw):
        return []
    found: list[str] = []
    for each in entry.value.entries:
        found += [line for line in each.before if line]
        found += [each.after.strip()] if each.after else []
        found += _list_comments(each)
    return found
