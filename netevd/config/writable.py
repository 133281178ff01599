"""
Which settings a configuration may change that is sent over the API; all others stay as they stand.

What is compared is what is written, before variables are expanded and files are merged, so that it
can't come to mean something else later. A setting that is not named here is root's. Whoever adds one
answers: could a worker that was taken over do this anyway? Why so: docs/decisions/0011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from netevd.config.tree import Place, Problem, Tree

Permission: TypeAlias = "bool | Mapping[str, Permission] | tuple[str, ...]"
"""Whether all of it may change; or which keys may; or which keys of the elements of a list."""

WRITABLE: Final[Mapping[str, Permission]] = {
    "system": {"log_level": True, "log_format": True},
    "network": {"links": True, "emit_json": True},
    "script_timeout": True,
    "scripts": {
        "concurrency": True,
        "output_limit": True,
        "initial": True,
        "obsolete": True,
        "pause_after": True,
        "damping": True,
    },
    "routes": True,
    "debounce": True,
    "metrics": {"interfaces": True, "max_series": True},
    "filters": ("match", "action", "scripts"),
}

VARIABLE: Final = re.compile(r"\$\{([^}:]*)")
"""Whatever `expand` could take for a variable; what it would refuse is found too, and does no harm."""

_ADVICE: Final = "over the API it stays as it is; root changes it in the file"


def find_forbidden(before: Tree | None, after: Tree | None, path: str) -> list[Problem]:
    """
    Return a problem for each setting that must not change and does.

    before, after: what stands in the file and what is to stand there, None for nothing. path: of the
    file, for what was left out.
    """
    problems: list[Problem] = []
    _compare(before, after, WRITABLE, ("", Place(path)), problems)
    return sorted(problems)


def find_peeping(before: Tree | None, after: Tree | None, path: str) -> list[Problem]:
    """
    Return a problem for each file and each variable that is only now to be read.

    Reading them already would tell: what a reader may see, a worker may not, and problems and values
    come back to it.
    """
    olds, news = _list_children(before) or {}, _list_children(after) or {}
    problems: list[Problem] = []
    places = {name: place for name, (place, _) in news.items()}
    pair = [each["include"][1] if "include" in each else None for each in (olds, news)]
    where = ("include", places.get("include", Place(path)))
    _compare(pair[0], pair[1], False, where, problems)
    known = {name for name, _ in _find_variables(before)}
    for name, place in _find_variables(after):
        if name not in known:
            message = f"variable {name} does not stand in the file yet; root writes it there first"
            problems.append(Problem(place, message))
    return sorted(problems)


def _find_variables(tree: Tree | None) -> Iterator[tuple[str, Place]]:
    """Yield each variable that a value names, with the place of the value."""
    if tree is None or tree.value is None:
        return
    if isinstance(tree.value, str):
        for name in VARIABLE.findall(tree.value):
            yield name, tree.place
        return
    inner = tree.value
    for child in inner if isinstance(inner, list) else [each for _, each in inner.values()]:
        yield from _find_variables(child)


def _compare(
    before: Tree | None,
    after: Tree | None,
    allowed: Permission,
    where: tuple[str, Place],
    problems: list[Problem],
) -> None:
    """Add the problems of one value. where: its name with those above it; its place, or theirs."""
    if allowed is True:
        return
    olds, news = _list_children(before), _list_children(after)
    if isinstance(allowed, tuple):
        if _list_rests(before, allowed) != _list_rests(after, allowed):
            message = f"{where[0]}: of an element only {', '.join(allowed)} may change; {_ADVICE}"
            problems.append(Problem(where[1], message))
    elif olds is not None and news is not None:
        inner = allowed if isinstance(allowed, Mapping) else {}
        for name in {**olds, **news}:
            place = news[name][0] if name in news else where[1]
            pair = [each[name][1] if name in each else None for each in (olds, news)]
            full = f"{where[0]}.{name}" if where[0] else name
            _compare(pair[0], pair[1], inner.get(name, False), (full, place), problems)
    elif _get_plain(before) != _get_plain(after):
        gone = after is None and before is not None
        message = f"{where[0]} {'is missing' if gone else 'is changed'}; {_ADVICE}"
        problems.append(Problem(where[1], message))


def _list_children(tree: Tree | None) -> dict[str, tuple[Place, Tree]] | None:
    """Return the keys of a mapping, those of none for nothing, None for anything else."""
    if tree is None or tree.value is None:
        return {}
    return tree.value if isinstance(tree.value, dict) else None


def _list_rests(tree: Tree | None, allowed: tuple[str, ...]) -> list[object]:
    """Return what elements of a list hold beside the allowed keys, in order; without empty ones."""
    if tree is None or not isinstance(tree.value, list):
        return [_get_plain(tree)] if _get_plain(tree) is not None else []
    rests: list[object] = []
    for each in tree.value:
        keys = _list_children(each)
        if keys is None:
            rests.append(each.plain())
        elif rest := {name: keys[name][1].plain() for name in keys if name not in allowed}:
            rests.append(rest)
    return rests


def _get_plain(tree: Tree | None) -> object:
    return None if tree is None else tree.plain()
