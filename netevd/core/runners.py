"""
What is known of each runner: whether it is there, which scripts it can start, who waits for it.

The table of the runner of scripts without a rule says which scripts there are, and of a tree of another dispatcher
that of the one runner that has it. What another runner lists says only that it can start them; the two tables may tell of one change at different moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Final

from netevd.core.hooks import HookTable
from netevd.core.lanes import Run
from netevd.model.actions import Action, RequestHooks
from netevd.model.inputs import Hook

_ASKED_AT_MOST: Final = 2
"""The first answer may have been on its way before the question; the second was not."""


class Runners:
    """All runners, by key."""

    def __init__(self, hooks: HookTable, common: int, trees: Mapping[str, int]) -> None:
        """
        hooks: where all scripts are kept: those of the runner of scripts without a rule, whose key is
        `common`, and those of each tree, by the runner that has it.
        """
        self._hooks = hooks
        self._common = common
        self._trees = trees
        self._listings: dict[int, tuple[Hook, ...]] = {}
        """What those runners have listed."""
        self._tables: dict[int, HookTable] = {common: HookTable()}
        self._connected: dict[int, str] = {}
        """Keys of those that are there, with their incarnation."""
        self._listed: set[int] = set()
        """Those whose table is that of the runner as it is now: another numbers anew."""
        self._parked: dict[int, list[Run]] = {}
        """Runs that wait for their runner, or for its next table."""
        self._asked: dict[int, int] = {}
        """How often a run made its runner list its scripts again."""

    def connect(self, runner: int, incarnation: str) -> list[Run]:
        """Take in that a runner is there; return the runs that need not wait for it any longer."""
        self._connected[runner] = incarnation
        return self._unpark(runner)

    def lose(self, runner: int) -> None:
        """Take in that a runner is gone."""
        self._connected.pop(runner, None)
        self._listed.discard(runner)

    def list_hooks(self, runner: int, hooks: tuple[Hook, ...], actions: list[Action]) -> list[Run]:
        """Take a runner's table; return the runs that need not wait for it any longer."""
        self._tables.setdefault(runner, HookTable()).replace(hooks)
        if runner == self._common or runner in self._trees.values():
            # of netevd's own scripts the others have the same files, and would say the same of them
            self._listings[runner] = tuple(hook for hook in hooks if self._counts(hook, runner))
            ordered = [self._listings[each] for each in sorted(self._listings, key=self._rank)]
            actions.extend(self._hooks.replace(tuple(chain.from_iterable(ordered))))
        self._listed.add(runner)
        return self._unpark(runner)

    def _rank(self, runner: int) -> tuple[bool, int]:
        return runner != self._common, runner

    def _counts(self, hook: Hook, runner: int) -> bool:
        return runner == (self._trees.get(hook.tree, -1) if hook.tree else self._common)

    def have_listed(self) -> bool:
        """Tell whether all scripts are known of whom anything may be run."""
        return {self._common, *self._trees.values()} <= self._listings.keys()

    def has_listed(self, runner: int) -> bool:
        """Tell whether the table that is known is that of the runner as it is now."""
        return runner in self._listed

    def get_incarnation(self, runner: int) -> str:
        """Return which life of a runner it is that takes runs, "" if it is not there."""
        return self._connected.get(runner, "")

    def is_there(self, runner: int) -> bool:
        """Tell whether a runner takes runs and its table is known."""
        return runner in self._connected and runner in self._listed

    def park(self, run: Run, runner: int) -> None:
        """Keep a run until its runner is there."""
        self._parked.setdefault(runner, []).append(run)

    def find_hook(self, run: Run, runner: int) -> Hook | None:
        """Return what the runner now says of a run's script, None if it knows none of this path."""
        hook = self._tables[runner].renew(run.hook)
        if hook is not None and hook.runnable:
            self._asked.pop(run.number, None)
        return hook

    def asks_again(self, run: Run, runner: int, actions: list[Action]) -> bool:
        """
        Tell whether a run that its runner would not start waits for that runner's next table.

        That is so when runner 0 knows better: then the other has not looked yet, or its user may
        not execute the file. It is asked to look again, and what it says the second time is so.
        """
        common = self._tables[self._common].renew(run.hook)
        asked = self._asked.pop(run.number, 0)
        if (
            runner == self._common
            or common is None
            or not common.runnable
            or asked >= _ASKED_AT_MOST
        ):
            return False
        self._asked[run.number] = asked + 1
        actions.append(RequestHooks(runner))
        self.park(run, runner)
        return True

    def _unpark(self, runner: int) -> list[Run]:
        return self._parked.pop(runner, []) if self.is_there(runner) else []
