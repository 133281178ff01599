"""
Pauses: a script that failed too often in a row is not run until its file changes.

What counts is the end of a run, after all of its retries; a run that was refused, lost or skipped
says nothing about its script.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from netevd.model.inputs import Hook
from netevd.model.memory import Streak

_ANY: Final = -1
"""Stands for the number of a file in a table that is not known yet."""


@define(slots=True, eq=False)
class _Streak:
    """Failures of one script since it last did well."""

    entry: int
    """Number of the file in runner 0's table."""
    failures: int = 0
    paused: bool = False


class Pauses:
    """Failures in a row of each script, and which ones are paused."""

    def __init__(self, after: int) -> None:
        """after: how many failures in a row are too many, 0 for any number being fine."""
        self.after = after
        self._streaks: dict[str, _Streak] = {}
        self.changed = False
        """Whether something is to be remembered otherwise."""

    def count(self, hook: Hook, result: str) -> bool:
        """Take in a run's result; tell whether its script is paused from now on."""
        if not self.after or result not in {"ok", "failed", "timeout"}:
            return False
        streak = self._streaks.get(hook.path)
        if result == "ok":
            if streak is not None and not streak.paused:
                del self._streaks[hook.path]
                self.changed = True
            return False
        if streak is None:
            streak = self._streaks[hook.path] = _Streak(hook.entry)
        streak.failures += 1
        self.changed = True
        if streak.paused or streak.failures < self.after:
            return False
        streak.paused = True
        return True

    def get_memory(self) -> tuple[Streak, ...]:
        """Return all that is to be remembered."""
        return tuple(
            Streak(path, each.failures, each.paused) for path, each in self._streaks.items()
        )

    def restore(self, streaks: tuple[Streak, ...]) -> None:
        """Take what was remembered; which file each script is, the next table tells."""
        if self.after:
            self._streaks = {
                each.path: _Streak(_ANY, each.failures, each.paused) for each in streaks
            }

    def is_paused(self, path: str) -> bool:
        """Tell whether this script must not run now."""
        streak = self._streaks.get(path)
        return streak is not None and streak.paused

    def resume(self, path: str) -> bool:
        """Forget the failures of a script; tell whether it was paused."""
        streak = self._streaks.pop(path, None)
        self.changed = self.changed or streak is not None
        return streak is not None and streak.paused

    def review(self, hooks: tuple[Hook, ...], *, renumbered: bool) -> list[str]:
        """
        Return the scripts whose pause is over, since runner 0's new table has another file there.

        A file that is gone, or that may not be run, ends its pause too. renumbered: the table is
        another runner's, whose numbers say nothing about those of the one before.
        """
        if not self._streaks:
            return []
        entries = {hook.path: hook.entry for hook in hooks if hook.runnable}
        resumed = []
        for path, streak in list(self._streaks.items()):
            entry = entries.get(path)
            if entry is not None and (renumbered or streak.entry == _ANY):
                streak.entry = entry
            if entry != streak.entry and self.resume(path):
                resumed.append(path)
        return resumed
