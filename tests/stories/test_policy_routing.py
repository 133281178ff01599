"""Policy routing: when something is asked for, and what is told of it."""

from __future__ import annotations

import errno
from typing import Any

from attrs import evolve

from netevd.config.schema import Policy, Routes, Routing
from netevd.core.policyrouting import Start
from netevd.model.actions import ChangeRouting, Publish, RequestDump, RequestRoutes
from netevd.model.inputs import (
    ChangesMade,
    DumpEnded,
    FlushRouting,
    HelperConnected,
    HooksListed,
    Now,
    RouteGone,
    RoutesDumped,
    RoutesDumpEnded,
    RouteSeen,
    RuleGone,
    RuleSeen,
    RunnerConnected,
)
from netevd.model.routing import AddRoute, AddRule, Change, DeleteRoute, DeleteRule
from netevd.model.rule import Rule
from tests.stories.configurations import configure
from tests.stories.playbook import Play, Playbook, address, has, lost, route, seen
from tests.stories.routing import ANY

MAIN = tuple(Rule(family, 32766, 1, 254, protocol=2) for family in (4, 6))  # type: ignore[arg-type]
UPLINKS = (
    route("10.0.0.0/24", "@2", protocol=2),
    route("10.0.1.0/24", "@3", protocol=2),
    route(ANY, "10.0.0.254@2", metric=100),
    route(ANY, "10.0.1.254@3", metric=200),
)

PLANNED = """
    change 1:
    route append 10.0.1.0/24 dev if3 table 21002 proto 110
    route append default via 10.0.1.254 dev if3 table 21502 proto 110 metric 200
    rule add priority 21002 from 10.0.1.1/32 lookup 21002 protocol 110
    rule add priority 21400 from all lookup main suppress_prefixlength 0 protocol 110
    rule add priority 21502 from 10.0.1.1/32 lookup 21502 protocol 110
"""


def begin(
    play: Play,
    *rules: Rule,
    routes: tuple[Any, ...] = UPLINKS,
    start: Start | None = None,
    **policy: Any,
) -> Playbook:
    """Return a story with eth0 (2), the primary, and eth1 (3); the first dumps have just ended."""
    routing = Routing(Policy(enabled=True, families=("ipv4",), **policy))
    configuration = evolve(configure(routes=Routes()), routing=routing)
    story = play(configuration, start=start)
    story.fill(RunnerConnected(), HooksListed(()), HelperConnected())
    story.fill(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    story.fill(has("10.0.0.1/24", 2, dump=1), has("10.0.1.1/24", 3, dump=1))
    story.fill(*[RuleSeen(each, dump=1) for each in (*MAIN, *rules)])
    story.fill(DumpEnded(1, consistent=True), RoutesDumped(tuple(routes), 1))
    return story.fill(RoutesDumpEnded(1, consistent=True))


def answer(story: Playbook, *errors: int) -> None:
    """Have the kernel do what was asked for last, tell it, and answer; errors: else all went well."""
    (asked,) = [each for each in story.actions if isinstance(each, ChangeRouting)]
    story.pass_over()
    codes = errors or (0,) * len(asked.changes)
    for change, code in zip(asked.changes, codes, strict=True):
        if not code:
            story.fill(tell(change))
    story >> ChangesMade(asked.number, codes)


def carry_out(story: Playbook, *errors: int) -> None:
    """The same, and nobody looks at what comes of it."""
    answer(story, *errors)
    story.pass_over()


def tell(change: Change) -> RuleSeen | RuleGone | RouteSeen | RouteGone:
    """Return what the kernel tells of a change."""
    match change:
        case AddRule(rule=rule):
            return RuleSeen(rule)
        case DeleteRule(rule=rule):
            return RuleGone(rule)
        case AddRoute(route=one):
            return RouteSeen(one)
        case DeleteRoute(route=one):
            return RouteGone(one)


def settle(play: Play, **more: Any) -> Playbook:
    """Return a story in which all that is planned is there, and was looked at again."""
    story = begin(play, **more)
    story.fill(0.2)
    carry_out(story)
    story.fill(0.2)
    return story


def ours(story: Playbook) -> list[Rule]:
    """Return the rules of netevd that the engine knows."""
    return [each for each in story.engine.insight.get_rules() if each.protocol == 110]


def test_the_plan_is_asked_for_once_the_kernel_is_known(play: Play) -> None:
    """After the first dumps, and a moment for what comes with them, what is missing is asked for."""
    story = begin(play)

    story >> 0.1 << ""
    story >> 0.1 << PLANNED
    answer(story)
    (
        story
        << """
        info: Policy routing: 3 rules made, 2 routes made (as planned)
        5 host routing-applied 3 rules made, 2 routes made (as planned)
    """
    )
    story >> 30.0 << ""


def test_nothing_is_asked_for_while_a_dump_is_under_way(play: Play) -> None:
    """Half of the truth is no ground for changes."""
    story = begin(play)

    story.fill(HelperConnected("it died"))
    story >> 60.0
    assert not any(isinstance(each, ChangeRouting) for each in story.actions)
    story.pass_over()


def test_what_is_there_is_adopted(play: Play) -> None:
    """Rules and routes of ours that an earlier daemon has made are neither made again nor removed."""
    first = settle(play)
    again = begin(play, *ours(first), routes=tuple(first.engine.insight.get_routes()))

    again >> 10.0 << ""


def test_what_nobody_needs_goes_after_a_time(play: Play) -> None:
    """What of ours does not fit the plan is left alone for 30 s: its address may be on its way."""
    stale = Rule(4, 21007, 1, 21007, "10.9.9.9/32", protocol=110)  # type: ignore[arg-type]
    story = begin(play, stale, start=Start(grace_until=1030.0))

    story >> 0.2 << PLANNED
    carry_out(story)
    story.pass_over()
    story >> 29.0 << ""
    (
        story
        >> 1.0
        << """
        change 2:
        rule del priority 21007 from 10.9.9.9/32 lookup 21007 protocol 110
    """
    )
    answer(story)
    (
        story
        << """
        info: Policy routing: 1 rules removed (as planned)
        6 host routing-applied 1 rules removed (as planned)
    """
    )


def test_rules_and_routes_of_others_stay(play: Play) -> None:
    """The same priority and table with another owner, our number elsewhere: none of it is touched."""
    others = (
        Rule(4, 21007, 1, 21007, "10.9.9.9/32", protocol=4),  # type: ignore[arg-type]
        Rule(4, 5000, 1, 52, "10.9.9.9/32", protocol=110),  # type: ignore[arg-type]
    )
    story = begin(
        play, *others, routes=(*UPLINKS, route(ANY, "10.0.0.9@2", table=77, protocol=110))
    )

    (
        story
        >> 0.2
        << (
            PLANNED.rstrip().replace(
                "change 1:",
                "warn: Policy routing: there is a rule of somebody else among the priorities of"
                " netevd: priority 21007 from 10.9.9.9/32 lookup 21007 protocol static; choose another"
                " routing.policy.base\n    change 1:",
            )
        )
    )
    carry_out(story)
    story.pass_over()
    story >> 100.0
    assert not any(isinstance(each, ChangeRouting) for each in story.actions)
    story.pass_over()


def test_an_identical_rule_of_somebody_else_is_enough(play: Play) -> None:
    """A rule that is wanted and that another has made is not made twice."""
    theirs = Rule(4, 21002, 1, 21002, "10.0.1.1/32", protocol=4)  # type: ignore[arg-type]
    story = begin(play, theirs)

    story >> 0.2
    (asked,) = [each for each in story.actions if isinstance(each, ChangeRouting)]
    assert not any(
        isinstance(each, AddRule) and each.rule.priority == 21002 for each in asked.changes
    )
    story.pass_over()


def test_a_new_gateway(play: Play) -> None:
    """The new default comes before the old one goes."""
    story = settle(play)

    story.fill(RouteGone(UPLINKS[3]), RouteSeen(route(ANY, "10.0.1.253@3", metric=200)))
    (
        story
        >> 0.2
        << """
        change 2:
        route append default via 10.0.1.253 dev if3 table 21502 proto 110 metric 200
        route del default via 10.0.1.254 dev if3 table 21502 proto 110 metric 200
    """
    )


def test_one_removal_is_put_back_at_once(play: Play) -> None:
    """What somebody has removed is told and made again."""
    story = settle(play)
    rule = ours(story)[0]

    story.fill(RuleGone(rule))
    (
        story
        >> 0.2
        << """
        warn: Policy routing: 1 rules removed (removed by somebody else): they are put back
        change 2:
        rule add priority 21002 from 10.0.1.1/32 lookup 21002 protocol 110
        6 host routing-drift 1 rules removed (removed by somebody else)
    """
    )
    answer(story)
    (
        story
        << """
        info: Policy routing: 1 rules made (restored)
        7 host routing-applied 1 rules made (restored)
    """
    )


def test_who_keeps_removing_is_waited_for(play: Play) -> None:
    """The fifth time within a minute is a contest: it is told with a hint, and put back ever later."""
    story = settle(play, resync=3600.0)
    rule = ours(story)[0]
    for _ in range(4):
        story.fill(RuleGone(rule), 0.2)
        carry_out(story)
        story.fill(0.3)

    story.fill(RuleGone(rule))
    story >> 0.2
    assert [each.event.type for each in story.actions if isinstance(each, Publish)] == [
        "routing-contested"
    ]
    assert "ManageForeignRoutingPolicyRules=no" in story.events[-1].routing.reason  # type: ignore[union-attr]
    story.pass_over()
    story >> 0.9 << ""
    for wait in (2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        story.fill(0.25)
        carry_out(story)
        story.fill(RuleGone(rule), 0.3)
        events = len(story.events)
        story >> wait - 0.3 << ""
        assert len(story.events) == events
    story.fill(0.5)
    carry_out(story)
    story.fill(0.3)
    story.fill(70.0, has("10.0.1.9/24", 3), 0.2)
    assert story.engine.insight.get_policy(Now(story.time, 0)).contested is False


def test_a_contest_that_is_to_fail_ends_it(play: Play) -> None:
    """With contested: fail, nothing more is written."""
    story = settle(play, contested="fail")
    rule = ours(story)[0]
    for _ in range(4):
        story.fill(RuleGone(rule), 0.2)
        carry_out(story)
        story.fill(0.3)
    story.fill(RuleGone(rule), 0.2)
    assert "until a reload" in story.events[-1].routing.reason  # type: ignore[union-attr]
    story.fill(100.0)
    assert not any(isinstance(each, ChangeRouting) for each in story.actions)


def test_a_flush_of_everything_is_one_removal(play: Play) -> None:
    """A network manager that removes all at once does it once: no contest."""
    story = settle(play)
    for rule in ours(story):
        story.fill(RuleGone(rule))

    story >> 0.2
    assert [each.event.type for each in story.actions if isinstance(each, Publish)] == [
        "routing-drift"
    ]
    carry_out(story)
    assert len(ours(story)) == 3
    story.pass_over()


def test_an_address_that_leaves_takes_its_rules(play: Play) -> None:
    """The rules of a lost address go, and are not taken for a removal by others."""
    story = settle(play)

    story.fill(has("10.0.1.2/24", 3), 0.2)
    carry_out(story)
    story.fill(0.2, lost("10.0.1.2/24", 3))
    story.fill(
        RoutesDumped(
            (*UPLINKS, *[r for r in story.engine.insight.get_routes() if r.protocol == 110]), 2
        )
    )
    story.fill(RoutesDumpEnded(2, consistent=True))
    (
        story
        >> 0.2
        << """
        change 3:
        rule del priority 21002 from 10.0.1.2/32 lookup 21002 protocol 110
        rule del priority 21502 from 10.0.1.2/32 lookup 21502 protocol 110
    """
    )


def test_an_error_is_told_once_and_tried_again(play: Play) -> None:
    """What the kernel refuses is told with the change, and tried again later and later."""
    story = begin(play)
    story.fill(0.2)
    (asked,) = [each for each in story.actions if isinstance(each, ChangeRouting)]
    bad = tuple(errno.EINVAL if isinstance(each, AddRoute) else 0 for each in asked.changes)
    answer(story, *bad)
    (
        story
        << """
        error: Policy routing: 2 changes failed, the first with EINVAL: route append 10.0.1.0/24 dev if3 table 21002 proto 110
        info: Policy routing: 3 rules made (as planned)
        5 host routing-failed 2 changes failed, the first with EINVAL: route append 10.0.1.0/24 dev if3 table 21002 proto 110
        6 host routing-applied 3 rules made (as planned)
    """
    )
    story.fill(0.3)
    answer(story, errno.EINVAL, errno.EINVAL)
    story << ""
    for wait in (2.0, 4.0, 8.0):
        story >> wait - 0.1 << ""
        story.fill(0.1)
        answer(story, errno.EINVAL, errno.EINVAL)
        story << ""


def test_without_the_capability_it_says_so_once(play: Play) -> None:
    """Where nothing may be written, that is said once, and nothing more is tried."""
    story = begin(play)
    story.fill(0.2)
    answer(story, *[errno.EPERM] * 5)
    (
        story
        << """
        error: Policy routing: netevd may not change the network: it has not CAP_NET_ADMIN
        5 host routing-failed netevd may not change the network: it has not CAP_NET_ADMIN
    """
    )
    story.fill(has("10.0.1.9/24", 3))
    story >> 50.0 << ""


def test_a_kernel_without_ipv6(play: Play) -> None:
    """A family that the kernel has not is left out, and the other goes on."""
    story = begin(play)
    story.fill(0.2)
    (asked,) = [each for each in story.actions if isinstance(each, ChangeRouting)]
    carry_out(story, *[0] * len(asked.changes))
    story.pass_over()
    # a rule of the configuration is for both families
    assert all(change.rule.family == 4 for change in asked.changes if isinstance(change, AddRule))


def test_flushed_is_flushed(play: Play) -> None:
    """`netevd routing flush` removes all that is ours, and it does not come back by itself."""
    story = settle(play)

    (
        story
        >> FlushRouting()
        << """
        change 2:
        rule del priority 21002 from 10.0.1.1/32 lookup 21002 protocol 110
        rule del priority 21400 from all lookup main suppress_prefixlength 0 protocol 110
        rule del priority 21502 from 10.0.1.1/32 lookup 21502 protocol 110
        route del 10.0.1.0/24 dev if3 table 21002 proto 110
        route del default via 10.0.1.254 dev if3 table 21502 proto 110 metric 200
    """
    )
    carry_out(story)
    story.pass_over()
    assert ours(story) == []
    story.fill(has("10.0.1.9/24", 3))
    story >> 50.0 << ""


def test_a_helper_that_dies_in_between(play: Play) -> None:
    """What it was asked for is asked for again, as far as the kernel then lacks it."""
    story = begin(play)
    story.fill(0.2)
    (asked,) = [each for each in story.actions if isinstance(each, ChangeRouting)]
    story.fill(*[tell(each) for each in asked.changes[:2]], HelperConnected("it died"))
    story.fill(seen("eth0", 2, dump=2), seen("eth1", 3, dump=2))
    story.fill(has("10.0.0.1/24", 2, dump=2), has("10.0.1.1/24", 3, dump=2))
    story.fill(*[RuleSeen(each, dump=2) for each in MAIN])
    story.fill(DumpEnded(2, consistent=True))
    everything = (
        *UPLINKS,
        *[each.route for each in asked.changes[:2] if isinstance(each, AddRoute)],
    )
    story.fill(RoutesDumped(everything, 2), RoutesDumpEnded(2, consistent=True))
    for number in (3, 4):  # a loss is looked at twice
        story.fill(seen("eth0", 2, dump=number), seen("eth1", 3, dump=number))
        story.fill(has("10.0.0.1/24", 2, dump=number), has("10.0.1.1/24", 3, dump=number))
        story.fill(
            *[RuleSeen(each, dump=number) for each in MAIN], DumpEnded(number, consistent=True)
        )
        story.fill(RoutesDumped(everything, number), RoutesDumpEnded(number, consistent=True))
    story >> 0.2
    (again,) = [each for each in story.actions if isinstance(each, ChangeRouting)]
    assert again.changes == asked.changes[2:]
    story.pass_over()


def test_a_policy_that_is_off_has_no_times(play: Play) -> None:
    """Without policy routing nothing is ever due: the daemon sleeps."""
    story = play()
    story.begin(seen("eth0", 2, dump=1))
    story.fill(1.0)

    assert story.engine.deadline() is None


def test_off_again_removes_what_was(play: Play) -> None:
    """Ours of an earlier configuration goes, although nothing is wanted any more; then all is quiet."""
    before = settle(play)
    story = play(evolve(configure(routes=Routes())))
    story.fill(RunnerConnected(), HooksListed(()), HelperConnected(), seen("eth1", 3, dump=1))
    story.fill(
        *[RuleSeen(each, dump=1) for each in (*MAIN, *ours(before))], DumpEnded(1, consistent=True)
    )
    story.fill(
        RoutesDumped(tuple(before.engine.insight.get_routes()), 1),
        RoutesDumpEnded(1, consistent=True),
    )

    story.fill(0.2)
    (asked,) = [each for each in story.actions if isinstance(each, ChangeRouting)]
    assert [type(each) for each in asked.changes] == [DeleteRule] * 3 + [DeleteRoute] * 2
    carry_out(story)
    story.fill(1.0)
    assert story.engine.deadline() is None


def test_everything_is_read_again_from_time_to_time(play: Play) -> None:
    """Whatever the kernel did not tell is found by the next reading; the time is a matter of chance."""
    story = settle(play, start=Start(jitter=1.0))

    story.fill(65.0)
    assert not story.actions
    story.fill(1.1)
    assert {type(each) for each in story.actions} == {RequestDump, RequestRoutes}


def test_addresses_come_in_any_order(play: Play) -> None:
    """A default before its address, an address before its default: in the end all is there."""
    story = begin(play, routes=UPLINKS[:3])
    story.fill(0.2)
    carry_out(story)
    assert {each.table for each in story.engine.insight.get_routes() if each.protocol == 110} == {
        21002
    }
    story.fill(RouteSeen(UPLINKS[3]), 0.2)
    carry_out(story)
    assert {each.table for each in story.engine.insight.get_routes() if each.protocol == 110} == {
        21002,
        21502,
    }
    story.pass_over()
    assert address("10.0.1.1/24", 3) in story.engine.insight.get_snapshots()[1].addresses


def test_a_default_that_goes_takes_its_copy(play: Play) -> None:
    """When a router says that its lifetime is over, the kernel drops its route, and we our copy."""
    story = settle(play)

    story.fill(RouteGone(UPLINKS[3]))
    (
        story
        >> 0.2
        << """
        change 2:
        route del default via 10.0.1.254 dev if3 table 21502 proto 110 metric 200
    """
    )


def test_what_waits_for_its_time_holds_up_nothing(play: Play) -> None:
    """While something is left alone until later, what happens is looked at as soon as ever."""
    stale = Rule(4, 21007, 1, 21007, "10.9.9.9/32", protocol=110)  # type: ignore[arg-type]
    story = begin(play, stale, start=Start(grace_until=1030.0))
    story.fill(0.2)
    carry_out(story)
    story.fill(0.5, RuleGone(ours(story)[0]), 0.2)

    (asked,) = [each for each in story.actions if isinstance(each, ChangeRouting)]
    assert [type(each) for each in asked.changes] == [AddRule]
