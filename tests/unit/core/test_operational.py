"""The operational scale as a table."""

from __future__ import annotations

import pytest

from netevd.core.operational import has_carrier, is_reachable, is_routable, judge
from netevd.model.address import IFA_F_TENTATIVE, Address
from netevd.model.link import IFF_DORMANT, IFF_LOWER_UP, IFF_RUNNING, IFF_UP, IfIndex, Link
from netevd.model.snapshot import OperationalState

ALIVE = IFF_UP | IFF_LOWER_UP | IFF_RUNNING
UNKNOWN, NOT_PRESENT, DOWN, LOWER_LAYER_DOWN, TESTING, DORMANT, UP = range(7)


def link(flags: int, operstate: int, master: int = 0) -> Link:
    """Return a link with these facts."""
    return Link(IfIndex(2), "eth0", flags, operstate, 1500, "", master=IfIndex(master))


def address(scope: int, flags: int = 0) -> Address:
    """Return an address with these facts."""
    return Address(IfIndex(2), 4, "192.0.2.1", 24, scope, flags)


@pytest.mark.parametrize(
    ("flags", "operstate", "carrier"),
    [
        (0, UP, True),
        (ALIVE, DOWN, False),
        (ALIVE, LOWER_LAYER_DOWN, False),
        (ALIVE, NOT_PRESENT, False),
        (ALIVE, TESTING, False),
        (ALIVE, DORMANT, False),
        (ALIVE, UNKNOWN, True),
        (IFF_UP | IFF_LOWER_UP, UNKNOWN, False),
        (IFF_UP | IFF_RUNNING, UNKNOWN, False),
        (ALIVE | IFF_DORMANT, UNKNOWN, False),
    ],
)
def test_carrier(flags: int, operstate: int, carrier: bool) -> None:
    """The operstate decides; where a driver keeps none, the flags do."""
    assert has_carrier(link(flags, operstate)) is carrier


@pytest.mark.parametrize(
    ("scope", "routable", "reachable"),
    [(0, True, True), (199, True, True), (200, False, True), (253, False, True),
     (254, False, False), (255, False, False)],
)  # fmt: skip
def test_address_scopes(scope: int, routable: bool, reachable: bool) -> None:
    """Below site is routable, below host is reachable; what is not usable is neither."""
    assert is_routable(address(scope)) is routable
    assert is_reachable(address(scope)) is reachable
    assert not is_routable(address(scope, IFA_F_TENTATIVE))
    assert not is_reachable(address(scope, IFA_F_TENTATIVE))


NONE, LOCAL, WIDE = (False, False), (False, True), (True, True)


@pytest.mark.parametrize(
    ("flags", "operstate", "master", "weak", "addresses", "state"),
    [
        (0, DOWN, 0, False, WIDE, "off"),
        (0, DOWN, 0, True, NONE, "off"),
        (IFF_UP, LOWER_LAYER_DOWN, 0, False, WIDE, "no-carrier"),
        (IFF_UP, LOWER_LAYER_DOWN, 5, True, NONE, "no-carrier"),
        (IFF_UP, DORMANT, 0, False, WIDE, "dormant"),
        (0, DORMANT, 0, False, NONE, "dormant"),
        (ALIVE, UP, 0, False, NONE, "carrier"),
        (ALIVE, UP, 0, False, LOCAL, "degraded"),
        (ALIVE, UP, 0, False, WIDE, "routable"),
        (ALIVE, UP, 0, True, NONE, "degraded-carrier"),
        (ALIVE, UP, 0, True, LOCAL, "degraded"),
        (ALIVE, UP, 0, True, WIDE, "routable"),
        (ALIVE, UP, 5, False, NONE, "enslaved"),
        (ALIVE, UP, 5, False, LOCAL, "enslaved"),
        (ALIVE, UP, 5, False, WIDE, "routable"),
        (ALIVE, UP, 5, True, NONE, "degraded-carrier"),
        (ALIVE, UP, 5, True, LOCAL, "degraded"),
        (ALIVE, UP, 5, True, WIDE, "routable"),
    ],
)
def test_the_table(
    flags: int,
    operstate: int,
    master: int,
    weak: bool,
    addresses: tuple[bool, bool],
    state: str,
) -> None:
    """Carrier state against address state, as in systemd-networkd."""
    found = judge(
        link(flags, operstate, master),
        weak_slaves=weak,
        routable=addresses[0],
        reachable=addresses[1],
    )

    assert found is OperationalState(state)
