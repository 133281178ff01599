"""The record of one link: addresses and what they count for."""

from __future__ import annotations

from attrs import evolve

from netevd.core.record import LinkRecord
from netevd.model.address import IFA_F_TENTATIVE
from tests.stories.playbook import address, link

GLOBAL, LOCAL = address("192.0.2.1/24", 2), address("fe80::1/64", 2)


def make_record() -> LinkRecord:
    """Return a link without addresses."""
    return LinkRecord(link("eth0", 2), lane=1, watched=True)


def test_counts_follow_the_addresses() -> None:
    """Each address counts once for what it is now, and no more when it is gone."""
    record = make_record()
    counts = []

    def note() -> None:
        counts.append((record.routable, record.reachable))

    assert record.put(GLOBAL) is None
    note()
    assert record.put(LOCAL) is None
    note()
    assert record.put(evolve(GLOBAL, flags=IFA_F_TENTATIVE)) == GLOBAL
    note()
    assert record.put(GLOBAL) is not None
    note()
    assert record.pop(GLOBAL.key) == GLOBAL
    note()
    assert record.pop(GLOBAL.key) is None
    note()
    assert record.pop(LOCAL.key) == LOCAL
    note()

    assert counts == [(1, 1), (1, 2), (0, 1), (1, 2), (0, 1), (0, 1), (0, 0)]


def test_an_equal_address_is_not_replaced() -> None:
    """A message that differs in lifetimes alone leaves the record as it was."""
    record = make_record()
    record.put(GLOBAL)

    assert record.put(evolve(GLOBAL, valid_s=60)) is GLOBAL
    assert record.addresses[0] is GLOBAL
    assert record.routable == 1


def test_order() -> None:
    """IPv4 before IPv6, each in the order of arrival; a change keeps the place."""
    record = make_record()
    other = address("192.0.2.2/24", 2)
    for each in (LOCAL, GLOBAL, other, evolve(GLOBAL, flags=IFA_F_TENTATIVE)):
        record.put(each)

    assert [each.ip for each in record.addresses] == ["192.0.2.1", "192.0.2.2", "fe80::1"]
