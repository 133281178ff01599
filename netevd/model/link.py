"""The link: a kernel network device as rtnetlink describes it, and nothing derived from it."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, NewType

from attrs import field, frozen

IfIndex = NewType("IfIndex", int)
"""Number of a link within its network namespace; the kernel may use it again after a removal."""

IFF_UP: Final = 0x1
IFF_LOOPBACK: Final = 0x8
IFF_RUNNING: Final = 0x40
IFF_LOWER_UP: Final = 0x10000
IFF_DORMANT: Final = 0x20000
"""Flags. Source: enum net_device_flags, linux/if.h."""

OPERSTATES: Final = (
    "unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up",
)  # fmt: skip
"""Names of RFC 2863 values by their number. Source: linux/if.h, IF_OPER_*."""


_COUNTERS: Final = struct.Struct("=10Q")
COUNTERS_SIZE: Final = _COUNTERS.size
"""Octets of the part of struct rtnl_link_stats64 that `Statistics` reads."""


class Statistics(NamedTuple):
    """Counters of a link since it was made. Source: struct rtnl_link_stats64, linux/if_link.h."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int
    multicast: int
    collisions: int


@frozen(slots=True)
class Link:
    """What one RTM_NEWLINK message says of a link. Source: rtnetlink(7), linux/if_link.h."""

    ifindex: IfIndex
    name: str
    """Interface name; bytes that are not UTF-8 are kept by surrogateescape."""
    flags: int
    """IFF_* bits."""
    operstate: int
    """RFC 2863 value as a number, an index into OPERSTATES."""
    mtu: int
    """Octets."""
    mac: str
    """Link-layer address as colon-separated hex, "" when there is none."""
    permanent_mac: str = ""
    """IFLA_PERM_ADDRESS, "" when there is none."""
    kind: str = ""
    """IFLA_INFO_KIND (veth, bridge, ...), "" for hardware."""
    master: IfIndex = IfIndex(0)
    """Bridge, bond or VRF this link is enslaved to, 0 for none."""
    altnames: tuple[str, ...] = ()
    """Alternative names, IFLA_PROP_LIST."""
    peer: IfIndex = IfIndex(0)
    """IFLA_LINK: the link below, or the other end of a veth; 0 for none."""
    netnsid: int | None = None
    """IFLA_LINK_NETNSID: in which other namespace `peer` lies; None for this one."""
    counters: bytes = field(default=b"", eq=False, repr=False)
    """The first COUNTERS_SIZE octets of IFLA_STATS64 as of the message; no fact, so not compared."""

    @property
    def statistics(self) -> Statistics | None:
        """Counters as of the message, None where the kernel gave none."""
        if len(self.counters) != COUNTERS_SIZE:
            return None
        return Statistics._make(_COUNTERS.unpack(self.counters))

    @property
    def up(self) -> bool:
        """Whether the administrator has set the link up."""
        return bool(self.flags & IFF_UP)

    @property
    def carrier(self) -> bool:
        """Whether the lower layer is up: IFF_LOWER_UP, and only that."""
        return bool(self.flags & IFF_LOWER_UP)

    @property
    def loopback(self) -> bool:
        """Whether this is a loopback link."""
        return bool(self.flags & IFF_LOOPBACK)
