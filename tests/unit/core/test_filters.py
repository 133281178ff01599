"""Filters by themselves: events that no link has, and the bound of what is remembered."""

from __future__ import annotations

import pytest
from attrs import evolve

from netevd.config.kinds import EventTypes, Expression, InterfaceName, KindName, Pattern
from netevd.config.schema import Filter, Match
from netevd.core import filters
from netevd.core.filters import Filters
from netevd.model.event import Event, EventType
from netevd.model.snapshot import OperationalState, Snapshot
from netevd.model.verdict import EXECUTE
from tests.stories.playbook import link

HOST = Event(1, EventType.GATEWAY_CHANGED, 0, None, None, 0)


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        (Match(), True),
        (Match(event_type=EventTypes(("gateway-*",))), True),
        (Match(condition=Expression("interface == '' && addresses == []")), True),
        (Match(interface=InterfaceName("eth0")), False),
        (Match(interface_pattern=Pattern("*")), False),
        (Match(kind=KindName("")), False),
        (Match(ip_family="ipv4"), False),
        (Match(backend="kernel"), True),
        (Match(backend="dhclient"), False),
    ],
)
def test_what_is_about_a_link_never_matches_an_event_of_the_host(
    match: Match, *, matches: bool
) -> None:
    """Not even a glob that every name is like, nor the kind of hardware."""
    verdict = Filters((Filter("ignore", match),)).judge(HOST, [])

    assert (verdict != EXECUTE) is matches


def test_a_filter_that_is_written_nowhere_has_a_number() -> None:
    """It is called by it alone."""
    verdict = Filters((Filter("log"),)).judge(HOST, [])

    assert verdict.reason == "filter 1: action log"
    assert (verdict.file, verdict.line) == ("", 0)


def test_what_is_remembered_of_links_is_bounded() -> None:
    """However many links come and go, and each verdict stays right."""
    rules = Filters((Filter("ignore", Match(interface_pattern=Pattern("*7"))),))
    event = evolve(HOST, type=EventType.CARRIER, lane=1)

    for number in range(2 * filters._CANDIDATES_LIMIT + 10):
        after = Snapshot(link(f"a{number}", 1), (), OperationalState.CARRIER)
        verdict = rules.judge(evolve(event, after=after), [])
        assert (verdict == EXECUTE) is (number % 10 != 7)
        assert len(rules._candidates) <= filters._CANDIDATES_LIMIT


def test_a_hardware_link_has_an_empty_kind() -> None:
    """kind "" matches it and no other."""
    rules = Filters((Filter("ignore", Match(kind=KindName(""))),))
    hardware = Snapshot(link("a", 1, kind=""), (), OperationalState.CARRIER)
    veth = Snapshot(link("a", 1, kind="veth"), (), OperationalState.CARRIER)

    assert rules.judge(evolve(HOST, after=hardware), []).action == "ignore"
    assert rules.judge(evolve(HOST, after=veth), []) == EXECUTE
