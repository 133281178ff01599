"""What calls of scripts are made of, in every convention."""

from __future__ import annotations

from attrs import frozen


@frozen(slots=True)
class Occasion:
    """Something that a dispatcher would run scripts for."""

    action: str
    """Its name among those of an event, in the words of the dispatcher."""
    groups: tuple[str, ...]
    """Groups of files that run, in this order. Source: privsep/trees.py."""
    backward: bool = False
    """Whether the files of a group run in the reverse order of their names."""
    delay_s: float = 0.0
    """How long it waits, and comes to nothing if the opposite happens meanwhile."""
    first_only: bool = False
    """Whether of the groups only the first one runs that has a file."""


@frozen(slots=True)
class Call:
    """What a script is called with."""

    words: tuple[str, ...]
    """Arguments."""
    values: tuple[tuple[str, str], ...]
    """All variables but PATH."""
