"""Messages that are cut, crooked or not ours; what is not in any recording."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netevd.kernel.attributes import DecodeError
from netevd.kernel.decode import decode
from netevd.model.address import FOREVER
from netevd.model.inputs import AddressGone, AddressSeen, Input, LinkGone, LinkSeen
from netevd.model.link import Link

NEWLINK, DELLINK, NEWADDR, DELADDR = 16, 17, 20, 21
IFNAME = (3, b"eth0\0")

RECORDED = [
    bytes.fromhex(datagram)
    for line in (Path(__file__).parents[2] / "data" / "rtnetlink.jsonl").read_text().splitlines()
    for datagram in json.loads(line)["datagrams"]
]


def attribute(kind: int, value: bytes) -> bytes:
    """Return one padded attribute."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes) -> bytes:
    """Return one message."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link_message(
    *attributes: tuple[int, bytes], kind: int = NEWLINK, family: int = 0, ifindex: int = 2
) -> bytes:
    """Return a link message with these attributes."""
    body = struct.pack("=BxHiII", family, 1, ifindex, 0x1003, 0)
    return message(kind, body + b"".join(attribute(*each) for each in attributes))


def address_message(
    *attributes: tuple[int, bytes], kind: int = NEWADDR, family: int = 2, prefix: int = 24
) -> bytes:
    """Return an address message with these attributes."""
    body = struct.pack("=BBBBI", family, prefix, 0x80, 0, 2)
    return message(kind, body + b"".join(attribute(*each) for each in attributes))


def decode_link(*attributes: tuple[int, bytes]) -> Link:
    """Return the link of a message with a name and these attributes."""
    (seen,) = decode(link_message(IFNAME, *attributes))
    assert isinstance(seen, LinkSeen)
    return seen.link


class TestLinks:
    """RTM_NEWLINK and RTM_DELLINK."""

    def test_a_bare_link(self) -> None:
        """What a message does not say is 0, empty or None."""
        link = decode_link()

        assert link == Link(2, "eth0", 0x1003, 0, 0, "")  # type: ignore[arg-type]
        assert link.netnsid is None

    def test_removal_needs_no_attributes(self) -> None:
        """RTM_DELLINK says enough by its header."""
        assert decode(link_message(kind=DELLINK, ifindex=7)) == [LinkGone(7)]  # type: ignore[arg-type]

    @pytest.mark.parametrize("family", [7, 10, 28])
    @pytest.mark.parametrize("kind", [NEWLINK, DELLINK])
    def test_other_families_are_left_out(self, kind: int, family: int) -> None:
        """A bridge port's, IPv6's or MPLS's view of a link is not the link."""
        assert decode(link_message(IFNAME, kind=kind, family=family)) == []

    def test_a_wireless_event_is_left_out(self) -> None:
        """A message without a name tells nothing of the link."""
        assert decode(link_message((11, bytes(16)))) == []

    @pytest.mark.parametrize(
        ("octets", "text"),
        [
            (b"", ""),
            (bytes(4), ""),
            (b"\x02\0\0\0\0\x01", "02:00:00:00:00:01"),
            (bytes(range(8)), "00:01:02:03:04:05:06:07"),
            (bytes(16), ""),
            (bytes(20), ":".join(["00"] * 20)),
        ],
    )
    def test_link_layer_addresses(self, octets: bytes, text: str) -> None:
        """An IP address that a tunnel puts in the place of its MAC is none."""
        link = decode_link((1, octets), (54, octets))

        assert (link.mac, link.permanent_mac) == (text, text)

    def test_nested_flags_are_no_part_of_a_type(self) -> None:
        """NLA_F_NESTED may be set on an attribute and on those within it."""
        altnames = attribute(0x8000 | 53, b"one\0") + attribute(53, b"two\0") + attribute(9, b"?")
        kind = attribute(1, b"vlan\0")

        link = decode_link((0x8000 | 52, altnames), (0x8000 | 18, kind))

        assert link.altnames == ("one", "two")
        assert link.kind == "vlan"

    def test_link_info_without_a_kind(self) -> None:
        """A port's data of its master is no kind."""
        assert decode_link((18, attribute(4, b"bridge\0"))).kind == ""

    def test_a_peer_in_another_namespace(self) -> None:
        """Namespace 0 is a namespace, not none."""
        link = decode_link((5, struct.pack("=I", 9)), (37, struct.pack("=i", 0)))

        assert (link.peer, link.netnsid) == (9, 0)

    def test_names_that_are_not_utf8(self) -> None:
        """Undecodable bytes survive a round trip."""
        (seen,) = decode(link_message((3, b"a\xffb\0")))

        assert isinstance(seen, LinkSeen)
        assert seen.link.name.encode("utf-8", "surrogateescape") == b"a\xffb"


class TestAddresses:
    """RTM_NEWADDR and RTM_DELADDR."""

    def test_flags_of_the_header_count_without_the_attribute(self) -> None:
        """IFA_FLAGS, which has 32 bits, outweighs the header's eight."""
        old, new = decode(
            address_message((2, bytes([192, 0, 2, 1])))
            + address_message((2, bytes([192, 0, 2, 1])), (8, struct.pack("=I", 0x10080)))
        )

        assert isinstance(old, AddressSeen)
        assert isinstance(new, AddressSeen)
        assert (old.address.flags, new.address.flags) == (0x80, 0x10080)
        assert (old.address.preferred_s, old.address.valid_s) == (FOREVER, FOREVER)

    def test_local_and_remote_end(self) -> None:
        """IFA_LOCAL is ours; IFA_ADDRESS is the peer where it differs."""
        (gone,) = decode(
            address_message(
                (1, bytes([192, 0, 2, 2])), (2, bytes([192, 0, 2, 1])), kind=DELADDR, prefix=32
            )
        )

        assert isinstance(gone, AddressGone)
        assert (gone.address.ip, gone.address.peer) == ("192.0.2.1", "192.0.2.2")

    def test_ipv6_without_a_local_end(self) -> None:
        """IPv6 sends only IFA_ADDRESS where there is no peer."""
        (seen,) = decode(address_message((1, bytes(15) + b"\x01"), family=10, prefix=128))

        assert isinstance(seen, AddressSeen)
        assert (seen.address.family, seen.address.ip, seen.address.peer) == (6, "::1", "")

    def test_no_address_at_all(self) -> None:
        """IPv4 leaves out what is 0.0.0.0."""
        (seen,) = decode(address_message())

        assert isinstance(seen, AddressSeen)
        assert seen.address.ip == "0.0.0.0"

    def test_other_families_are_left_out(self) -> None:
        """Neither IPv4 nor IPv6: nothing."""
        assert decode(address_message(family=12)) == []


class TestDatagrams:
    """Many messages, other messages, wrong messages."""

    def test_order_is_kept_and_other_types_are_left_out(self) -> None:
        """One datagram may hold any number of messages of any type."""
        done, error, route = message(3, bytes(4)), message(2, bytes(20)), message(24, bytes(12))

        found = decode(
            done + link_message(IFNAME) + route + address_message() + error
            + link_message(kind=DELLINK)
        )  # fmt: skip

        assert [type(each) for each in found] == [LinkSeen, AddressSeen, LinkGone]

    def test_the_number_of_a_dump_is_passed_on(self) -> None:
        """Parts of a dump are marked by its number."""
        link, address = decode(link_message(IFNAME) + address_message(), dump=7)

        assert isinstance(link, LinkSeen)
        assert isinstance(address, AddressSeen)
        assert (link.dump, address.dump) == (7, 7)

    def test_nothing(self) -> None:
        """An empty datagram says nothing."""
        assert decode(b"") == []

    @pytest.mark.parametrize(
        ("wrong", "offset", "problem"),
        [
            (bytes(15), 0, "a message header needs 16"),
            (struct.pack("=IHHII", 15, 16, 0, 0, 0), 0, "message of 15 bytes"),
            (struct.pack("=IHHII", 99, 16, 0, 0, 0), 0, "message of 99 bytes, 16 are there"),
            (message(NEWLINK, bytes(15)), 0, "link message of 31 bytes"),
            (message(NEWADDR, bytes(7)), 0, "address message of 23 bytes"),
            (link_message(IFNAME, ifindex=0), 0, "ifindex 0"),
            (link_message(IFNAME, ifindex=-1), 0, "ifindex -1"),
            (message(NEWLINK, bytes(4) + b"\2" + bytes(11) + b"\3"), 32, "an attribute needs 4"),
            (
                message(NEWLINK, bytes(4) + b"\2" + bytes(11) + b"\3\0\1\0"),
                32,
                "attribute 1 of 3 bytes",
            ),
            (
                message(NEWLINK, bytes(4) + b"\2" + bytes(11) + b"\x09\0\1\0"),
                32,
                "attribute 1 of 9 bytes",
            ),
            (link_message(IFNAME, (4, b"\0\0")), 0, "MTU of 2 bytes"),
            (link_message(IFNAME, (16, b"")), 0, "operstate of 0 bytes"),
            (link_message(IFNAME, (10, bytes(8))), 0, "master of 8 bytes"),
            (link_message(IFNAME, (5, bytes(3))), 0, "link below of 3 bytes"),
            (link_message(IFNAME, (37, b"")), 0, "link namespace of 0 bytes"),
            (link_message(IFNAME, (18, b"\1")), 0, "a nested attribute needs 4"),
            (link_message(IFNAME, (52, b"\x09\0\1\0")), 0, "nested attribute 1 of 9 bytes"),
            (address_message(prefix=33), 0, "prefix length 33 of an IPv4 address"),
            (address_message(family=10, prefix=129), 0, "prefix length 129 of an IPv6 address"),
            (address_message((2, bytes(5))), 0, "has not 4 bytes"),
            (address_message((1, b""), (2, bytes(4))), 0, "has not 4 bytes"),
            (address_message((8, bytes(1))), 0, "address flags of 1 bytes"),
            (address_message((6, bytes(7))), 0, "lifetimes of 7 bytes"),
        ],
    )
    def test_a_wrong_message_is_named(self, wrong: bytes, offset: int, problem: str) -> None:
        """What is wrong, and where in the datagram, is said."""
        before = message(3, bytes(4))

        with pytest.raises(DecodeError, match=problem) as caught:
            decode(before + wrong)

        assert caught.value.offset == len(before) + offset
        assert f"offset {len(before) + offset}" in str(caught.value)

    @settings(max_examples=500, deadline=None)
    @given(st.sampled_from(RECORDED), st.integers(0, 2000), st.integers(0, 255), st.booleans())
    @example(RECORDED[0], 0, 0, False)
    def test_damage_never_raises_anything_else(
        self, datagram: bytes, where: int, octet: int, cut: bool
    ) -> None:
        """A recorded message that is cut or has a wrong byte is read, or refused as such."""
        where %= len(datagram)
        damaged = datagram[:where] + (b"" if cut else bytes([octet]) + datagram[where + 1 :])
        found: list[Input] = []

        try:
            found = decode(damaged)
        except DecodeError as error:
            assert 0 <= error.offset <= len(damaged)
        else:
            assert all(isinstance(each, Input) for each in found)

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200), st.sampled_from([NEWLINK, DELLINK, NEWADDR, DELADDR]))
    def test_noise_never_raises_anything_else(self, noise: bytes, kind: int) -> None:
        """Any bytes behind a header are read or refused."""
        try:
            found = decode(message(kind, noise))
        except DecodeError as error:
            assert 0 <= error.offset <= 16 + len(noise)
        else:
            assert all(isinstance(each, Input) for each in found)
