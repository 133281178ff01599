"""Which links a list of patterns names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def watches(
    patterns: Sequence[str], name: str, altnames: Sequence[str] = (), *, loopback: bool = False
) -> bool:
    """
    Tell whether a link of this name, or one of these alternative names, is watched.

    A pattern that begins with "!" excludes; given only such ones, all others are watched. A loopback
    link (or one called lo) counts only when a pattern without glob characters is its name.
    """
    names = (name, *altnames)
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if any(fnmatchcase(known, pattern) for known in names for pattern in excluded):
        return False
    if loopback or name == "lo":
        return any(known in wanted for known in names)
    return not wanted or any(fnmatchcase(known, pattern) for known in names for pattern in wanted)
