"""The decoder against pyroute2's, on recorded messages and on what this kernel says now."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import astuple

from netevd.kernel.decode import decode
from netevd.model.address import Address
from netevd.model.inputs import AddressGone, AddressSeen, Input, LinkGone, LinkSeen
from netevd.model.link import Link
from tests.kernel.oracle import decode_slowly

RECORDING = Path(__file__).parent.parent / "data" / "rtnetlink.jsonl"

LIVE = r"""
import json, socket, subprocess, sys
events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
events.bind((0, 0x111))
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
ip link set v0 nomaster
ip link set v1 down
ip link set v1 name the-end
"""


def compare(datagrams: list[bytes]) -> list[Input]:
    """Return what both decoders read; fail where they differ in any field."""
    found: list[Input] = []
    for datagram in datagrams:
        ours, theirs = decode(datagram), decode_slowly(datagram)
        assert ours == theirs
        for our, their in zip(ours, theirs, strict=True):
            # == leaves out lifetimes
            assert astuple(our) == astuple(their)
        found += ours
    return found


def test_recorded_messages_are_read_as_pyroute2_reads_them() -> None:
    """Every field of every recorded message is what the oracle says."""
    lines = [json.loads(line) for line in RECORDING.read_text().splitlines()]

    found = compare([bytes.fromhex(each) for line in lines for each in line["datagrams"]])

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
