"""
The difference between the plan and what the kernel has, as changes in an order that loses nothing.

What is new comes before what goes; routes before the rules that lead to them, and the other way
round when they go. So a crash between any two of them leaves no rule that leads nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from attrs import evolve, frozen

from netevd.core.policyplan import Plan
from netevd.model.route import Nexthop, Route
from netevd.model.routing import AddRoute, AddRule, Change, DeleteRoute, DeleteRule, Ours
from netevd.model.rule import Rule

_Place: TypeAlias = tuple[int, int, str, int]
"""Family, table, destination, metric: what two routes can't share in peace."""


@frozen(slots=True)
class Difference:
    """What has to be done, and what can't be."""

    changes: tuple[Change, ...]
    """In this order."""
    blocked: tuple[tuple[Route, Route], ...] = ()
    """Routes that are wanted, each with the one of somebody else that has its place."""
    present: frozenset[Rule | Route] = frozenset()
    """What is ours and there, routes one way each."""


def find_difference(
    plan: Plan, rules: Iterable[Rule], routes: Iterable[Route], ours: Ours
) -> Difference:
    """Return what makes the kernel's rules and routes those of the plan. Nothing of others goes."""
    present_rules, satisfied = _split_rules(plan, rules, ours)
    present: set[Route] = set()
    others: dict[_Place, Route] = {}
    for route in routes:
        if ours.has_route(route):
            present.update(open_ways(route))
        elif ours.has_table(route.table):
            others[_place(route)] = route
    new_routes = []
    blocked = []
    for route in sorted(plan.routes - present):
        other = others.get(_place(route))
        if other is None:
            new_routes.append(route)
        elif _drop_owner(other) != _drop_owner(route):
            blocked.append((route, other))
    return Difference(
        (
            *map(AddRoute, new_routes),
            *map(AddRule, sorted(plan.rules - present_rules - satisfied, key=order_rule)),
            *map(DeleteRule, sorted(present_rules - plan.rules, key=order_rule)),
            *map(DeleteRoute, sorted(present - plan.routes)),
        ),
        tuple(blocked),
        frozenset((*present_rules, *present)),
    )


def _split_rules(plan: Plan, rules: Iterable[Rule], ours: Ours) -> tuple[set[Rule], set[Rule]]:
    """Return the rules that are ours, and those wanted that somebody else has made already."""
    present: set[Rule] = set()
    satisfied: set[Rule] = set()
    for rule in rules:
        if ours.has_rule(rule):
            present.add(rule)
        elif ours.has_priority(rule.priority):
            same = evolve(rule, protocol=ours.protocol)
            if same in plan.rules:
                satisfied.add(same)
    return present, satisfied


def open_ways(route: Route) -> Iterator[Route]:
    """Yield a route of several ways as the routes that IPv6 made it of; ways of refusals are none."""
    if route.refuses:
        yield route._replace(nexthops=())
    elif len(route.nexthops) < 2:
        yield route
    else:
        for hop in route.nexthops:
            way = Nexthop(hop.ifindex, hop.gateway, 1, hop.flags)
            yield route._replace(nexthops=(way,))


def _place(route: Route) -> _Place:
    return route.family, route.table, route.destination, route.priority


def _drop_owner(route: Route) -> Route:
    return next(open_ways(route))._replace(protocol=0, scope=0)


def order_rule(rule: Rule) -> tuple[int, int, str, str]:
    """Return by what rules are sorted: as the kernel asks them."""
    return rule.family, rule.priority, rule.source, rule.oifname
