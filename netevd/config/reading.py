"""What comes of keys that are called otherwise today, as it is put together."""

from __future__ import annotations

from attrs import define, field

from netevd.config.steps import Drop, Keys, Move, Step, find
from netevd.config.tree import Place, Problem, Tree


@define(slots=True)
class Reading:
    """What is to be changed in a tree, and what is to be said about it."""

    tree: Tree
    """As it is written."""
    steps: list[Step] = field(factory=list)
    notices: list[Problem] = field(factory=list)
    problems: list[Problem] = field(factory=list)
    names: dict[Place, str] = field(factory=dict)
    """What the user calls a value that moves, by its place."""

    def move(
        self, source: Keys, target: Keys, found: tuple[Place, Tree], difference: str = ""
    ) -> bool:
        """Have a value read as another key; tell whether it is, which that key may forbid."""
        old, new = _show(source), _show(target)
        place, child = found
        if rival := find(self.tree, target):
            self.problems.append(
                Problem(place, f"{old} says the same as {new} at {rival[0]}; delete {old}")
            )
            self.steps.append(Drop(source))
            return False
        self.steps.append(Move(source, target))
        self.names[child.place] = old
        self.notices.append(
            Problem(
                place,
                f"{old} of the Rust daemon is read as {new}{'; ' if difference else ''}{difference}",
            )
        )
        return True

    def drop(self, source: Keys, place: Place, text: str) -> None:
        """Have something not be read, and say so."""
        self.steps.append(Drop(source))
        self.notices.append(Problem(place, text))

    def note(self, place: Place, text: str) -> None:
        """Say something else."""
        self.notices.append(Problem(place, text))


def _show(keys: Keys) -> str:
    """Return a dotted name, without numbers of elements."""
    return ".".join(key for key in keys if not key.isdigit())
