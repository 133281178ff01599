"""Messages of routes, rules, neighbours and namespaces that are cut, crooked, or in no recording."""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6, inet_pton

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netevd.kernel.attributes import DecodeError
from netevd.kernel.decode import decode, decode_namespaces, decode_neighbours, decode_routes
from netevd.model.inputs import NexthopChanged, RouteGone, RouteSeen, RuleSeen
from netevd.model.neighbour import Namespace, Neighbour
from netevd.model.route import Nexthop, Route
from netevd.model.rule import Rule
from tests.unit.kernel.test_decode import attribute, message

NEWROUTE, DELROUTE, NEWRULE, NEWNEIGH, DELNEIGH, NEWNSID, DELNEXTHOP = 24, 25, 32, 28, 29, 88, 105
DST, SRC, OIF, GATEWAY, METRICS, MULTIPATH, TABLE, VIA = 1, 2, 4, 5, 8, 9, 15, 18


def number(value: int) -> bytes:
    """Return a number as the kernel writes it."""
    return struct.pack("=I", value)


def route_message(
    *attributes: tuple[int, bytes],
    kind: int = NEWROUTE,
    family: int = AF_INET,
    length: int = 24,
    flags: int = 0,
    message_flags: int = 0,
) -> bytes:
    """Return a message of the route 10.1.2.0/24, or of what the attributes say."""
    body = struct.pack("=BBBBBBBBI", family, length, 0, 0, 254, 4, 253, 1, flags)
    if not attributes:
        attributes = ((DST, bytes((10, 1, 2, 0))), (OIF, number(2)))
    whole = message(kind, body + b"".join(attribute(*each) for each in attributes))
    return whole[:6] + struct.pack("=H", message_flags) + whole[8:]


def decode_route(*attributes: tuple[int, bytes], family: int = AF_INET, length: int = 0) -> Route:
    """Return the route of a message with these attributes."""
    (seen,) = decode(route_message(*attributes, family=family, length=length))
    assert isinstance(seen, RouteSeen)
    return seen.route


def hop(ifindex: int, *attributes: tuple[int, bytes], weight: int = 0, flags: int = 0) -> bytes:
    """Return one way of a multipath route."""
    tail = b"".join(attribute(*each) for each in attributes)
    return struct.pack("=HBBi", 8 + len(tail), flags, weight, ifindex) + tail


def test_a_bare_route() -> None:
    """What a message does not say is 0 or empty."""
    (seen,) = decode(route_message())
    assert isinstance(seen, RouteSeen)

    assert seen.route == Route(4, 254, "10.1.2.0/24", 0, 1, 4, 253, (Nexthop(2),))  # type: ignore[arg-type]
    assert not seen.replace


@given(
    st.binary(min_size=4, max_size=4), st.integers(0, 32), st.binary(min_size=4, max_size=4),
    st.integers(0, 2**31 - 1), st.integers(1, 2**32 - 1), st.integers(0, 4),
)  # fmt: skip
def test_the_plain_form_is_read_like_any_other(
    destination: bytes, length: int, gateway: bytes, link: int, table: int, flags: int
) -> None:
    """What has a short way through the decoder means the same on the long one."""
    attributes = (
        (TABLE, number(table)),
        (DST, destination),
        (GATEWAY, gateway),
        (OIF, number(link)),
    )
    short = route_message(*attributes, length=length, flags=flags)
    long = route_message(*attributes, (12, bytes(4)), length=length, flags=flags)
    assert len(short) == 60

    assert decode(short) == decode(long)
    assert type(decode_routes(short)[0]) is Route
    other = route_message(*attributes[::-1], length=length, flags=flags)
    assert decode_routes(other) == decode_routes(short)
    assert decode(route_message(*attributes, length=length, flags=0x200)) == []


def test_a_replacement_says_so() -> None:
    """NLM_F_REPLACE, and only that, makes a route a replacement."""
    for flags, replace in ((0x100, True), (0x400, False), (0x800, False), (0xD00, True)):
        (seen,) = decode(route_message(message_flags=flags))
        assert isinstance(seen, RouteSeen)
        assert seen.replace is replace


def test_a_route_without_destination_is_the_default_one() -> None:
    """The kernel leaves out the destination of length 0."""
    assert decode_route((OIF, number(2))).destination == "0.0.0.0/0"
    route = decode_route((GATEWAY, bytes(15) + b"\1"), family=AF_INET6)
    assert (route.destination, route.nexthops) == ("::/0", (Nexthop(0, "::1"),))  # type: ignore[arg-type]
    assert route.is_default


def test_a_table_beyond_the_header() -> None:
    """Tables from 256 on stand in an attribute."""
    assert decode_route((TABLE, number(4711)), (OIF, number(2))).table == 4711


def test_a_gateway_of_the_other_family() -> None:
    """RTA_VIA has its own address family, also within a multipath route."""
    via = struct.pack("=H", AF_INET6) + inet_pton(AF_INET6, "fe80::1")
    assert decode_route((VIA, via), (OIF, number(2))).nexthops == (Nexthop(2, "fe80::1"),)  # type: ignore[arg-type]

    several = hop(2, (VIA, via)) + hop(3, (GATEWAY, bytes((10, 0, 0, 1))), weight=4, flags=4)
    assert decode_route((MULTIPATH, several)).nexthops == (
        Nexthop(2, "fe80::1"), Nexthop(3, "10.0.0.1", 5, 4),  # type: ignore[arg-type]
    )  # fmt: skip


def test_flags_of_present_use_are_left_out() -> None:
    """Dead, carrier lost, offloaded: these come and go unsaid, so they are no part of a route."""
    assert decode_route((MULTIPATH, hop(2, flags=0x7B))).nexthops == (Nexthop(2),)  # type: ignore[arg-type]
    (seen,) = decode(route_message(flags=0x1))
    assert isinstance(seen, RouteSeen)
    assert seen.route.nexthops[0].flags == 0


def test_ways_of_ipv6_have_one_order() -> None:
    """A dump and an event name the same ways in different order."""
    gateway = inet_pton(AF_INET6, "2001:db8::1")
    there, back = hop(2, (GATEWAY, gateway)), hop(3, (GATEWAY, gateway))

    assert decode_route((MULTIPATH, there + back), family=AF_INET6) == decode_route(
        (MULTIPATH, back + there), family=AF_INET6
    )
    assert decode_route((MULTIPATH, hop(2) + hop(3))) != decode_route((MULTIPATH, hop(3) + hop(2)))


def test_cached_and_foreign_routes_are_left_out() -> None:
    """An exception that the kernel cached is no route, nor is one of another family."""
    assert decode(route_message(flags=0x200)) == []
    assert decode(route_message(family=129)) == []
    assert decode_routes(route_message(flags=0x200) + route_message()) == decode_routes(
        route_message()
    )


def test_a_removal() -> None:
    """RTM_DELROUTE names the whole route."""
    assert [type(each) for each in decode(route_message(kind=DELROUTE))] == [RouteGone]


def test_metrics_are_numbers() -> None:
    """The name of a congestion control is left out, every number is kept."""
    metrics = attribute(2, number(1400)) + attribute(16, b"bbr\0") + attribute(40, number(7))

    assert decode_route((METRICS, metrics), (OIF, number(2))).metrics == ((2, 1400), (40, 7))


@pytest.mark.parametrize(
    ("attributes", "length", "problem"),
    [
        (((DST, b"\1\2\3"),), 24, "address of 3 bytes, expected 4"),
        (((OIF, b"\1"),), 0, "outgoing link of 1 bytes, expected 4"),
        (((OIF, number(2)),), 33, "prefix length 33"),
        (((VIA, b"\2"),), 0, r"gateway \(RTA_VIA\) of 1 bytes"),
        (((VIA, struct.pack("=H", 28) + bytes(4)),), 0, "address family 28"),
        (((MULTIPATH, b"\1\0\0"),), 0, "a nexthop needs 8"),
        (((MULTIPATH, struct.pack("=HBBi", 7, 0, 0, 2)),), 0, "nexthop of 7 bytes"),
        (((MULTIPATH, struct.pack("=HBBi", 16, 0, 0, 2)),), 0, "nexthop of 16 bytes, 8 left"),
        (((METRICS, attribute(2, b"\1")),), 0, "route metric 2 of 1 bytes"),
        (((TABLE, b"\1"),), 0, "table of 1 bytes"),
    ],
)
def test_crooked_routes(
    attributes: tuple[tuple[int, bytes], ...], length: int, problem: str
) -> None:
    """What can't be is refused, with the place and the reason."""
    with pytest.raises(DecodeError, match=problem):
        decode(route_message(*attributes, length=length))


@pytest.mark.parametrize(("kind", "least"), [(NEWROUTE, 28), (NEWRULE, 28), (DELNEXTHOP, 24)])
def test_short_messages(kind: int, least: int) -> None:
    """A message without its whole header is refused."""
    for size in range(least - 16):
        with pytest.raises(DecodeError, match=f"expected {least} or more"):
            decode(message(kind, bytes(size)))


def test_a_changed_nexthop_object() -> None:
    """Its number is all that matters."""
    assert decode(message(DELNEXTHOP, bytes(8) + attribute(1, number(42)))) == [NexthopChanged(42)]


def test_a_bare_rule() -> None:
    """What a rule does not say is 0, empty or the word for none."""
    body = struct.pack("=BBBBBxxBI", AF_INET, 0, 0, 0, 254, 1, 0)
    assert decode(message(NEWRULE, body)) == [RuleSeen(Rule(4, 0, 1, 254))]  # type: ignore[arg-type]
    assert decode(message(NEWRULE, bytes((129, *body[1:])))) == []


def test_a_crooked_rule() -> None:
    """A range that has not two ends is refused."""
    body = struct.pack("=BBBBBxxBI", AF_INET, 0, 0, 0, 254, 1, 0)
    with pytest.raises(DecodeError, match="range of 3 bytes"):
        decode(message(NEWRULE, body + attribute(23, b"\1\2\3")))


def test_neighbours() -> None:
    """An entry without a link-layer address is one that is being asked for."""
    body = struct.pack("=BxxxiHBB", AF_INET, 2, 1, 0, 1)
    whole = message(NEWNEIGH, body + attribute(1, bytes((10, 0, 0, 9))))
    bridge = message(NEWNEIGH, bytes((7, *body[1:])))

    assert decode_neighbours(whole + bridge + message(DELNEIGH, whole[16:])) == [
        (True, Neighbour(2, 4, "10.0.0.9", "", 1, 0)),  # type: ignore[arg-type]
        (False, Neighbour(2, 4, "10.0.0.9", "", 1, 0)),  # type: ignore[arg-type]
    ]
    with pytest.raises(DecodeError, match="without an address"):
        decode_neighbours(message(NEWNEIGH, body))
    with pytest.raises(DecodeError, match="expected 28 or more"):
        decode_neighbours(message(NEWNEIGH, body[:11]))


def test_namespaces() -> None:
    """-1 is no number: the other namespace has none here any more."""
    found = decode_namespaces(
        message(NEWNSID, bytes(4) + attribute(1, number(3)))
        + message(NEWNSID + 1, bytes(4) + attribute(1, number(0xFFFFFFFF)))
    )

    assert found == [(True, Namespace(3)), (False, Namespace(-1))]


@given(st.binary(max_size=200), st.sampled_from((24, 25, 32, 33, 104, 105)))
def test_any_bytes_are_read_or_refused(body: bytes, kind: int) -> None:
    """No body of a route, rule or nexthop message ends in another error than DecodeError."""
    for family in (AF_INET, AF_INET6):
        try:
            decode(message(kind, bytes((family,)) + body))
        except DecodeError:
            continue
