"""What may be written: every field of every request, out of range by one and far out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsep.launch import WritePolicy
from privsep.policy import HELD, SPAN, WRITES, Denial, Grant, State, judge
from privsep.protocol import (
    REQUEST,
    AddRoute,
    AddRule,
    Change,
    DeleteRoute,
    DeleteRule,
    ProtocolViolation,
    Write,
    pack,
)

OPEN = WritePolicy(adds=True, marks=0xFF00, tunnels=True)
GREETED = State(greeted=True)

RULE = AddRule(4, 21001, 21001, "10.0.0.1/32")
SUPPRESS = AddRule(6, 21400, 254, suppress=0)
FIXED = AddRule(4, 20010, 200, "10.8.0.0/16")
MARK = AddRule(4, 20901, 21501, mark=0x100, mask=0xFF00)
ROUTE = AddRoute(4, 21501, "0.0.0.0/0", 0, 3, "10.0.0.254", onlink=True)
MAIN = AddRule(4, 21900, 254, suppress=15)
TUNNEL = AddRule(4, 21901, 21901, suppress=15)
UNMARKED = AddRule(6, 21949, 21949, mark=0xCA6C, mask=0xFFFFFFFF, invert=True)
INTO = AddRoute(4, 21901, "10.0.0.0/8", 0, 3)
REFUSAL = AddRoute(6, 21501, "::/0", 7, 0, refuses=True)


def vary(change: Change, **fields: Any) -> Change:
    """Return a request with other fields."""
    values = {name: getattr(change, name) for name in change.__struct_fields__} | fields
    return type(change)(**values)


def ask(*changes: Change, state: State = GREETED, policy: WritePolicy = OPEN, now: float = 1.0):
    """Return the verdict on what really comes over the channel."""
    return judge(REQUEST.unpack(pack(Write(list(changes)))), state, policy, now)


@pytest.mark.parametrize("change", [
    RULE, SUPPRESS, FIXED, MARK, ROUTE, REFUSAL, MAIN, TUNNEL, vary(TUNNEL, suppress=0), UNMARKED,
    vary(UNMARKED, suppress=47), INTO,
])  # fmt: skip
def test_what_is_wanted_is_granted_and_may_be_taken_back(change: Change) -> None:
    """Each kind may be made; removed it may be even where nothing of ours is wanted any more."""
    gone = DeleteRule if isinstance(change, AddRule) else DeleteRoute
    fields = {name: getattr(change, name) for name in change.__struct_fields__}

    assert isinstance(ask(change), Grant)
    assert isinstance(ask(gone(**fields)), Grant)
    assert isinstance(ask(gone(**fields), policy=WritePolicy(marks=0xFF00)), Grant)
    with pytest.raises(ProtocolViolation, match="nothing of ours"):
        ask(change, policy=WritePolicy(marks=0xFF00))


@pytest.mark.parametrize(
    "change",
    [
        # priorities and tables that are not ours, or not each other's
        *[vary(RULE, priority=n, table=n) for n in (0, 1, 254, 19999, 21000, 21900, 32766, 2**32 - 1)],
        *[vary(RULE, table=n) for n in (0, 253, 254, 255, 21000, 21002, 21501, 52)],
        # rules that catch what is not one link's
        vary(RULE, source=""), vary(RULE, source="0.0.0.0/0"), vary(RULE, source="10.0.0.0/7"),
        AddRule(6, 21001, 21001, "2000::/3"), vary(RULE, destination="10.0.0.0/8"), vary(RULE, iif="eth0"),
        vary(RULE, mark=1, mask=1), vary(RULE, suppress=0), vary(RULE, oif="eth0"),
        # the rule of main is one rule
        vary(SUPPRESS, suppress=-1), vary(SUPPRESS, table=255), vary(SUPPRESS, source="2001:db8::/32"),
        vary(SUPPRESS, oif="eth0"), vary(SUPPRESS, mask=1), vary(SUPPRESS, iif="lo"),
        vary(SUPPRESS, priority=21399), vary(SUPPRESS, priority=21401),
        # rules of the configuration
        vary(FIXED, source=""), vary(FIXED, table=0), vary(FIXED, table=21501), vary(FIXED, suppress=0),
        vary(FIXED, priority=19999), vary(FIXED, iif="a/b"), vary(FIXED, oif="x" * 16), vary(FIXED, mark=2, mask=1),
        vary(MARK, mask=0xFFFF), vary(MARK, mask=0, mark=0),
        # rules of tunnels: never all that there is, never for some sources or links, never elsewhere
        vary(MAIN, suppress=-1), vary(MAIN, mark=1, mask=0xFFFFFFFF, invert=True), vary(MAIN, invert=True),
        vary(TUNNEL, suppress=-1), vary(TUNNEL, mark=1, mask=1), vary(UNMARKED, mark=0), vary(UNMARKED, mask=0xCA6C),
        vary(UNMARKED, invert=False), vary(UNMARKED, mask=0, mark=0),
        *[vary(TUNNEL, table=n) for n in (0, 52, 253, 255, 21001, 21501, 21900, 21950)],
        *[vary(TUNNEL, priority=n) for n in (0, 20001, 21001, 21400, 21501, 21899, 21950, 32766)],
        vary(TUNNEL, source="10.0.0.0/8"), vary(TUNNEL, destination="10.0.0.0/8"), vary(TUNNEL, iif="lo"),
        vary(TUNNEL, oif="lo"), vary(RULE, invert=True), vary(FIXED, invert=True), vary(FIXED, table=21901),
        vary(SUPPRESS, suppress=1), vary(MARK, table=21901),
        vary(INTO, gateway="10.0.0.1"), vary(INTO, ifindex=0), vary(INTO, refuses=True, ifindex=0),
        # routes
        *[vary(ROUTE, table=n) for n in (0, 52, 253, 254, 255, 21000, 21900, 21950, 2**32 - 1)],
        vary(ROUTE, ifindex=0), vary(ROUTE, refuses=True), vary(REFUSAL, ifindex=1), vary(REFUSAL, refuses=False),
        vary(REFUSAL, gateway="fe80::1"),
    ],
)  # fmt: skip
def test_what_is_not_ours_ends_the_worker(change: Change) -> None:
    """No such rule or route is ever made, beside good ones neither."""
    with pytest.raises(ProtocolViolation):
        ask(change)
    with pytest.raises(ProtocolViolation):
        ask(RULE, change, ROUTE)


def test_tunnels_and_policies_are_wanted_by_themselves() -> None:
    """Who wants routes of tunnels may not make rules of links, and the other way round."""
    tunnels, links = WritePolicy(tunnels=True), WritePolicy(adds=True)
    for wanted, other, changes in (
        (tunnels, links, (MAIN, TUNNEL, UNMARKED, INTO)),
        (links, tunnels, (RULE, ROUTE)),
    ):
        for change in changes:
            assert isinstance(ask(change, policy=wanted), Grant)
            with pytest.raises(ProtocolViolation, match="nothing of ours"):
                ask(change, policy=other)


@pytest.mark.parametrize("number", [0, 254, 19999, 21950, 32766, 2**32 - 1])
def test_what_is_out_of_our_range_is_not_removed(number: int) -> None:
    """Within it, whatever has our number may go, of whatever shape; the kernel looks at the number."""
    with pytest.raises(ProtocolViolation):
        ask(DeleteRule(4, number, 254))
    with pytest.raises(ProtocolViolation):
        ask(DeleteRoute(4, number, "0.0.0.0/0", 0, 3))
    assert isinstance(ask(DeleteRule(4, 21001, 52), DeleteRoute(4, 21001, "", 0, 0)), Grant)


@pytest.mark.parametrize(
    "change",
    [
        vary(RULE, family=5), vary(RULE, source="10.0.0.1"), vary(RULE, source="a/b/c"), vary(RULE, source="10.0.0.1/1000"),
        vary(RULE, priority=-1), vary(RULE, priority=2**32), vary(RULE, source=b"\x00" * 4), vary(RULE, mark="1"),
        vary(ROUTE, gateway="router"), vary(ROUTE, gateway="10.0.0.1\n"), vary(ROUTE, ifindex=-1), vary(ROUTE, onlink=2),
        vary(ROUTE, destination="x" * 60), vary(ROUTE, destination="::/0 "),
    ],
)  # fmt: skip
def test_what_has_the_wrong_type_is_no_request(change: Change) -> None:
    """Types and texts are checked before anything is judged."""
    with pytest.raises(ProtocolViolation):
        ask(change)


def test_no_changes_and_too_many_are_no_request() -> None:
    """A request has 1 to 64 changes."""
    with pytest.raises(ProtocolViolation):
        ask()
    with pytest.raises(ProtocolViolation):
        ask(*[RULE] * 65)


def test_so_many_and_no_more() -> None:
    """What is held has a limit, and so has what is changed in a time."""
    full = GREETED._replace(held=HELD)
    assert isinstance(ask(RULE, state=full), Denial)
    assert isinstance(ask(ROUTE, state=full), Denial)
    assert isinstance(ask(DeleteRule(4, 21001, 21001, "10.0.0.1/32"), RULE, state=full), Grant)
    assert ask(DeleteRule(4, 21001, 21001, "10.0.0.1/32")).state.held == 0

    busy = GREETED._replace(writes=WRITES, since=100.0)
    assert isinstance(ask(RULE, state=busy, now=100.0 + SPAN - 0.1), Denial)
    granted = ask(RULE, state=busy, now=100.0 + SPAN)
    assert isinstance(granted, Grant)
    assert (granted.state.writes, granted.state.held) == (1, 1)


CHANGES = st.builds(
    lambda kind, *values: kind(*values),
    st.just(AddRule),
    st.sampled_from([4, 6]),
    st.one_of(st.integers(0, 2**32 - 1), st.integers(19990, 22000)),
    st.one_of(st.integers(0, 2**32 - 1), st.integers(20990, 22000), st.just(254)),
    st.sampled_from(["", "10.0.0.1/32", "0.0.0.0/0", "2001:db8::/64", "::/0"]),
    st.sampled_from(["", "10.0.0.0/8"]),
    st.sampled_from(["", "eth0", "a b"]),
    st.sampled_from(["", "eth0"]),
    st.sampled_from([0, 0x100]),
    st.sampled_from([0, 0xFF00]),
    st.booleans(),
)


@given(CHANGES)
def test_what_is_granted_stays_in_its_range(change: AddRule) -> None:
    """Of all rules, those that are granted have our priorities, and none of them catches all."""
    try:
        verdict = ask(change)
    except ProtocolViolation:
        return
    assert isinstance(verdict, Grant)
    assert 20000 <= change.priority < 21900
    if change.priority >= 21000 and change.priority != 21400:
        assert change.table == change.priority
        assert change.source not in {"", "0.0.0.0/0", "::/0"} or change.oif
    if change.table == 254 and change.priority >= 21000:
        assert change.suppress
    assert (
        change.source
        or change.destination
        or change.iif
        or change.oif
        or change.mask
        or change.suppress
    )
