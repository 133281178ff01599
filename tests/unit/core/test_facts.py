"""Facts: what an event is about, whether it got better, and whether it is back where it was."""

from __future__ import annotations

import pytest
from attrs import evolve

from netevd.core.facts import describe_fact, find_fact, is_back, is_upward
from netevd.model.address import Address
from netevd.model.event import Event, EventType
from netevd.model.route import Route
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.playbook import address, link, route

PLAIN = Snapshot(link("eth0", 2), (), OperationalState.CARRIER)
LOST = Snapshot(link("eth0", 2, carrier=False), (), OperationalState.NO_CARRIER)
ROUTABLE = evolve(PLAIN, addresses=(address("10.0.0.1/24", 2),), state=OperationalState.ROUTABLE)
TENTATIVE = evolve(PLAIN, addresses=(address("fd00::1/64", 2, flags=0x40),))
USABLE = evolve(PLAIN, addresses=(address("fd00::1/64", 2),))
DEPRECATED = evolve(PLAIN, addresses=(address("fd00::1/64", 2, flags=0x20),))
WITH_GATEWAYS = evolve(PLAIN, gateways=("10.0.0.1", "fe80::1"))


def event(
    kind: EventType,
    before: Snapshot | None = PLAIN,
    after: Snapshot | None = PLAIN,
    *,
    address: Address | None = None,
    route: Route | None = None,
    gone: bool = False,
    family: int = 0,
) -> Event:
    """Return an event of eth0."""
    return Event(
        1, kind, 0, after, before, 1, address=address, route=route, gone=gone, family=family
    )


V6 = address("fd00::1/64", 2)
LAN = route("10.0.0.0/8", "10.9.9.9@2", metric=7)
OTHER = route("10.0.0.0/8", "10.9.9.8@2", metric=7)
T = EventType


@pytest.mark.parametrize(
    ("given", "fact", "words"),
    [
        (event(T.CARRIER), ("carrier", ""), "carrier state of eth0"),
        (event(T.NO_CARRIER), ("carrier", ""), "carrier state of eth0"),
        (event(T.OFF), ("operational", ""), "operational state of eth0"),
        (event(T.ROUTABLE), ("operational", ""), "operational state of eth0"),
        (event(T.ADDRESS_ADDED, address=V6), ("address", "fd00::1/64"), "address fd00::1/64 of eth0"),
        (event(T.ADDRESS_REMOVED, address=V6), ("address", "fd00::1/64"), "address fd00::1/64 of eth0"),
        (event(T.ADDRESS_USABLE, address=V6), ("usability", "fd00::1/64"),
         "usability fd00::1/64 of eth0"),
        (event(T.ADDRESS_DEPRECATED, address=V6), ("usability", "fd00::1/64"),
         "usability fd00::1/64 of eth0"),
        (event(T.ADDRESS_ADDED, address=evolve(address("10.0.0.1/32", 2), peer="10.0.0.2")),
         ("address", "10.0.0.1/32 peer 10.0.0.2"), "address 10.0.0.1/32 peer 10.0.0.2 of eth0"),
        (event(T.ROUTES, route=LAN), ("route", "10.0.0.0/8 table 254 metric 7"),
         "route 10.0.0.0/8 table 254 metric 7 of eth0"),
        (event(T.GATEWAY_CHANGED, family=4), ("gateway", "ipv4"), "gateway ipv4 of eth0"),
        (event(T.GATEWAY_CHANGED, family=6), ("gateway", "ipv6"), "gateway ipv6 of eth0"),
        (event(T.LINK_CHANGED), ("link-changed", ""), "link-changed of eth0"),
        (event(T.LINK_ADDED), ("link-added", ""), "link-added of eth0"),
    ],
)  # fmt: skip
def test_each_event_is_about_one_fact(given: Event, fact: tuple[str, str], words: str) -> None:
    """Its group and its subject, and how people are told."""
    assert find_fact(given) == fact
    assert describe_fact("eth0", *fact) == words


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (event(T.ADDRESS_ADDED, address=V6), event(T.ADDRESS_REMOVED, address=V6), True),
        (event(T.ADDRESS_REMOVED, address=V6), event(T.ADDRESS_ADDED, address=V6), True),
        (event(T.ADDRESS_ADDED, address=V6), event(T.ADDRESS_ADDED, address=V6), False),
        (event(T.ADDRESS_USABLE, TENTATIVE, USABLE, address=V6),
         event(T.ADDRESS_DEPRECATED, USABLE, DEPRECATED, address=V6), False),
        (event(T.ADDRESS_DEPRECATED, USABLE, DEPRECATED, address=V6),
         event(T.ADDRESS_USABLE, TENTATIVE, USABLE, address=V6), True),
        (event(T.ADDRESS_USABLE, None, USABLE, address=V6),
         event(T.ADDRESS_USABLE, TENTATIVE, USABLE, address=V6), False),
        (event(T.ROUTES, route=LAN), event(T.ROUTES, route=LAN, gone=True), True),
        (event(T.ROUTES, route=LAN, gone=True), event(T.ROUTES, route=LAN), True),
        (event(T.ROUTES, route=LAN, gone=True), event(T.ROUTES, route=OTHER), False),
        (event(T.ROUTES, route=LAN), event(T.ROUTES, route=OTHER), False),
        (event(T.GATEWAY_CHANGED, WITH_GATEWAYS, PLAIN, family=4),
         event(T.GATEWAY_CHANGED, PLAIN, WITH_GATEWAYS, family=4), True),
        (event(T.GATEWAY_CHANGED, PLAIN, WITH_GATEWAYS, family=6),
         event(T.GATEWAY_CHANGED, PLAIN, WITH_GATEWAYS, family=6), False),
        (event(T.NO_CARRIER, PLAIN, LOST), event(T.CARRIER, LOST, PLAIN), True),
        (event(T.NO_CARRIER, PLAIN, LOST), event(T.NO_CARRIER, PLAIN, LOST), False),
        (event(T.CARRIER, None, PLAIN), event(T.CARRIER, LOST, PLAIN), False),
        (event(T.OFF, ROUTABLE, LOST), event(T.ROUTABLE, LOST, ROUTABLE), True),
        (event(T.OFF, ROUTABLE, LOST), event(T.DEGRADED, LOST, PLAIN), False),
        (event(T.LINK_RENAMED, PLAIN, evolve(PLAIN, link=link("b", 2))),
         event(T.LINK_RENAMED, evolve(PLAIN, link=link("b", 2)), PLAIN), True),
        (event(T.LINK_CHANGED, PLAIN, evolve(PLAIN, link=link("eth0", 2, mtu=9))),
         event(T.LINK_CHANGED, evolve(PLAIN, link=link("eth0", 2, mtu=9)), PLAIN), True),
        (event(T.LINK_CHANGED, PLAIN, PLAIN),
         event(T.LINK_CHANGED, PLAIN, evolve(PLAIN, link=link("eth0", 2, mtu=9))), False),
        (event(T.LINK_ADDED, None), event(T.LINK_REMOVED), True),
    ],
)  # fmt: skip
def test_a_fact_is_back_or_not(first: Event, last: Event, *, expected: bool) -> None:
    """What was before the first event is held against what is after the last."""
    assert is_back(first, last) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (event(T.CARRIER), True), (event(T.NO_CARRIER), False),
        (event(T.LINK_ADDED), True), (event(T.LINK_REMOVED), False),
        (event(T.LINK_CHANGED), None), (event(T.LINK_RENAMED), None),
        (event(T.ADDRESS_ADDED), True), (event(T.ADDRESS_REMOVED), False),
        (event(T.ADDRESS_USABLE), True), (event(T.ADDRESS_DEPRECATED), False),
        (event(T.ROUTES, route=LAN), True), (event(T.ROUTES, route=LAN, gone=True), False),
        (event(T.GATEWAY_CHANGED, PLAIN, WITH_GATEWAYS, family=4), True),
        (event(T.GATEWAY_CHANGED, WITH_GATEWAYS, PLAIN, family=6), False),
        (event(T.ROUTABLE, PLAIN, ROUTABLE), True), (event(T.DEGRADED, ROUTABLE, PLAIN), False),
        (event(T.OFF, PLAIN, LOST), False), (event(T.ROUTABLE, None, ROUTABLE), True),
        (event(T.OFF, None, LOST), False),
        (event(T.CONFIGURED), True), (event(T.ACTIVATED), True),
        (event(T.FAILED), False), (event(T.UNMANAGED), False), (event(T.LINGER), False),
        (event(T.UNAVAILABLE), False), (event(T.DISCONNECTED), False),
        (event(T.UNKNOWN), False), (event(T.DEACTIVATING), False),
        (event(T.PENDING), None), (event(T.CONFIGURING), None), (event(T.IP_CHECK), None),
    ],
)  # fmt: skip
def test_each_event_has_a_direction(given: Event, *, expected: bool | None) -> None:
    """Better, worse, or neither."""
    assert is_upward(given) is expected
