"""Variables where stories do not reach."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netevd.core.environment import LIMIT, build_values, find_bad_name
from netevd.model.address import Address
from netevd.model.event import Event, EventType
from netevd.model.link import IfIndex
from netevd.model.snapshot import OperationalState, Snapshot
from privsep.variables import ENVIRONMENT_LIMIT, find_bad_value, is_ifname
from tests.stories.playbook import address, link


def make_event(addresses: tuple[Address, ...], name: str = "eth0") -> Event:
    """Return an event of a link with these addresses before and after."""
    snapshot = Snapshot(link(name, 2), addresses, OperationalState.ROUTABLE)
    return Event(1, EventType.CARRIER, 0, snapshot, snapshot, 1)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("fe80::1/64", ""),
        ("febf::1/64", ""),
        ("fec0::1/64", "fec0::1"),
        ("fe7f::1/64", "fe7f::1"),
        ("169.254.1.1/16", ""),
        ("169.25.4.1/16", "169.25.4.1"),
        ("127.0.0.1/8", "127.0.0.1"),
    ],
)
def test_link_local_addresses_are_left_out(text: str, left: str) -> None:
    """ADDRESSES has no address of fe80::/10 or 169.254.0.0/16, and every other one."""
    values = dict(build_values(make_event((address(text, 2),)), emit_json=False))

    assert values["ADDRESSES"] == left


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4000), st.booleans())
def test_variables_always_fit(count: int, emit_json: bool) -> None:
    """Any number of addresses makes variables that the runner takes."""
    addresses = tuple(
        Address(IfIndex(2), 6, f"2001:db8:ffff:ffff:ffff:ffff:ffff:{each + 4096:x}", 64, 0, 0)
        for each in range(count)
    )

    values = list(build_values(make_event(addresses), emit_json=emit_json))

    assert find_bad_value(values) is None
    size = sum(len(name) + len(value) + 2 for name, value in values)
    assert size <= LIMIT < ENVIRONMENT_LIMIT
    if emit_json:
        shape = json.loads(dict(values)["JSON"])
        assert shape.get("truncated", False) == ("before" not in shape)
    listed = dict(values)["ADDRESSES"].split()
    assert listed == [each.ip for each in addresses[: len(listed)]]
    assert len(listed) == count or size > LIMIT - 64


@given(st.binary(min_size=1, max_size=15).filter(lambda raw: b"\0" not in raw))
def test_a_name_that_passes_is_one_for_the_runner(raw: bytes) -> None:
    """What the kernel may name a link either is refused here or is taken there."""
    name = raw.decode("utf-8", "surrogateescape")
    kernel_refuses = name in {".", ".."} or any(each in "/:" or each.isspace() for each in name)

    assert kernel_refuses or (find_bad_name(name) is None) == is_ifname(name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("a\udcff", "bytes that are not UTF-8"), ("a\x07", "control characters or white space"),
     ("a\u3000b", "control characters or white space")],
)  # fmt: skip
def test_what_is_wrong_with_a_name_is_said(name: str, fault: str) -> None:
    """The reason names the fault and what to do."""
    reason = find_bad_name(name)

    assert reason is not None
    assert fault in reason
    assert "network.links" in reason
