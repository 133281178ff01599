"""
Which scripts an event has: the runner's table, looked up by event type.

The runner alone reads directories and checks files; what it says of them is kept here.
"""

from __future__ import annotations

from typing import Final

from netevd.model.actions import Kind, Note
from netevd.model.inputs import Hook

NOT_THERE: Final = "a filter names it, and it is not there or has the name of a leftover"


class HookTable:
    """The script table as the runner listed it last."""

    def __init__(self) -> None:
        self._by_event: dict[tuple[str, str], tuple[Hook, ...]] = {}
        self._by_place: dict[tuple[str, str, str], Hook] = {}
        """By tree, event and path."""
        self._told: set[tuple[str, str]] = set()
        """Path and reason of each skipped file that was told of."""

    def replace(self, hooks: tuple[Hook, ...]) -> list[Note]:
        """Take the runner's table and return a note for each file that is newly skipped."""
        by_event: dict[tuple[str, str], list[Hook]] = {}
        told: set[tuple[str, str]] = set()
        notes: list[Note] = []
        for hook in hooks:
            if hook.runnable:
                by_event.setdefault((hook.tree, hook.event), []).append(hook)
                continue
            skipped = (hook.path, hook.reason)
            if skipped not in self._told and skipped not in told:
                text = f"Script {hook.path} is skipped: {hook.reason}"
                fields = {"tree": hook.tree} if hook.tree else {"event": hook.event}
                notes.append(Note("warn", text, {**fields}, Kind.SCRIPT_SKIPPED))
            told.add(skipped)
        self._by_event = {event: tuple(found) for event, found in by_event.items()}
        self._by_place = {(hook.tree, hook.event, hook.path): hook for hook in hooks}
        self._told = told
        return notes

    def get_all(self) -> tuple[Hook, ...]:
        """Return every file, runnable or not, in running order."""
        return tuple(self._by_place.values())

    def find(self, event: str, tree: str = "") -> tuple[Hook, ...]:
        """Return the runnable scripts of an event type, or of a group of a tree, in running order."""
        return self._by_event.get((tree, event), ())

    def find_skipped(self, event: str, tree: str = "") -> tuple[Hook, ...]:
        """Return the files of the same that are not run, with their reasons."""
        return tuple(
            hook
            for (whose, each, _), hook in self._by_place.items()
            if (whose, each) == (tree, event) and not hook.runnable
        )

    def find_all(self, event: str, paths: tuple[str, ...]) -> tuple[Hook, ...]:
        """
        Return the scripts of these paths in this order, whatever directory they stand in.

        One that is not in the table is not runnable and says why. event: what they are to run for.
        """
        found = []
        for path in paths:
            place = path.rpartition("/")[0].rpartition("/")[2].removesuffix(".d")
            known = self._by_place.get(("", place, path))
            name = path.rpartition("/")[2]
            missing = Hook(0, event, name, path, runnable=False, reason=NOT_THERE)
            found.append(missing if known is None else known)
        return tuple(found)

    def renew(self, hook: Hook) -> Hook | None:
        """
        Return what the table now says of a script of an earlier table, None if it is not in it.

        A changed file has a new entry number, and a new runner numbers all of them anew.
        """
        return self._by_place.get((hook.tree, hook.event, hook.path))
