"""
A configuration as values: from the API's JSON, as a file would have it, and compared with another one.

Units are written as in a file, which the schema's types tell.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any, Final, NamedTuple, TypeAlias

import attrs
import msgspec

from netevd.cli.failure import Failure
from netevd.config import kinds, schema
from netevd.config.hiding import hide
from netevd.config.schema import Configuration

Path: TypeAlias = tuple[str, ...]
"""Keys down to a setting; in lists the index is one."""

_SECONDS: Final = (kinds.Duration, kinds.Interval, kinds.Wait)
_OCTETS: Final = (kinds.Size, kinds.Bytes)
_UNITS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


class Change(NamedTuple):
    """One setting that is not the same."""

    path: Path
    """In the file, where it is there, else in what runs."""
    before: Any
    """None: not given."""
    after: Any
    """None: not given."""


def restore(answer: Mapping[str, Any]) -> Configuration:
    """Return the configuration that the API shows. Raises: Failure."""
    try:
        return msgspec.convert(answer["configuration"], Configuration)
    except (KeyError, msgspec.ValidationError) as error:
        raise Failure(
            f"the daemon's configuration is of another version of netevd: {error}"
        ) from None


def veil(configuration: Configuration) -> Configuration:
    """Return a configuration as the API would show it, without what may be a secret."""
    return restore({"configuration": hide(msgspec.to_builtins(configuration))})


def write(section: object) -> dict[str, Any]:
    """Return a section as a file would have it, without what is not given and what is empty."""
    written = {}
    for name, kind, default in _find_fields(type(section)):
        value = _write(getattr(section, name), kind)
        # some lists may be left out and not be empty; others mean something when they are
        if value is not None and value != {} and not (value == [] and default == ()):
            written[name.rstrip("_")] = value
    return written


def compare(before: object, after: object, above: Path = ()) -> Iterator[Change]:
    """Yield what differs between two sections, setting by setting."""
    for name, kind, _ in _find_fields(type(after)):
        old, new, path = getattr(before, name), getattr(after, name), (*above, name)
        if _write(old, kind) == _write(new, kind):
            continue
        if attrs.has(type(new)):
            yield from compare(old, new, path)
        elif _holds_sections(old) or _holds_sections(new):
            yield from _compare_lists(old, new, path)
        else:
            yield Change(path, _write(old, kind), _write(new, kind))


def _compare_lists(before: Any, after: Any, path: Path) -> Iterator[Change]:
    """Yield entries that are new or gone, and the settings of those that have changed."""
    before, after = before or (), after or ()
    old, new = [write(each) for each in before], [write(each) for each in after]
    matcher = SequenceMatcher(None, [repr(each) for each in old], [repr(each) for each in new])
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            continue
        for offset in range(max(i2 - i1, j2 - j1)):
            i, j = i1 + offset, j1 + offset
            if i < i2 and j < j2:
                yield from compare(before[i], after[j], (*path, str(j)))
            elif j < j2:
                yield Change((*path, str(j)), None, new[j])
            else:
                yield Change((*path, str(i)), old[i], None)


def _holds_sections(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and attrs.has(type(value[0]))


def _find_fields(owner: Any) -> tuple[tuple[str, Any, Any], ...]:
    """Return names, types and defaults of a section's settings."""
    hints = typing.get_type_hints(owner)
    return tuple(
        (each.name, hints[each.name], each.default)
        for each in attrs.fields(owner)
        if hints[each.name] is not schema.Origin
    )


def _write(value: Any, kind: Any) -> Any:
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        kind = next(each for each in typing.get_args(kind) if each is not type(None))
    if value is None:
        return None
    if attrs.has(type(value)):
        return write(value)
    if kind is kinds.MarkAndMask:
        return f"{value[0]:#x}/{value[1]:#x}"
    if kind is kinds.Prefix:
        return value or "any"
    if isinstance(value, tuple):
        entry = (typing.get_args(kind) or (str,))[0]
        return [_write(each, entry) for each in value]
    if kind in _SECONDS:
        return f"{value * 1000:g}ms" if 0 < value < 1 else f"{value:g}s"
    if kind in _OCTETS:
        factor, unit = next((each for each in _UNITS if value and value % each[0] == 0), (1, ""))
        return f"{value // factor}{unit}" if unit else value
    return str(value) if isinstance(value, str) else value
