"""
What trees of other dispatchers run for an event: which files, in which order, now or after a delay.

How each convention reads events is netevd.compat's; here it meets the script table and the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from attrs import define

from netevd.compat.call import Call, Occasion
from netevd.compat.trees import find_occasions, make_call
from netevd.config.hooktrees import list_enabled
from netevd.config.schema import Compat
from netevd.core.deadlines import find_earliest
from netevd.core.hooks import HookTable
from netevd.model.actions import Action, Kind, Note
from netevd.model.backend import BackendName
from netevd.model.event import Event
from netevd.model.inputs import Hook, Now
from netevd.model.memory import HeldOccasion
from netevd.model.shape import printable

_LIMIT: Final = 80 * 1024
"""Bytes of all variables of one call at most; a script gets 96 KiB, and some are the runner's."""


class Due(NamedTuple):
    """A script that a tree runs for an event."""

    event: Event
    hook: Hook
    action: str
    """Name of the occasion."""


@define(slots=True, eq=False)
class _Held:
    """An occasion that waits, and that its opposite makes void."""

    event: Event
    occasion: Occasion
    due: float | None = None
    """Monotonic seconds; None until the clock was looked at."""


def _note_void(tree: str, held: _Held, event: Event) -> Note:
    """Return what is said of an occasion whose opposite came before it was due."""
    words = f"{held.occasion.action} of event {held.event.sequence}"
    text = f"{tree} runs nothing: {words} did not last for {held.occasion.delay_s:g} s"
    fields: dict[str, str | int | float | bool] = {"sequence": event.sequence, "tree": tree}
    fields["interface"] = printable(event.name)
    return Note("info", text, fields, Kind.SCRIPT_NOT_RUN)


class Occasions:
    """The enabled trees."""

    def __init__(
        self, compat: Compat, hooks: HookTable, is_there: Callable[[BackendName], bool]
    ) -> None:
        """is_there: tells of a backend whether it is."""
        self._compat = compat
        self._is_there = is_there
        self._trees = list_enabled(compat)
        self._hooks = hooks
        self._held: dict[tuple[str, int], _Held] = {}
        """By tree and lane: a link has one state of each."""
        self.changed = False
        """Whether what is held has to be remembered anew."""

    def find(self, event: Event, actions: list[Action]) -> list[Due]:
        """Return what runs for an event now, in order; what has to wait is kept."""
        found: list[Due] = []
        for tree in self._trees:
            for occasion in self._find(tree, event):
                if not self._holds(tree, event, occasion, actions):
                    found += self._list(tree, event, occasion)
        return found

    def _find(self, tree: str, event: Event) -> tuple[Occasion, ...]:
        is_there = self._is_there("NetworkManager")
        return find_occasions(tree, event, self._compat, networkmanager_is_there=is_there)

    def find_skipped(self, event: Event) -> list[Hook]:
        """Return the files of trees that are not run for an event, with their reasons."""
        groups = [
            (tree, group)
            for tree in self._trees
            for occasion in self._find(tree, event)
            for group in occasion.groups
        ]
        return [hook for tree, group in groups for hook in self._hooks.find_skipped(group, tree)]

    def find_held(self, sequence: int) -> list[tuple[str, str]]:
        """Return tree and action of what waits for an event's delay to be over."""
        return [
            (tree, held.occasion.action)
            for (tree, _), held in self._held.items()
            if held.event.sequence == sequence
        ]

    def _holds(self, tree: str, event: Event, occasion: Occasion, actions: list[Action]) -> bool:
        """Tell whether an occasion waits, or is what was before one that waits."""
        key = tree, event.lane
        held = self._held.pop(key, None)
        if held is not None:
            self.changed = True
            if held.occasion.action != occasion.action:
                actions.append(_note_void(tree, held, event))
                return True
        if occasion.delay_s <= 0:
            return False
        self._held[key] = _Held(event, occasion)
        self.changed = True
        return True

    def _list(self, tree: str, event: Event, occasion: Occasion) -> Iterator[Due]:
        for group in occasion.groups:
            hooks = self._hooks.find(group, tree)
            for hook in reversed(hooks) if occasion.backward else hooks:
                yield Due(event, hook, occasion.action)
            if hooks and occasion.first_only:
                return

    def make_call(self, tree: str, event: Event, action: str) -> Call | str:
        """Return what a script is called with, or why it can't be called."""
        call = make_call(tree, event, action, self._compat)
        size = 0
        for name, value in call.values:
            try:
                size += len(name) + len(value.encode()) + 2
            except UnicodeEncodeError:
                return f"the variable {name} holds bytes that are not UTF-8"
        if size > _LIMIT:
            return f"the variables have {size} bytes, more than {_LIMIT}"
        return call

    # --- time ----------------------------------------------------------------------------------

    def schedule(self, now: Now) -> None:
        """Look at the clock for what has begun to wait."""
        for held in self._held.values():
            latest = now.monotonic + held.occasion.delay_s
            if held.due is None or held.due > latest:
                held.due = latest
                self.changed = True

    def release(self, now: Now) -> list[Due]:
        """Return what has waited long enough."""
        if not self._held:
            return []
        found: list[Due] = []
        for key, held in list(self._held.items()):
            if held.due is not None and held.due <= now.monotonic:
                del self._held[key]
                self.changed = True
                found += self._list(key[0], held.event, held.occasion)
        return found

    def deadline(self) -> float | None:
        """Return when `release` is wanted, in monotonic seconds; None for never."""
        return find_earliest([each.due for each in self._held.values()])

    # --- what is remembered ----------------------------------------------------------------------

    def get_memory(self) -> tuple[HeldOccasion, ...]:
        """Return what waits."""
        return tuple(
            HeldOccasion(tree, held.occasion.action, held.event, held.due)
            for (tree, _), held in self._held.items()
        )

    def restore(self, remembered: tuple[HeldOccasion, ...]) -> None:
        """Take what waited; what the configuration does not want any more is dropped."""
        for each in remembered:
            found = self._find(each.tree, each.event)
            occasion = next((one for one in found if one.action == each.action), None)
            if each.tree in self._trees and occasion is not None:
                self._held[each.tree, each.event.lane] = _Held(each.event, occasion, each.due)
