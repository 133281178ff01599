"""What will differ, and where: the words of a migration beside its configuration."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from netevd.config.tree import Place

Severity: TypeAlias = Literal["note", "warning"]
"""note: it is as it was, or differs as said. warning: something is lost until somebody acts."""


class Remark(NamedTuple):
    """One difference, or one script."""

    place: Place
    """Where it is said there: a file and its line, or a script."""
    severity: Severity
    text: str

    def __str__(self) -> str:
        """Return it as one line for people."""
        place = f"{self.place.file}:{self.place.line}" if self.place.line else self.place.file
        return f"{place}: {'warning: ' if self.severity == 'warning' else ''}{self.text}"


class Migration(NamedTuple):
    """What a migration found."""

    text: str
    """The configuration, as a file."""
    file: str
    """Where it would stand, which is where what is relative to it is looked for."""
    remarks: list[Remark]


def note(path: str, text: str, line: int = 0) -> Remark:
    """Return a remark on what is as it was, or differs as said."""
    return Remark(Place(path, line), "note", text)


def warn(path: str, text: str, line: int = 0) -> Remark:
    """Return a remark on what is lost."""
    return Remark(Place(path, line), "warning", text)
