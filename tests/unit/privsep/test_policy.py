"""Every request in every state: granted, denied or a violation."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsep import policy
from privsep.launch import WritePolicy
from privsep.policy import Denial, Grant, State, end_dump
from privsep.protocol import VERSION, Dump, Hello, Ping, ProtocolViolation

GREETED = State(greeted=True)

judge = partial(policy.judge, policy=WritePolicy(), now=0.0)


def test_hello_comes_first_and_once() -> None:
    """Hello of our version opens; a second one, another version, anything before it is a violation."""
    assert judge(Hello(VERSION), State()) == Grant(GREETED)
    for request, state in [
        (Hello(VERSION), GREETED),
        (Hello(VERSION + 1), State()),
        (Ping(1), State()),
        (Dump(1, "links"), State()),
    ]:
        with pytest.raises(ProtocolViolation):
            judge(request, state)


def test_one_dump_at_a_time() -> None:
    """A dump is granted when none is under way, denied otherwise; numbers only grow."""
    first = judge(Dump(3, "links"), GREETED)
    assert isinstance(first, Grant)

    assert judge(Dump(4, "links"), first.state) == Denial("dump 3 is under way")
    ended = end_dump(first.state)
    assert judge(Dump(4, "addresses"), ended) == Grant(State(True, 4, 4))
    with pytest.raises(ProtocolViolation):
        judge(Dump(3, "links"), ended)


@given(st.lists(st.one_of(
    st.builds(Hello, st.integers(0, 3)), st.builds(Ping, st.integers(1, 9)),
    st.builds(Dump, st.integers(1, 9), st.sampled_from(["links", "addresses"])), st.none())))  # fmt: skip
def test_no_order_of_requests_grants_two_dumps_at_once(requests) -> None:
    """Whatever is asked, at most one dump is under way and no number is granted twice."""
    state, granted = State(), []
    for request in requests:
        if request is None:
            state = end_dump(state)
            continue
        try:
            verdict = judge(request, state)
        except ProtocolViolation:
            return
        if isinstance(verdict, Grant):
            if isinstance(request, Dump):
                assert state.dump == 0
                granted.append(request.dump)
            state = verdict.state
    assert granted == sorted(set(granted))
