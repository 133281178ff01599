"""From feed messages to inputs."""

from __future__ import annotations

import errno

import pytest

from netevd.kernel.feed import FeedTranslator, Part
from netevd.model.inputs import (
    AddressSeen,
    DumpEnded,
    LinkGone,
    LinkSeen,
    Overran,
    RoutesDumped,
    RoutesDumpEnded,
    RouteSeen,
    RoutesOverran,
)
from privsep import protocol
from tests.unit.kernel.test_decode import DELLINK, IFNAME, address_message, link_message
from tests.unit.kernel.test_decode_routes import route_message

BROKEN = b"\x05\0\0\0"
LINKS = (Part("links"), Part("addresses"))
ROUTES = (Part("nothing"), Part("routes4", 254), Part("routes4", 77))


@pytest.fixture
def feed() -> FeedTranslator:
    """The translator of one helper."""
    return FeedTranslator()


def end(number: int, errno: int = 0, *, interrupted: bool = False) -> protocol.DumpFinished:
    """Return the end of one part of a dump."""
    return protocol.DumpFinished(number, errno, interrupted)


def test_events_are_decoded_in_order(feed: FeedTranslator) -> None:
    """Every datagram of a batch is read, oldest first."""
    parts = [link_message(IFNAME) + address_message(), link_message(kind=DELLINK)]

    found = feed.translate(protocol.Datagrams(protocol.LINKS, parts))

    assert [type(each) for each in found] == [LinkSeen, AddressSeen, LinkGone]
    assert isinstance(found[0], LinkSeen)
    assert found[0].dump == 0


def test_each_socket_has_its_own_loss(feed: FeedTranslator) -> None:
    """A storm of routes costs no dump of links, and the other way round."""
    assert feed.translate(protocol.Overrun(protocol.LINKS)) == [Overran()]
    assert feed.translate(protocol.Overrun(protocol.ROUTES)) == [RoutesOverran()]


def test_an_event_that_does_not_decode_counts_as_lost(feed: FeedTranslator) -> None:
    """The loss stands where the datagram stood, and names the reason; the others are read."""
    parts = [link_message(IFNAME), BROKEN, link_message(kind=DELLINK)]

    first, loss, last = feed.translate(protocol.Datagrams(protocol.LINKS, parts))

    assert isinstance(first, LinkSeen)
    reason = "netlink datagram, offset 0: 4 bytes left, a message header needs 16"
    assert loss == Overran(reason)
    assert isinstance(last, LinkGone)
    found = feed.translate(protocol.Datagrams(protocol.ROUTES, [BROKEN, route_message()]))
    assert found[0] == RoutesOverran(reason)
    assert isinstance(found[1], RouteSeen)


def test_several_dumps_of_the_helper_are_one_of_the_core(feed: FeedTranslator) -> None:
    """Links then addresses; the end is the addresses' end."""
    (links, _), (addresses, _) = feed.expect(5, LINKS)

    (link,) = feed.translate(protocol.DumpPart(links, link_message(IFNAME)))
    assert isinstance(link, LinkSeen)
    assert link.dump == 5
    assert feed.translate(end(links)) == []
    (address,) = feed.translate(protocol.DumpPart(addresses, address_message()))
    assert isinstance(address, AddressSeen)
    assert address.dump == 5
    assert feed.translate(end(addresses)) == [DumpEnded(5, consistent=True)]


def test_routes_come_by_the_datagram(feed: FeedTranslator) -> None:
    """A dump of routes hands them in as they lie in the datagrams, from all of its parts."""
    numbers = [number for number, _ in feed.expect(3, ROUTES)]
    assert feed.translate(end(numbers[0])) == []

    (found,) = feed.translate(protocol.DumpPart(numbers[1], route_message() * 3))

    assert isinstance(found, RoutesDumped)
    assert (len(found.routes), found.dump) == (3, 3)
    assert feed.translate(end(numbers[1])) == []
    assert feed.translate(end(numbers[2])) == [RoutesDumpEnded(3, consistent=True)]


def test_a_table_that_is_not_there_is_empty(feed: FeedTranslator) -> None:
    """The kernel refuses to dump a table that nobody has used; a dump of links it never refuses."""
    numbers = [number for number, _ in feed.expect(1, ROUTES)]
    found = [feed.translate(end(number, errno.ENOENT)) for number in numbers]
    assert found[-1] == [RoutesDumpEnded(1, consistent=True)]

    for number, _ in feed.expect(2, LINKS):
        found.append(feed.translate(end(number, errno.ENOENT)))
    assert found[-1] == [DumpEnded(2, consistent=False)]


@pytest.mark.parametrize(
    ("links", "addresses"),
    [
        ({"errno": 16}, {}),
        ({}, {"errno": 16}),
        ({"interrupted": True}, {}),
        ({}, {"interrupted": True}),
    ],
)
def test_a_part_that_failed_spoils_the_dump(
    feed: FeedTranslator, links: dict[str, int], addresses: dict[str, int]
) -> None:
    """All parts have to be whole; the next dump starts clean."""
    (first, _), (second, _) = feed.expect(1, LINKS)
    feed.translate(end(first, **links))  # type: ignore[arg-type]
    assert feed.translate(end(second, **addresses)) == [DumpEnded(1, consistent=False)]  # type: ignore[arg-type]

    (first, _), (second, _) = feed.expect(2, LINKS)
    feed.translate(end(first))
    assert feed.translate(end(second)) == [DumpEnded(2, consistent=True)]


@pytest.mark.parametrize("broken", [0, 1])
def test_a_part_that_does_not_decode_spoils_the_dump(feed: FeedTranslator, broken: int) -> None:
    """A dump with a hole is not consistent."""
    numbers = [number for number, _ in feed.expect(1, LINKS)]
    feed.translate(protocol.DumpPart(numbers[broken], BROKEN))
    feed.translate(end(numbers[0]))

    assert feed.translate(end(numbers[1])) == [DumpEnded(1, consistent=False)]


def test_what_nobody_asked_for_says_nothing(feed: FeedTranslator) -> None:
    """A part or an end of an unknown dump, as of one that another helper began, is passed over."""
    assert feed.translate(protocol.DumpPart(3, link_message(IFNAME))) == []
    assert feed.translate(end(3)) == []


def test_numbers_are_never_used_twice(feed: FeedTranslator) -> None:
    """Each part of each dump has its own number, all of them valid on the wire."""
    numbers = [number for dump in (1, 2, 3) for number, _ in feed.expect(dump, ROUTES)]

    assert numbers == list(range(1, 10))
    assert protocol.FEED.unpack(protocol.pack(protocol.DumpPart(numbers[0], bytes(4))))
