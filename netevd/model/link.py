"""The link: a kernel network device as rtnetlink describes it, and nothing derived from it."""

from __future__ import annotations

from typing import Final, NewType

from attrs import frozen

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
