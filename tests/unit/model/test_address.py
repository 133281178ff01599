"""Addresses: identity, use, equality."""

from __future__ import annotations

import pytest
from attrs import evolve

from netevd.model.address import (
    IFA_F_DADFAILED,
    IFA_F_DEPRECATED,
    IFA_F_OPTIMISTIC,
    IFA_F_PERMANENT,
    IFA_F_TENTATIVE,
    Address,
)
from netevd.model.link import IfIndex

V4 = Address(IfIndex(2), 4, "192.0.2.1", 24, 0, 0)
V6 = Address(IfIndex(2), 6, "2001:db8::1", 64, 0, 0)


@pytest.mark.parametrize(
    ("flags", "usable"),
    [
        (0, True),
        (IFA_F_PERMANENT, True),
        (IFA_F_DEPRECATED, True),
        (IFA_F_TENTATIVE, False),
        (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC, True),
        (IFA_F_OPTIMISTIC, True),
        (IFA_F_DADFAILED, False),
        (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC | IFA_F_DADFAILED, False),
    ],
)
def test_usable(flags: int, usable: bool) -> None:
    """Usable is what the detection has passed, or lets be used meanwhile, and nothing that failed."""
    assert evolve(V6, flags=flags).usable is usable


def test_deprecated() -> None:
    """The kernel's flag says that the preferred lifetime is over."""
    assert evolve(V4, flags=IFA_F_DEPRECATED).deprecated
    assert not V4.deprecated


def test_the_peer_is_part_of_an_ipv4_address() -> None:
    """Two IPv4 addresses may differ in their peer alone; an IPv6 address has one at a time."""
    assert evolve(V4, peer="192.0.2.9").key != V4.key
    assert evolve(V6, peer="2001:db8::9").key == V6.key


def test_flags_and_lifetimes_are_no_part_of_the_identity() -> None:
    """What changes of an address does not make it another one."""
    assert evolve(V4, flags=IFA_F_DEPRECATED, scope=253, label="x", valid_s=9).key == V4.key


def test_lifetimes_are_not_compared() -> None:
    """Equal facts are equal whatever time is left."""
    assert evolve(V4, preferred_s=1, valid_s=2) == V4
    assert evolve(V4, flags=IFA_F_DEPRECATED) != V4
