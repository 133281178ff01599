"""The one schema of links and events."""

from __future__ import annotations

import json
import struct

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from netevd.model.address import (
    IFA_F_DADFAILED,
    IFA_F_DEPRECATED,
    IFA_F_TENTATIVE,
    Address,
)
from netevd.model.event import Event, EventType
from netevd.model.link import IfIndex, Link, Statistics
from netevd.model.route import Nexthop, Route, Table
from netevd.model.shape import (
    describe_route,
    printable,
    shape_address,
    shape_event,
    shape_interface,
    show_address_state,
    show_flags,
    show_time,
)
from netevd.model.snapshot import OperationalState, Snapshot

LINK = Link(
    IfIndex(2), "eth0", 0x11043, 6, 1500, "02:00:00:00:00:01", "02:00:00:00:00:02", "veth",
    counters=struct.pack("=10Q", *range(1, 11)),
)  # fmt: skip
ADDRESS = Address(IfIndex(2), 4, "192.0.2.1", 24, 0, 0, "192.0.2.9")
SNAPSHOT = Snapshot(LINK, (ADDRESS,), OperationalState.ROUTABLE, "br0", ("192.0.2.9", "fe80::1"))


def test_an_event_of_the_host() -> None:
    """An event that no link has says so by null; a route has its own object."""
    hops = (Nexthop(IfIndex(2), "192.0.2.9"), Nexthop(IfIndex(0), "", 5))
    route = Route(
        4, Table(300), "0.0.0.0/0", 100, 6, 4, 253, hops, "192.0.2.1", metrics=((2, 1400), (99, 1))
    )

    shape = shape_event(Event(7, EventType.ROUTES, 0, None, None, 0, route=route, gone=True))

    assert (shape["interface"], shape["index"], shape["state"]) == (None, None, None)
    assert shape["change"] == "del"
    assert shape["route"] == {
        "destination": "0.0.0.0/0",
        "family": "ipv4",
        "table": 300,
        "metric": 100,
        "type": "blackhole",
        "protocol": "static",
        "scope": "link",
        "nexthops": [
            {"index": 2, "interface": None, "gateway": "192.0.2.9", "weight": 1},
            {"index": None, "interface": None, "gateway": None, "weight": 5},
        ],
        "preferred_source": "192.0.2.1",
        "source": None,
        "nexthop_id": None,
        "metrics": {"mtu": 1400, "99": 1},
        "owned": False,
    }


@pytest.mark.parametrize(
    ("route", "line"),
    [
        (Route(4, Table(254), "10.0.0.0/8", 0, 1, 3, 0, (Nexthop(IfIndex(2), "192.0.2.9"),)),
         "10.0.0.0/8 via 192.0.2.9 dev if2 proto boot"),
        (Route(6, Table(255), "::/0", 5, 7, 200, 0, (), "2001:db8::1", "2001:db8::/64"),
         "unreachable default from 2001:db8::/64 table local proto 200 src 2001:db8::1 metric 5"),
        (Route(4, Table(77), "0.0.0.0/0", 0, 1, 16, 0,
               (Nexthop(IfIndex(2), "192.0.2.9"), Nexthop(IfIndex(3)))),
         "default nexthop via 192.0.2.9 dev if2 nexthop dev if3 table 77 proto dhcp"),
    ],
)  # fmt: skip
def test_a_route_in_one_line(route: Route, line: str) -> None:
    """A route is written as ip-route(8) writes it."""
    assert describe_route(route, lambda ifindex: f"if{ifindex}") == line


def test_an_interface() -> None:
    """The object of a link has these keys and no others."""
    assert shape_interface(SNAPSHOT) == {
        "name": "eth0",
        "index": 2,
        "state": "routable",
        "kind": "veth",
        "mac_address": "02:00:00:00:00:01",
        "permanent_mac_address": "02:00:00:00:00:02",
        "mtu": 1500,
        "flags": ["UP", "BROADCAST", "RUNNING", "MULTICAST", "LOWER_UP"],
        "operstate": "up",
        "carrier": True,
        "master": "br0",
        "altnames": [],
        "addresses": [shape_address(ADDRESS)],
        "gateways": ["192.0.2.9", "fe80::1"],
        "backend": "kernel",
        "setup_state": None,
        "device_state": None,
        "connection": None,
        "ssid": None,
        "bssid": None,
        "leases": [],
        "dns": [],
        "domains": [],
        "ntp": [],
        "statistics": dict(
            zip(Statistics._fields, range(1, 11), strict=True),
        ),
    }


def test_what_an_interface_does_not_have_is_null() -> None:
    """Absent text is null, not empty, and no key is missing."""
    bare = Snapshot(Link(IfIndex(2), "tun0", 0, 0, 0, ""), (), OperationalState.OFF)

    shape = shape_interface(bare)

    absent = [key for key, value in shape.items() if value is None]
    assert absent == [
        "kind", "mac_address", "permanent_mac_address", "master",
        "setup_state", "device_state", "connection", "ssid", "bssid", "statistics",
    ]  # fmt: skip
    assert shape["operstate"] == "unknown"
    assert shape_address(evolve(ADDRESS, peer=""))["peer"] is None


def test_an_event() -> None:
    """The object of an event names its link and both states."""
    before = evolve(SNAPSHOT, state=OperationalState.CARRIER)
    event = Event(
        7, EventType.ADDRESS_ADDED, 1_500_000_000, SNAPSHOT, before, 1, address=ADDRESS, family=4
    )

    assert shape_event(event) == {
        "sequence": 7,
        "type": "address-added",
        "time": "1970-01-01T00:00:01.500Z",
        "interface": "eth0",
        "index": 2,
        "backend": "kernel",
        "initial": False,
        "state": "routable",
        "previous_state": "carrier",
        "family": "ipv4",
        "address": shape_address(ADDRESS),
        "route": None,
        "change": None,
        "wireguard": None,
        "routing": None,
        "lease": None,
        "reason": None,
        "host": None,
        "coalesced": None,
    }
    bare = shape_event(Event(7, EventType.LINK_ADDED, 0, SNAPSHOT, None, 1))
    assert (bare["previous_state"], bare["address"]) == (None, None)


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (0, "usable"),
        (IFA_F_DEPRECATED, "deprecated"),
        (IFA_F_TENTATIVE, "tentative"),
        (IFA_F_TENTATIVE | IFA_F_DEPRECATED, "tentative"),
        (IFA_F_TENTATIVE | IFA_F_DADFAILED, "duplicate"),
    ],
)
def test_address_states(flags: int, word: str) -> None:
    """One word says what matters most."""
    assert show_address_state(evolve(ADDRESS, flags=flags)) == word


@pytest.mark.parametrize(
    ("scope", "word"), [(0, "global"), (200, "site"), (253, "link"), (254, "host"), (7, "7")]
)
def test_scopes(scope: int, word: str) -> None:
    """Scopes are words, or numbers where an administrator made them up."""
    assert shape_address(evolve(ADDRESS, scope=scope))["scope"] == word


def test_flags_are_in_the_order_of_their_bits() -> None:
    """A flag that has no word is left out."""
    assert show_flags(1 << 30 | 1 << 18 | 1) == ["UP", "ECHO"]


def test_an_unknown_operstate_is_a_number() -> None:
    """A value of a later kernel is shown, not refused."""
    assert shape_interface(evolve(SNAPSHOT, link=evolve(LINK, operstate=9)))["operstate"] == "9"


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999_999, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_123_999_999, "2023-11-14T22:13:20.123Z"),
        (253_402_300_799_999_000_000, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times(time_ns: int, text: str) -> None:
    """Times are UTC with milliseconds, cut and not rounded."""
    assert show_time(time_ns) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("eth0", "eth0"),
        ("größe", "größe"),
        ("a\nb", "a\\x0ab"),
        ("a\x7f\x9b", "a\\x7f\\x9b"),
        ("a\u2028", "a\\x2028"),
        ("a\udcff", "a\\xff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """What could not be encoded, or could forge a line, is escaped."""
    assert printable(text) == shown


def test_an_escaped_name_says_so() -> None:
    """A reader can tell that a name is not the kernel's own."""
    strange = evolve(SNAPSHOT, link=evolve(LINK, name="a\udcff"))

    assert shape_interface(strange)["name"] == "a\\xff"
    assert shape_interface(strange)["name_is_escaped"] is True
    assert "name_is_escaped" not in shape_interface(SNAPSHOT)


@given(st.binary(max_size=15))
def test_any_name_can_be_encoded(raw: bytes) -> None:
    """Whatever bytes a link is named by, its object is JSON."""
    name = raw.decode("utf-8", "surrogateescape")
    link = evolve(LINK, name=name, altnames=(name,))
    shape = shape_interface(Snapshot(link, (), OperationalState.OFF, name))

    assert json.loads(json.dumps(shape, ensure_ascii=False).encode()) == shape
