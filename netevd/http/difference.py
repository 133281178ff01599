"""What another configuration would change."""

from __future__ import annotations

import difflib
from typing import Any, TypedDict

import attrs
import msgspec

from netevd.config.hiding import hide
from netevd.config.sealed import Sealed
from netevd.model.answers import ChangeObject


class Difference(TypedDict):
    """What would change: settings, and the text of the main file."""

    changes: list[ChangeObject]
    count: int
    diff: str


def show_difference(before: Sealed, after: Sealed) -> Difference:
    """Return which settings would change, and how the text of the file would."""
    olds, news = _flatten(before.configuration), _flatten(after.configuration)
    changes: list[ChangeObject] = [
        {"key": name, "before": hide(olds[name], name), "after": hide(news[name], name)}
        for name in olds
        if olds[name] != news[name]
    ]
    old, new = (
        each.origins.text.decode("utf-8", "replace").splitlines(keepends=True)
        for each in (before, after)
    )
    path = before.origins.path
    lines = difflib.unified_diff(old, new, path, f"{path} (new)")
    diff = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
    return {"changes": changes, "count": len(changes), "diff": diff}


def _flatten(section: Any, above: str = "") -> dict[str, Any]:
    """Return each setting by its dotted name; a list is one."""
    found: dict[str, Any] = {}
    for each in attrs.fields(type(section)):
        value = getattr(section, each.name)
        if attrs.has(type(value)):
            found |= _flatten(value, f"{above}{each.name}.")
        else:
            found[above + each.name] = _strip(msgspec.to_builtins(value))
    return found


def _strip(value: Any) -> Any:
    """Return a value without the places where filters are written, which move with every line."""
    if isinstance(value, dict):
        return {name: _strip(each) for name, each in value.items() if name != "origin"}
    return [_strip(each) for each in value] if isinstance(value, list) else value
