"""
networkctl(1)'s scale of a link's usefulness, computed as systemd-networkd computes it.

Pure functions over facts of one link; who its slaves are is known in core.observe.
Source: link_update_operstate() in src/network/networkd-link.c and netif_has_carrier() in
src/shared/netif-util.c of systemd; Documentation/networking/operstates.rst of Linux.
"""

from __future__ import annotations

from typing import Final

from netevd.model.address import RT_SCOPE_HOST, RT_SCOPE_SITE, Address
from netevd.model.link import IFF_DORMANT, IFF_LOWER_UP, IFF_RUNNING, Link
from netevd.model.snapshot import OperationalState

_OPER_UNKNOWN: Final = 0
_OPER_DORMANT: Final = 5
_OPER_UP: Final = 6
"""RFC 2863 values. Source: IF_OPER_*, linux/if.h."""

_CARRIER_FLAGS: Final = IFF_LOWER_UP | IFF_RUNNING


def has_carrier(link: Link) -> bool:
    """
    Return whether packets can pass, by operstate, or by flags where a driver keeps no operstate.

    This is the scale's idea of a carrier; the events carrier and no-carrier follow IFF_LOWER_UP.
    """
    if link.operstate != _OPER_UNKNOWN:
        return link.operstate == _OPER_UP
    return link.flags & (_CARRIER_FLAGS | IFF_DORMANT) == _CARRIER_FLAGS


def is_routable(address: Address) -> bool:
    """Return whether an address reaches beyond its site's links."""
    return address.usable and address.scope < RT_SCOPE_SITE


def is_reachable(address: Address) -> bool:
    """Return whether an address reaches beyond its own host."""
    return address.usable and address.scope < RT_SCOPE_HOST


def judge(link: Link, *, weak_slaves: bool, routable: bool, reachable: bool) -> OperationalState:
    """
    Return the operational state of a link.

    `weak_slaves` tells whether a link enslaved to it has less than a carrier, `routable` and
    `reachable` whether it has such an address. An address outweighs a weak slave, as networkctl(1)
    says.
    """
    if not has_carrier(link):
        if link.operstate == _OPER_DORMANT:
            return OperationalState.DORMANT
        return OperationalState.NO_CARRIER if link.up else OperationalState.OFF
    if routable:
        return OperationalState.ROUTABLE
    if link.master and not weak_slaves:
        return OperationalState.ENSLAVED
    if reachable:
        return OperationalState.DEGRADED
    return OperationalState.DEGRADED_CARRIER if weak_slaves else OperationalState.CARRIER
