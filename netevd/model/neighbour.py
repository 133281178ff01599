"""The neighbour and the network namespace number: decoded for recordings, not kept by the core."""

from __future__ import annotations

from attrs import frozen

from netevd.model.link import IfIndex


@frozen(slots=True)
class Neighbour:
    """What one RTM_NEWNEIGH message says of an ARP or NDP entry. Source: linux/neighbour.h."""

    ifindex: IfIndex
    family: int
    """4 or 6."""
    ip: str
    mac: str
    """Link-layer address as colon-separated hex, "" where it is not known."""
    state: int
    """NUD_* bits."""
    flags: int
    """NTF_* bits."""


@frozen(slots=True)
class Namespace:
    """What one RTM_NEWNSID message says: our number for another network namespace."""

    nsid: int
    """-1: the kernel has no number for it any more."""
