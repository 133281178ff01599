"""The address: an IPv4 or IPv6 address of a link as rtnetlink describes it."""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import field, frozen

from netevd.model.link import IfIndex

IFA_F_DADFAILED: Final = 0x08
IFA_F_DEPRECATED: Final = 0x20
IFA_F_TENTATIVE: Final = 0x40
IFA_F_PERMANENT: Final = 0x80
IFA_F_OPTIMISTIC: Final = 0x04
"""Flags. Source: linux/if_addr.h."""

RT_SCOPE_UNIVERSE: Final = 0
RT_SCOPE_SITE: Final = 200
RT_SCOPE_LINK: Final = 253
RT_SCOPE_HOST: Final = 254
"""Scopes. Source: enum rt_scope_t, linux/rtnetlink.h."""

FOREVER: Final = 0xFFFFFFFF
"""Lifetime of an address that does not expire. Source: INFINITY_LIFE_TIME, net/addrconf.h."""


AddressKey: TypeAlias = tuple[int, str, int, str]
"""Family, IP, prefix length, and for IPv4 the peer: the same address on one link."""


@frozen(slots=True)
class Address:
    """
    What one RTM_NEWADDR message says of an address. Source: rtnetlink(7), linux/if_addr.h.

    Two values are equal when the facts are: lifetimes count down and are not compared.
    """

    ifindex: IfIndex
    family: int
    """4 or 6."""
    ip: str
    """Canonical text without prefix length: IFA_LOCAL, or IFA_ADDRESS where that is missing."""
    prefix: int
    """Prefix length in bits."""
    scope: int
    """RT_SCOPE_* number."""
    flags: int
    """IFA_F_* bits, from IFA_FLAGS where present."""
    peer: str = ""
    """The other end of a point-to-point link, "" for none."""
    label: str = ""
    """IFA_LABEL, "" for none."""
    preferred_s: int = field(default=FOREVER, eq=False)
    """Seconds until the address is deprecated, as of the message."""
    valid_s: int = field(default=FOREVER, eq=False)
    """Seconds until the address is removed, as of the message."""

    @property
    def key(self) -> AddressKey:
        """
        What makes an address the same one for the kernel, on its link.

        Two IPv4 addresses may differ in nothing but the peer; an IPv6 address may change its peer
        and stays the same. Source: inet_insert_ifa() in net/ipv4/devinet.c, inet6_addr_modify() in
        net/ipv6/addrconf.c.
        """
        return (self.family, self.ip, self.prefix, self.peer if self.family == 4 else "")

    @property
    def usable(self) -> bool:
        """Whether duplicate address detection is over and did not fail."""
        if self.flags & IFA_F_DADFAILED:
            return False
        return not self.flags & IFA_F_TENTATIVE or bool(self.flags & IFA_F_OPTIMISTIC)

    @property
    def deprecated(self) -> bool:
        """Whether the preferred lifetime is over."""
        return bool(self.flags & IFA_F_DEPRECATED)
