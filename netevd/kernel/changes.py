"""
Changes of rules and routes as the helper takes them. Pure.

The protocol number is left out: the helper's policy has it, and nobody can ask for another one.
"""

from __future__ import annotations

from typing import Final, assert_never

from attrs import evolve

from netevd.model.link import IfIndex
from netevd.model.route import STABLE_FLAGS, Nexthop, Route
from netevd.model.routing import AddRoute, AddRule, Change, DeleteRoute, DeleteRule
from netevd.model.rule import Rule
from privsep import protocol
from privsep.variables import is_ifname

_NOWHERE: Final = Nexthop(IfIndex(0))
"""Stands for the way of a route that refuses."""


def make_request(change: Change) -> protocol.Change:
    """Return what to ask the helper for."""
    match change:
        case AddRule(rule=rule):
            return protocol.AddRule(*_spell_rule(rule))
        case DeleteRule(rule=rule):
            # a name that is no text is left out: then it does not count
            iif, oif = (name if is_ifname(name) else "" for name in (rule.iifname, rule.oifname))
            return protocol.DeleteRule(*_spell_rule(evolve(rule, iifname=iif, oifname=oif)))
        case AddRoute(route=route):
            return protocol.AddRoute(*_spell_route(route))
        case DeleteRoute(route=route):
            return protocol.DeleteRoute(*_spell_route(route))
        case _:
            assert_never(change)


def _spell_rule(
    rule: Rule,
) -> tuple[protocol.Family, int, int, str, str, str, str, int, int, int, bool]:
    return (
        4 if rule.family == 4 else 6, rule.priority, rule.table, rule.source, rule.destination,
        rule.iifname, rule.oifname, rule.mark, rule.mask, rule.suppress_prefix_length,
        rule.invert,
    )  # fmt: skip


def _spell_route(
    route: Route,
) -> tuple[protocol.Family, int, str, int, int, str, bool, bool]:
    hop = route.nexthops[0] if route.nexthops else _NOWHERE
    return (
        4 if route.family == 4 else 6, route.table, route.destination, route.priority, hop.ifindex,
        hop.gateway, bool(hop.flags & STABLE_FLAGS), route.refuses,
    )  # fmt: skip
