"""From feed messages to inputs."""

from __future__ import annotations

import struct

import pytest

from netevd.kernel.feed import FeedTranslator, dump_id
from netevd.model.inputs import AddressSeen, DumpEnded, LinkGone, LinkSeen, Overran
from privsep import protocol
from tests.unit.kernel.test_decode import DELLINK, IFNAME, address_message, link_message

BROKEN = b"\x05\0\0\0"


@pytest.fixture
def feed() -> FeedTranslator:
    """The translator of one helper."""
    return FeedTranslator()


def end(number: int, errno: int = 0, *, interrupted: bool = False) -> protocol.DumpFinished:
    """Return the end of one half of a dump."""
    return protocol.DumpFinished(number, errno, interrupted)


def test_events_are_decoded_in_order(feed: FeedTranslator) -> None:
    """Every datagram of a batch is read, oldest first."""
    parts = [link_message(IFNAME) + address_message(), link_message(kind=DELLINK)]

    found = feed.translate(protocol.Datagrams(protocol.LINKS, parts))

    assert [type(each) for each in found] == [LinkSeen, AddressSeen, LinkGone]
    assert isinstance(found[0], LinkSeen)
    assert found[0].dump == 0


def test_the_route_socket_says_nothing_yet(feed: FeedTranslator) -> None:
    """Routes are not read, and their loss costs no dump of links."""
    message = protocol.Datagrams(protocol.ROUTES, [link_message(IFNAME)])

    assert feed.translate(message) == []
    assert feed.translate(protocol.Overrun(protocol.ROUTES)) == []


def test_a_loss_is_passed_on(feed: FeedTranslator) -> None:
    """The kernel's overrun of the link socket is one of the core."""
    assert feed.translate(protocol.Overrun(protocol.LINKS)) == [Overran()]


def test_an_event_that_does_not_decode_counts_as_lost(feed: FeedTranslator) -> None:
    """The loss stands where the datagram stood, and names the reason; the others are read."""
    parts = [link_message(IFNAME), BROKEN, link_message(kind=DELLINK)]

    first, loss, last = feed.translate(protocol.Datagrams(protocol.LINKS, parts))

    assert isinstance(first, LinkSeen)
    assert loss == Overran("netlink datagram, offset 0: 4 bytes left, a message header needs 16")
    assert isinstance(last, LinkGone)


def test_two_dumps_of_the_helper_are_one_of_the_core(feed: FeedTranslator) -> None:
    """Links then addresses; the end is the addresses' end."""
    links, addresses = dump_id(5, "links"), dump_id(5, "addresses")

    (link,) = feed.translate(protocol.DumpPart(links, link_message(IFNAME)))
    assert isinstance(link, LinkSeen)
    assert link.dump == 5
    assert feed.translate(end(links)) == []
    (address,) = feed.translate(protocol.DumpPart(addresses, address_message()))
    assert isinstance(address, AddressSeen)
    assert address.dump == 5
    assert feed.translate(end(addresses)) == [DumpEnded(5, consistent=True)]


@pytest.mark.parametrize(
    ("links", "addresses"),
    [
        ({"errno": 16}, {}),
        ({}, {"errno": 16}),
        ({"interrupted": True}, {}),
        ({}, {"interrupted": True}),
    ],
)
def test_a_half_that_failed_spoils_the_dump(
    feed: FeedTranslator, links: dict[str, int], addresses: dict[str, int]
) -> None:
    """Both halves have to be whole; the next dump starts clean."""
    feed.translate(end(2, **links))  # type: ignore[arg-type]
    assert feed.translate(end(3, **addresses)) == [DumpEnded(1, consistent=False)]  # type: ignore[arg-type]

    feed.translate(end(4))
    assert feed.translate(end(5)) == [DumpEnded(2, consistent=True)]


@pytest.mark.parametrize("broken", ["links", "addresses"])
def test_a_part_that_does_not_decode_spoils_the_dump(feed: FeedTranslator, broken: str) -> None:
    """A dump with a hole is not consistent."""
    feed.translate(protocol.DumpPart(dump_id(1, broken), BROKEN))
    feed.translate(end(2))

    assert feed.translate(end(3)) == [DumpEnded(1, consistent=False)]


def test_addresses_without_links_are_no_dump(feed: FeedTranslator) -> None:
    """A second half alone, as of a dump that another helper began, is not consistent."""
    assert feed.translate(end(3)) == [DumpEnded(1, consistent=False)]


def test_the_numbers_of_halves_never_meet() -> None:
    """Each half of each dump has its own number, all of them valid on the wire."""
    numbers = [dump_id(dump, kind) for dump in range(1, 9) for kind in ("links", "addresses")]

    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 1
    assert protocol.FEED.unpack(protocol.pack(protocol.DumpPart(numbers[0], struct.pack("=I", 0))))
