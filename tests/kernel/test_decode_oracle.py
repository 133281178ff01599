"""The decoder against pyroute2's, on recorded messages and on what this kernel says now."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import astuple, evolve, fields

from netevd.kernel.decode import decode, decode_namespaces, decode_neighbours, decode_routes
from netevd.model.address import Address
from netevd.model.inputs import (
    AddressGone,
    AddressSeen,
    Input,
    LinkGone,
    LinkSeen,
    NexthopChanged,
    RouteGone,
    RouteSeen,
    RuleGone,
    RuleSeen,
)
from netevd.model.link import Link
from netevd.model.rule import Rule
from tests.kernel.oracle import (
    count_slowly,
    decode_slowly,
    find_namespaces_slowly,
    find_neighbours_slowly,
)

DATA = Path(__file__).parent.parent / "data"
RECORDING = DATA / "rtnetlink.jsonl"

LIVE = r"""
import json, socket, subprocess, sys
events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
events.bind((0, 0x404D1 | 0x100 | 0x400))
events.settimeout(30)
for command in sys.stdin.read().strip().splitlines():
    subprocess.run(command.split(), check=True)
found = []
while not found or b"the-end\0" not in found[-1]:
    found.append(events.recv(65536))
print(json.dumps([each.hex() for each in found]))
"""

COMMANDS = """
ip link set lo up
ip link add v0 type veth peer name v1
ip link add b0 type bridge
ip link set v0 up
ip link set v1 up
ip link set v0 master b0
ip link set b0 up
ip link set v1 mtu 1400
ip link set v1 address 02:00:00:00:00:02
ip link property add dev v1 altname another-name
ip link add link v1 name m0 type macvlan
ip address add 192.0.2.1/24 dev v1
ip address add 192.0.2.3 peer 192.0.2.4/32 dev v1 valid_lft 600 preferred_lft 300
ip address add 2001:db8::1/64 dev v1
ip address add 2001:db8::2 peer 2001:db8::3/128 dev v1 nodad
ip route add 203.0.113.0/24 via 192.0.2.9 metric 5 mtu 1400
ip route append 203.0.113.0/24 via 192.0.2.10 metric 5
ip route replace 203.0.113.128/25 nexthop via 192.0.2.9 weight 3 nexthop via inet6 fe80::1 dev v1
ip route replace blackhole 203.0.113.128/25
ip -6 route add 2001:db8:5::/48 via 2001:db8::9
ip -6 route append 2001:db8:5::/48 via 2001:db8::8
ip -6 route del 2001:db8:5::/48 via 2001:db8::9
ip rule add from 192.0.2.0/24 fwmark 1/3 lookup 4711 suppress_prefixlength 0
ip -6 rule add iif v1 ipproto udp dport 53-99 prohibit
ip link set v0 nomaster
ip link set v1 down
ip link set v1 name the-end
"""


def strip(given: Input) -> Input:
    """Return an input without what pyroute2 does not read: the number of a nexthop object."""
    if isinstance(given, RouteSeen | RouteGone):
        return evolve(given, route=given.route._replace(nexthop_id=0))
    return given


def compare(datagrams: list[bytes]) -> list[Input]:
    """Return what both decoders read; fail where they differ in any field."""
    found: list[Input] = []
    for datagram in datagrams:
        ours = decode(datagram)
        both = [strip(each) for each in ours if not isinstance(each, NexthopChanged)]
        theirs = decode_slowly(datagram)
        assert both == theirs
        for our, their in zip(both, theirs, strict=True):
            # == leaves out lifetimes
            if isinstance(our, AddressSeen | AddressGone):
                assert astuple(our) == astuple(their)
        links = [each.link for each in ours if isinstance(each, LinkSeen)]
        assert [each.statistics for each in links] == count_slowly(datagram)
        assert decode_neighbours(datagram) == find_neighbours_slowly(datagram)
        spaces = [(there, each.nsid) for there, each in decode_namespaces(datagram)]
        assert spaces == find_namespaces_slowly(datagram)
        found += ours
    return found


def read(name: str) -> list[bytes]:
    """Return every datagram of a recording."""
    lines = [json.loads(line) for line in (DATA / name).read_text().splitlines()]
    return [bytes.fromhex(each) for line in lines for each in line["datagrams"]]


def test_recorded_messages_are_read_as_pyroute2_reads_them() -> None:
    """Every field of every recorded message is what the oracle says."""
    found = compare(read("rtnetlink.jsonl"))

    assert {type(each) for each in found} == {LinkSeen, LinkGone, AddressSeen, AddressGone}
    links = [each.link for each in found if isinstance(each, LinkSeen)]
    assert {each.kind for each in links} == {"", "veth", "bridge", "macvlan", "tun"}
    assert any(each.altnames for each in links)
    assert any(each.master for each in links)
    assert any(each.peer for each in links)
    assert any(each.name == "name\udcff" for each in links)
    addresses = [each.address for each in found if isinstance(each, AddressSeen)]
    assert {each.family for each in addresses} == {4, 6}
    assert {bool(each.peer) for each in addresses if each.family == 4} == {True, False}
    assert {bool(each.peer) for each in addresses if each.family == 6} == {True, False}
    assert {(each.preferred_s, each.valid_s) for each in addresses} >= {(300, 600), (0, 900)}


def test_recorded_routes_are_read_as_pyroute2_reads_them() -> None:
    """The same for routes, rules, neighbours and namespace numbers; the recording has all of it."""
    datagrams = read("routes.jsonl")
    found = compare(datagrams)

    seen = [each for each in found if isinstance(each, RouteSeen)]
    routes = [each.route for each in seen]
    assert {each.family for each in routes} == {4, 6}
    assert {each.type for each in routes} >= {1, 2, 6, 7, 8, 9}
    assert {each.table for each in routes} >= {254, 255, 4711, 200, 300}
    assert {len(each.nexthops) for each in routes} == {0, 1, 2, 3}
    assert {each.nexthop_id for each in routes} == {0, 7, 9, 17}
    assert any(":" in hop.gateway for each in routes if each.family == 4 for hop in each.nexthops)
    assert any(hop.weight == 200 for each in routes for hop in each.nexthops)
    assert any(hop.flags for each in routes for hop in each.nexthops)
    assert any(each.replace for each in seen)
    for name in ("preferred_source", "source", "tos", "metrics", "preference", "priority"):
        assert any(getattr(each, name) for each in routes), name
    assert {each.nexthop_id for each in found if isinstance(each, NexthopChanged)} >= {7, 8, 9, 17}
    rules = [each.rule for each in found if isinstance(each, RuleSeen)]
    for field in fields(Rule):
        if field.name not in ("tunnel_id",):
            values = {getattr(each, field.name) for each in rules}
            assert len(values) > 1, field.name
    assert any(isinstance(each, RouteGone) for each in found)
    assert any(isinstance(each, RuleGone) for each in found)
    neighbours = [each for one in datagrams for each in decode_neighbours(one)]
    assert {there for there, _ in neighbours} == {True, False}
    assert {each.nsid for one in datagrams for _, each in decode_namespaces(one)} == {42}


def test_a_dump_of_routes_is_read_as_its_events_are() -> None:
    """What a dump says of a route is what the events said of it."""
    lines = [json.loads(line) for line in (DATA / "routes.jsonl").read_text().splitlines()]
    dumps = [each for each in lines if each["command"].startswith("dump routes")]
    told = {
        each.route
        for line in lines
        for one in line["datagrams"]
        for each in decode(bytes.fromhex(one))
        if isinstance(each, RouteSeen) and not line["command"].startswith("dump")
    }
    dumped = {
        route
        for line in dumps
        for one in line["datagrams"]
        for route in decode_routes(bytes.fromhex(one))
    }

    assert len(dumped) > 40
    assert dumped <= told


def test_a_port_that_leaves_its_bridge_is_not_removed() -> None:
    """RTM_DELLINK of family AF_BRIDGE, which the kernel sends then, is not a removal."""
    lines = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    (line,) = [each for each in lines if each["command"] == "ip link set veth2 nomaster"]
    datagrams = [bytes.fromhex(each) for each in line["datagrams"]]

    heads = {(each[4], each[16]) for each in datagrams}
    assert (17, 7) in heads, "the recording has no RTM_DELLINK of family AF_BRIDGE"
    assert not [each for one in datagrams for each in decode(one) if isinstance(each, LinkGone)]


def test_messages_of_this_kernel_are_read_as_pyroute2_reads_them() -> None:
    """The kernel that runs the tests speaks as the recorded one did."""
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    if probe.returncode != 0 or os.geteuid() != 0:
        pytest.skip("needs root to make a network namespace")

    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", LIVE],
        input=COMMANDS,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    found = compare([bytes.fromhex(each) for each in json.loads(done.stdout)])
    values: list[Link | Address] = [e.link for e in found if isinstance(e, LinkSeen)]
    values += [each.address for each in found if isinstance(each, AddressSeen)]
    assert {each.kind for each in values if isinstance(each, Link)} >= {"veth", "bridge", "macvlan"}
    assert {each.family for each in values if isinstance(each, Address)} == {4, 6}
    assert {each.route.family for each in found if isinstance(each, RouteSeen | RouteGone)} == {
        4,
        6,
    }
    assert {each.rule.family for each in found if isinstance(each, RuleSeen)} == {4, 6}
