"""What stands in the way of policy routing, and changes, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netevd.core.policydifference import Difference
from netevd.core.policyplan import Plan, Planned
from netevd.model.answers import PlannedObject
from netevd.model.route import ANYWHERE, Route, show_protocol, show_table
from netevd.model.routing import AddRoute, AddRule, Change, DeleteRoute, DeleteRule, Ours
from netevd.model.rule import RULE_ACTIONS, Rule
from netevd.model.shape import describe_route, printable

_REFUSALS = frozenset((6, 7, 8))
"""FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT. Source: linux/fib_rules.h."""


def describe_rule(rule: Rule) -> str:
    """Return a rule in one line, as ip-rule(8) takes it; what netevd never makes is left out."""
    words = [f"priority {rule.priority} from {rule.source or 'all'}"]
    words += [f"to {rule.destination}"] if rule.destination else []
    words += [f"iif {rule.iifname}"] if rule.iifname else []
    words += [f"oif {rule.oifname}"] if rule.oifname else []
    words += [f"fwmark {rule.mark:#x}/{rule.mask:#x}"] if rule.mask else []
    known = rule.action < len(RULE_ACTIONS)
    words.append(RULE_ACTIONS[rule.action] if known else str(rule.action))
    words += [show_table(rule.table)] if rule.table else []
    if rule.suppress_prefix_length >= 0:
        words.append(f"suppress_prefixlength {rule.suppress_prefix_length}")
    return " ".join((*words, f"protocol {show_protocol(rule.protocol)}"))


def describe_change(change: Change) -> str:
    """Return a change as the command of ip(8) that would make it."""
    match change:
        case AddRule(rule=rule):
            return f"rule add {describe_rule(rule)}"
        case DeleteRule(rule=rule):
            return f"rule del {describe_rule(rule)}"
        case AddRoute(route=route):
            return f"route append {describe_route(route, lambda ifindex: f'if{ifindex}')}"
        case DeleteRoute(route=route):
            return f"route del {describe_route(route, lambda ifindex: f'if{ifindex}')}"


def find_hints(
    plan: Plan,
    difference: Difference,
    rules: Iterable[Rule],
    routes: Iterable[Route],
    ours: Ours,
) -> Iterator[str]:
    """Yield what others have that keeps the plan from working. Nothing of theirs is ever changed."""
    if not (plan.rules or plan.routes):
        return
    for route, other in difference.blocked:
        yield (
            f"table {show_table(route.table)} has a route of somebody else (proto"
            f" {show_protocol(other.protocol)}) where netevd's would stand: {describe_route(other)};"
            " remove it, or choose another routing.policy.base"
        )
    main_rules: set[int] = set()
    everywhere = {(each.family, each.table) for each in routes if each.destination in ANYWHERE}
    for rule in rules:
        foreign = not ours.has_rule(rule)
        if rule.table == 254 and rule.suppress_prefix_length < 0 and not _selects(rule):
            main_rules.add(rule.family)
        if foreign and ours.has_priority(rule.priority) and not _is_satisfying(rule, plan, ours):
            yield (
                f"there is a rule of somebody else among the priorities of netevd: {describe_rule(rule)};"
                " choose another routing.policy.base"
            )
        elif (
            0 < rule.priority < ours.base
            and not _selects(rule)
            and (
                rule.action in _REFUSALS
                or (rule.suppress_prefix_length < 0 and (rule.family, rule.table) in everywhere)
            )
        ):
            yield f"nothing comes as far as netevd's rules, because of: {describe_rule(rule)}"
    for family in sorted({rule.family for rule in plan.rules} - main_rules):
        yield (
            f"no rule looks up table main for all of IPv{family}: was 'ip rule flush' used? What others"
            " have made is theirs to put back: ip rule add priority 32766 lookup main"
        )


def _is_satisfying(rule: Rule, plan: Plan, ours: Ours) -> bool:
    return any(
        rule.priority == each.priority and rule.source == each.source and rule.table == each.table
        for each in plan.rules
    ) and ours.has_priority(rule.priority)


def _selects(rule: Rule) -> bool:
    """Tell whether a rule is for some traffic only."""
    return bool(
        rule.source or rule.destination or rule.iifname or rule.oifname or rule.mask or rule.uids
        or rule.ip_protocol or rule.source_ports or rule.destination_ports or rule.tos
        or rule.l3mdev or rule.tunnel_id
    )  # fmt: skip


def shape_planned(planned: Planned) -> PlannedObject:
    """Return the object of what is planned for a link."""
    return {
        "interface": printable(planned.name),
        "family": "ipv4" if planned.family == 4 else "ipv6",
        "slot": planned.slot or None,
        "sources": list(planned.sources),
        "gateways": list(planned.gateways),
        "reason": planned.reason or None,
    }
