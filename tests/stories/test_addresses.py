"""Addresses: added, usable, deprecated, removed."""

from attrs import evolve

from netevd.model.address import (
    IFA_F_DADFAILED,
    IFA_F_DEPRECATED,
    IFA_F_OPTIMISTIC,
    IFA_F_TENTATIVE,
)
from netevd.model.inputs import AddressGone, AddressSeen
from tests.stories.playbook import NOTHING, Play, address, gone, has, lost, seen


def test_duplicate_address_detection(play: Play) -> None:
    """A tentative address is added first and usable when the detection has ended."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> has("2001:db8::1/64", 2, flags=IFA_F_TENTATIVE) << ("2 eth0 address-added 2001:db8::1")
    story >> has("2001:db8::1/64", 2) << "3 eth0 address-usable 2001:db8::1\n4 eth0 routable"


def test_a_duplicate_is_never_usable(play: Play) -> None:
    """An address that somebody else has is added and removed, and not usable in between."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(has("2001:db8::1/64", 2, flags=IFA_F_TENTATIVE))
    story >> has("2001:db8::1/64", 2, flags=IFA_F_TENTATIVE | IFA_F_DADFAILED) << NOTHING
    story >> lost("2001:db8::1/64", 2) << "3 eth0 address-removed 2001:db8::1"


def test_an_optimistic_address_is_usable_at_once(play: Play) -> None:
    """An address that may be used during the detection (RFC 4429) is not told twice."""
    story = play().begin(seen("eth0", 2, dump=1))

    (
        story
        >> has("2001:db8::1/64", 2, flags=IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)
        << ("2 eth0 address-added 2001:db8::1\n3 eth0 address-usable 2001:db8::1\n4 eth0 routable")
    )
    story >> has("2001:db8::1/64", 2) << NOTHING


def test_a_second_detection_is_told_again(play: Play) -> None:
    """An address that lost its usability and regains it, as after a carrier loss, is usable anew."""
    story = play().begin(seen("eth0", 2, dump=1), has("2001:db8::1/64", 2, dump=1))

    story >> has("2001:db8::1/64", 2, flags=IFA_F_TENTATIVE) << NOTHING
    story >> has("2001:db8::1/64", 2) << "3 eth0 address-usable 2001:db8::1\n4 eth0 routable"


def test_deprecation(play: Play) -> None:
    """The end of the preferred lifetime is told once; the address goes on making routable."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))

    (
        story
        >> has("192.0.2.1/24", 2, flags=IFA_F_DEPRECATED)
        << ("3 eth0 address-deprecated 192.0.2.1")
    )
    story >> has("192.0.2.1/24", 2, flags=IFA_F_DEPRECATED) << NOTHING
    assert story.engine.insight.get_snapshots()[0].state == "routable"


def test_an_address_that_is_deprecated_from_the_start(play: Play) -> None:
    """All that is true of a new address is told of it."""
    story = play().begin(seen("eth0", 2, carrier=False, dump=1))

    (
        story
        >> has("192.0.2.1/24", 2, flags=IFA_F_DEPRECATED)
        << """
        2 eth0 address-added 192.0.2.1
        3 eth0 address-usable 192.0.2.1
        4 eth0 address-deprecated 192.0.2.1
        """
    )


def test_lifetimes_are_no_facts(play: Play) -> None:
    """A renewed lease, with the same address, is no event."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))
    renewed = evolve(address("192.0.2.1/24", 2), preferred_s=600, valid_s=900)

    story >> AddressSeen(renewed) << NOTHING


def test_a_renewed_lifetime_does_not_hide_a_removal(play: Play) -> None:
    """The kernel names other lifetimes when it removes an address; it is the same one."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))

    (
        story
        >> AddressGone(evolve(address("192.0.2.1/24", 2), valid_s=0))
        << ("3 eth0 address-removed 192.0.2.1")
    )


def test_two_addresses_that_differ_in_the_peer(play: Play) -> None:
    """One IPv4 address with two peers is two addresses to the kernel, and to us."""
    story = play().begin(seen("ppp0", 2, carrier=False, dump=1))
    one, other = (evolve(address("192.0.2.1/32", 2), peer=p) for p in ("192.0.2.8", "192.0.2.9"))

    story.fill(AddressSeen(one))
    (
        story
        >> AddressSeen(other)
        << ("4 ppp0 address-added 192.0.2.1\n5 ppp0 address-usable 192.0.2.1")
    )
    story >> AddressGone(one) << "6 ppp0 address-removed 192.0.2.1"
    assert story.engine.insight.get_snapshots()[0].addresses == (other,)


def test_an_ipv6_address_that_changes_its_peer(play: Play) -> None:
    """An IPv6 address stays the same one when its peer changes."""
    story = play().begin(seen("tun0", 2, dump=1))
    one, other = (evolve(address("2001:db8::1/128", 2), peer=p) for p in ("2001:db8::8", ""))

    story.fill(AddressSeen(one))
    story >> AddressSeen(other) << NOTHING
    assert story.engine.insight.get_snapshots()[0].addresses == (other,)


def test_an_address_of_a_link_that_was_not_seen_waits_for_it(play: Play) -> None:
    """An address is told together with its link, after it."""
    story = play().begin()

    story >> has("192.0.2.1/24", 7) << NOTHING
    story >> has("192.0.2.2/24", 7) << NOTHING
    story >> lost("192.0.2.2/24", 7) << NOTHING
    (
        story
        >> seen("eth0", 7)
        << """
        1 eth0 link-added
        2 eth0 carrier
        3 eth0 routable
        4 eth0 address-added 192.0.2.1
        5 eth0 address-usable 192.0.2.1
        """
    )


def test_an_address_waits_for_no_other_link(play: Play) -> None:
    """Addresses of a link that is gone are not given to the next one under its index."""
    story = play().begin()

    story.fill(has("192.0.2.1/24", 7), gone(7))
    story >> seen("eth0", 7, carrier=False) << "1 eth0 link-added\n2 eth0 no-carrier"


def test_the_removal_of_an_unknown_address_is_nothing(play: Play) -> None:
    """The kernel announces the end of addresses whose beginning it never announced."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> lost("fe80::1/64", 2) << NOTHING


def test_ipv4_comes_before_ipv6(play: Play) -> None:
    """A snapshot lists IPv4 first, each family as the kernel announced it."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(has("2001:db8::1/64", 2), has("192.0.2.9/24", 2), has("192.0.2.1/24", 2))

    (eth0,) = story.engine.insight.get_snapshots()
    assert [each.ip for each in eth0.addresses] == ["192.0.2.9", "192.0.2.1", "2001:db8::1"]


def test_a_snapshot_never_changes(play: Play) -> None:
    """An event keeps the addresses of its moment, whatever comes later."""
    story = play().begin(seen("eth0", 2, dump=1))

    story.fill(has("192.0.2.1/24", 2), has("192.0.2.2/24", 2), lost("192.0.2.1/24", 2))

    added = [each for each in story.events if each.type == "address-added"]
    assert [len(each.after.addresses) for each in added] == [1, 2]
    assert [each.before and len(each.before.addresses) for each in added] == [0, 1]
