"""From a change to event types: which, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from netevd.core.classify import classify, introduce
from netevd.core.observe import Change
from netevd.model.address import IFA_F_DEPRECATED, IFA_F_TENTATIVE, Address
from netevd.model.link import IFF_LOWER_UP, IFF_UP, IfIndex, Link
from netevd.model.snapshot import OperationalState, Snapshot

LINK = Link(IfIndex(2), "eth0", IFF_UP | IFF_LOWER_UP, 6, 1500, "02:00:00:00:00:01")
BEFORE = Snapshot(LINK, (), OperationalState.CARRIER)
ADDRESS = Address(IfIndex(2), 4, "192.0.2.1", 24, 0, 0)


def find(change: Change) -> list[str]:
    """Return the types of a change, in order."""
    return [each.type.value for each in classify(change)]


def differ(changes: dict[str, Any]) -> Change:
    """Return the change of a link by these fields."""
    return Change(1, BEFORE, evolve(BEFORE, link=evolve(LINK, **changes)), ())


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"name": "lan0"}, ["link-renamed"]),
        ({"mtu": 9000}, ["link-changed"]),
        ({"mac": ""}, ["link-changed"]),
        ({"master": 5}, ["link-changed"]),
        ({"flags": IFF_LOWER_UP}, ["link-changed"]),
        ({"flags": IFF_UP}, ["no-carrier"]),
        ({"flags": 0}, ["link-changed", "no-carrier"]),
        ({"name": "lan0", "mtu": 9000, "flags": IFF_UP},
         ["link-renamed", "link-changed", "no-carrier"]),
        ({"operstate": 2}, []),
        ({"altnames": ("x",)}, []),
        ({"kind": "x"}, []),
        ({"peer": 7, "netnsid": 1}, []),
        ({"permanent_mac": "x"}, []),
    ],
)  # fmt: skip
def test_link_facts(changes: dict[str, Any], kinds: list[str]) -> None:
    """MTU, MAC, master and admin state are link-changed, once; other facts are no events."""
    assert find(differ(changes)) == kinds


@pytest.mark.parametrize("state", list(OperationalState))
def test_states(state: OperationalState) -> None:
    """The entry of a state is an event, but for carrier and no-carrier."""
    change = Change(1, evolve(BEFORE, state=OperationalState.OFF), evolve(BEFORE, state=state), ())
    silent = {OperationalState.OFF, OperationalState.CARRIER, OperationalState.NO_CARRIER}

    assert find(change) == ([] if state in silent else [state.value])


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        (None, 0, ["address-added", "address-usable"]),
        (None, IFA_F_TENTATIVE, ["address-added"]),
        (None, IFA_F_DEPRECATED, ["address-added", "address-usable", "address-deprecated"]),
        (IFA_F_TENTATIVE, 0, ["address-usable"]),
        (0, IFA_F_TENTATIVE, []),
        (0, IFA_F_DEPRECATED, ["address-deprecated"]),
        (IFA_F_DEPRECATED, 0, []),
        (0, None, ["address-removed"]),
    ],
)
def test_addresses(old: int | None, new: int | None, kinds: list[str]) -> None:
    """Each thing that begins for an address is told; of what ends, only the removal."""
    pair = tuple(None if flags is None else evolve(ADDRESS, flags=flags) for flags in (old, new))
    change = Change(1, BEFORE, BEFORE, (pair,))  # type: ignore[arg-type]

    assert find(change) == kinds
    assert {each.address and each.address.ip for each in classify(change)} <= {ADDRESS.ip}


def test_the_order_within_one_message() -> None:
    """Link, carrier, addresses, gateways, operational state."""
    link = evolve(LINK, name="lan0", mtu=9000, flags=0)
    after = Snapshot(link, (ADDRESS,), OperationalState.OFF, gateways=("192.0.2.9",))
    change = Change(1, BEFORE, after, ((None, ADDRESS),))

    assert find(change) == [
        "link-renamed", "link-changed", "no-carrier", "address-added", "address-usable",
        "gateway-changed", "off",
    ]  # fmt: skip


def test_a_new_link() -> None:
    """Addresses of a new link come after its state."""
    after = Snapshot(LINK, (ADDRESS,), OperationalState.ROUTABLE)

    assert find(Change(1, None, after, ((None, ADDRESS),))) == [
        "link-added", "carrier", "routable", "address-added", "address-usable",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "families"),
    [
        ((), ("192.0.2.9",), [4]),
        (("192.0.2.9",), ("192.0.2.9", "192.0.2.10"), []),
        (("192.0.2.9", "192.0.2.10"), ("192.0.2.10",), [4]),
        ((), ("192.0.2.9", "fe80::1"), [4, 6]),
        (("fe80::1",), ("fe80::2",), [6]),
        (("192.0.2.9", "fe80::1"), (), [4, 6]),
    ],
)
def test_gateways(old: tuple[str, ...], new: tuple[str, ...], families: list[int]) -> None:
    """The gateway that is used is told by family; one that waits behind it is not."""
    found = classify(Change(1, evolve(BEFORE, gateways=old), evolve(BEFORE, gateways=new), ()))

    assert [(each.type.value, each.family) for each in found] == [
        ("gateway-changed", family) for family in families
    ]


def test_a_vanished_link() -> None:
    """Only its addresses and itself, whatever its state was."""
    before = Snapshot(LINK, (ADDRESS,), OperationalState.ROUTABLE)
    change = Change(1, before, evolve(before, addresses=()), ((ADDRESS, None),), gone=True)

    assert find(change) == ["address-removed", "link-removed"]


def test_an_introduction() -> None:
    """A link as it is: one event for each state group that has one."""
    down = Snapshot(evolve(LINK, flags=0), (), OperationalState.OFF)

    assert [each.type.value for each in introduce(BEFORE)] == ["carrier"]
    assert [each.type.value for each in introduce(down)] == ["no-carrier", "off"]
