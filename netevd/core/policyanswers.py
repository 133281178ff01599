"""
What the kernel's answers to changes mean: which were made, which failed, and in which words. Pure.

That a rule is there already, or a route gone already, is what was wanted.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from netevd.core.policyhints import describe_change
from netevd.model.event import EventType
from netevd.model.link import IfIndex
from netevd.model.route import Route
from netevd.model.routing import AddRoute, AddRule, Change, DeleteRoute, DeleteRule, RoutingOutcome
from netevd.model.rule import Rule

Entry: TypeAlias = Rule | Route

NOT_ALLOWED: Final = "netevd may not change the network: it has not CAP_NET_ADMIN"

_THERE: Final = frozenset((errno.EEXIST,))
_GONE: Final = frozenset((errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EAFNOSUPPORT))
"""Errors of adding and of removing that mean: it is so already."""
_NO_FAMILY: Final = frozenset((errno.EAFNOSUPPORT, errno.EOPNOTSUPP))


class RoutingNews(NamedTuple):
    """What users are told."""

    type: EventType
    outcome: RoutingOutcome
    ifindex: IfIndex | None = None
    """Of the tunnel that it is about, None for all that is netevd's."""


class Answers(NamedTuple):
    """The kernel's answers, sorted."""

    done: list[Change]
    failed: dict[Change, int]
    """With the kernel's error number."""
    absent: frozenset[int]
    """Families that this kernel has not; what failed by that is not among the failed."""


def get_entry(change: Change) -> Entry:
    """Return the rule or route that a change is about."""
    return change.rule if isinstance(change, AddRule | DeleteRule) else change.route


def sort_answers(asked: Iterable[Change], errors: Iterable[int]) -> Answers:
    """Return what became of changes. errors: one each, in order; what is missing was not tried."""
    done: list[Change] = []
    failed: dict[Change, int] = {}
    absent: set[int] = set()
    for change, code in zip(asked, errors, strict=False):
        fine = _THERE if isinstance(change, AddRule | AddRoute) else _GONE
        family = get_entry(change).family
        if not code:
            done.append(change)
        elif code in _NO_FAMILY and family == 6:
            absent.add(family)
        elif code not in fine:
            failed[change] = code
    return Answers(done, failed, frozenset(absent))


def describe_failures(failed: Mapping[Change, int]) -> str:
    """Return in words what failed, "" for nothing."""
    if not failed:
        return ""
    if all(code == errno.EPERM for code in failed.values()):
        return NOT_ALLOWED
    change, code = next(iter(failed.items()))
    why = errno.errorcode.get(code, str(code))
    return f"{len(failed)} changes failed, the first with {why}: {describe_change(change)}"


def count(done: Iterable[Change], reason: str) -> RoutingOutcome:
    """Return how many changes of each kind there are."""
    kinds = [type(each) for each in done]
    return RoutingOutcome(
        kinds.count(AddRule), kinds.count(DeleteRule), kinds.count(AddRoute),
        kinds.count(DeleteRoute), reason,
    )  # fmt: skip
