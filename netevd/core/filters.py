"""
Filters: which events run scripts, and which. The first rule that matches decides.

Belongs here: the verdict on one event by itself. That runs wait, or are held back, is core.debounce
and core.damping.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase, translate
from typing import Final

from attrs import frozen

from netevd.config.condition import Condition, Unanswered
from netevd.config.schema import Filter, Match
from netevd.config.webhooks import find_target
from netevd.core.environment import is_link_local
from netevd.core.variables import make_variables
from netevd.model.actions import Action, Kind, Note
from netevd.model.event import Event, EventType
from netevd.model.shape import printable
from netevd.model.verdict import EXECUTE, Verdict

_CANDIDATES_LIMIT: Final = 4096
"""Links and event types of which it is remembered which rules are about them."""


@frozen(slots=True, eq=False)
class _Rule:
    """A filter, ready to be asked."""

    match: Match
    types: frozenset[EventType] | None
    fits: Callable[[str], object] | None
    """Tells of a name whether the glob is like it."""
    condition: Condition | None
    name: str
    """What people call it."""
    verdict: Verdict


class Filters:
    """The rules of a configuration, in their order."""

    def __init__(self, filters: tuple[Filter, ...]) -> None:
        self._rules = [_prepare(number, each) for number, each in enumerate(filters, 1)]
        self._candidates: dict[object, tuple[_Rule, ...]] = {}
        """The rules that are about a link and an event type as far as these can tell."""
        self._told: set[str] = set()
        """Rules whose condition had no answer, which was said."""

    def judge(self, event: Event, actions: list[Action]) -> Verdict:
        """Return what becomes of an event."""
        if not self._rules:
            return EXECUTE
        for rule in self._find_candidates(event):
            family, condition = rule.match.ip_family, rule.condition
            if family is not None and not _has_family(event, 4 if family == "ipv4" else 6):
                continue
            if condition is None or self._holds(rule, condition, event, actions):
                return rule.verdict
        return EXECUTE

    def _find_candidates(self, event: Event) -> tuple[_Rule, ...]:
        """Return the rules whose fields that do not change with time hold."""
        link = None if event.after is None else event.after.link
        kind, altnames = ("", ()) if link is None else (link.kind, link.altnames)
        key = (event.type, event.name, altnames, kind, event.backend)
        found = self._candidates.get(key)
        if found is None:
            names = (event.name, *altnames)
            found = tuple(rule for rule in self._rules if _may_match(rule, event, names, kind))
            if len(self._candidates) >= _CANDIDATES_LIMIT:
                self._candidates.clear()
            self._candidates[key] = found
        return found

    def _holds(
        self, rule: _Rule, condition: Condition, event: Event, actions: list[Action]
    ) -> bool:
        try:
            return condition.holds(make_variables(event, condition.names))
        except Unanswered as unanswered:
            if rule.name not in self._told:
                self._told.add(rule.name)
                text = f"The condition of {rule.name} has no answer and does not match"
                fields: dict[str, str | int | float | bool] = {
                    "interface": printable(event.name),
                    "event": event.type.value,
                    "sequence": event.sequence,
                }
                actions.append(Note("warn", f"{text}: {unanswered}", fields, Kind.CONDITION_FAILED))
            return False


def _prepare(number: int, each: Filter) -> _Rule:
    match, origin = each.match, each.origin
    types = None
    if match.event_type is not None:
        types = frozenset(
            kind for kind in EventType for word in match.event_type if fnmatchcase(kind.value, word)
        )
    pattern, name = match.interface_pattern, f"filter {number}"
    if origin.file:
        name += f" ({origin.file.rpartition('/')[2]}:{origin.line})"
    reason = f"{name}: action {each.action}"
    return _Rule(
        match,
        types,
        None if pattern is None else re.compile(translate(pattern)).match,
        None if match.condition is None else Condition(match.condition),
        name,
        Verdict(
            each.action,
            number,
            reason,
            origin.file,
            origin.line,
            each.scripts,
            tuple(map(find_target, each.webhooks or ())),
        ),
    )


def _may_match(rule: _Rule, event: Event, names: tuple[str, ...], kind: str) -> bool:
    """Tell whether everything but family and condition holds. names: of the link, its own first."""
    match = rule.match
    if rule.types is not None and event.type not in rule.types:
        return False
    if match.backend is not None and match.backend != event.backend:
        return False
    if event.after is None and (match.interface, rule.fits, match.kind) != (None, None, None):
        return False
    if match.interface is not None and match.interface not in names:
        return False
    if match.kind is not None and match.kind != kind:
        return False
    return rule.fits is None or any(rule.fits(name) for name in names)


def _has_family(event: Event, family: int) -> bool:
    """Tell whether an event is about this family, or its link has a usable address of it."""
    if event.family:
        return event.family == family
    return event.after is not None and any(
        each.family == family and each.usable and not is_link_local(each)
        for each in event.after.addresses
    )
