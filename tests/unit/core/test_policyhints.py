"""What is said of others' rules and routes."""

from __future__ import annotations

from netevd.core.policydifference import find_difference
from netevd.core.policyhints import find_hints
from netevd.core.policyplan import Plan
from netevd.model.route import Route, Table
from netevd.model.routing import Ours
from netevd.model.rule import Rule
from tests.stories.playbook import route

OURS = Ours()
WANTED = Plan(
    frozenset((Rule(4, 21001, 1, Table(21001), "10.0.1.1/32", protocol=110),)),
    frozenset((route("10.0.1.0/24", "@3", table=21001, protocol=110),)),
)
MAIN = Rule(4, 32766, 1, Table(254), protocol=2)


def hints(*rules: Rule, routes: tuple[Route, ...] = ()) -> list[str]:
    """Return what is said with these rules and routes."""
    difference = find_difference(WANTED, rules, routes, OURS)
    return list(find_hints(WANTED, difference, rules, routes, OURS))


def test_nothing_is_said_of_what_harms_nobody() -> None:
    """Rules before ours that select, or that pass on, are well."""
    theirs = (
        Rule(4, 5210, 1, Table(254), mark=0x80000, mask=0xFF0000), Rule(4, 5270, 1, Table(52)),
        Rule(4, 105, 1, Table(254), suppress_prefix_length=0), Rule(4, 0, 1, Table(255)),
        Rule(4, 512, 7, source="10.9.0.0/16"),
    )  # fmt: skip
    assert hints(MAIN, *theirs, routes=(route("100.64.0.1/32", "@9", table=52),)) == []


def test_what_lets_nothing_pass() -> None:
    """A refusal of all, and a table with a default route, before ours."""
    (refusal,) = hints(MAIN, Rule(4, 5250, 7))
    assert "priority 5250 from all unreachable" in refusal
    (exit_node,) = hints(
        MAIN, Rule(4, 5270, 1, Table(52)), routes=(route("0.0.0.0/0", "@9", table=52),)
    )
    assert "lookup 52" in exit_node


def test_rules_that_were_flushed() -> None:
    """Without the rule of main that is said; it is not ours to make."""
    (text,) = hints()
    assert "no rule looks up table main for all of IPv4" in text
    assert "ip rule add priority 32766 lookup main" in text


def test_a_table_that_somebody_uses() -> None:
    """A route where ours would stand is told, with whose it is; one beside it, or the same, is not."""
    other = route("10.0.1.0/24", "10.0.0.9@2", table=21001, protocol=4)
    (text,) = hints(MAIN, routes=(other,))
    assert "proto static" in text
    assert find_difference(WANTED, (), (other,), OURS).changes[0] != WANTED
    same = next(iter(WANTED.routes))._replace(protocol=4)
    assert hints(MAIN, routes=(same, route("10.9.0.0/16", "@2", table=21001))) == []
