"""
What is kept of one link: the kernel's facts, counts that follow from them, and what was told.

Belongs here: bookkeeping within one link. Links among each other are core.observe's.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from netevd.core.operational import is_reachable, is_routable
from netevd.model.address import Address, AddressKey
from netevd.model.backend import LinkReport
from netevd.model.link import IfIndex, Link
from netevd.model.snapshot import Snapshot

NONE: Final = IfIndex(0)
"""No link: the kernel counts from 1."""


@define(slots=True, eq=False)
class LinkRecord:
    """One link and what belongs to it; the only mutable value of the core's tables."""

    link: Link
    """What the kernel said last."""
    lane: int
    """Number of the link's incarnation."""
    watched: bool
    """Whether users want to hear of it."""
    told: Snapshot | None = None
    """What users know of the link."""
    addresses4: dict[AddressKey, Address] = field(factory=dict)
    addresses6: dict[AddressKey, Address] = field(factory=dict)
    routable: int = 0
    """Number of addresses that make the link routable."""
    reachable: int = 0
    """Number of addresses that make it at least degraded."""
    gateways: tuple[str, ...] = ()
    """Gateways of default routes over it."""
    reports: tuple[LinkReport, ...] = ()
    """What backends say of it."""
    weak_at: IfIndex = NONE
    """The master at which this link counts as a slave without carrier, 0 for none."""

    def put(self, address: Address) -> Address | None:
        """Keep an address and return the one it replaces; an equal one is kept instead."""
        table = self.addresses4 if address.family == 4 else self.addresses6
        old = table.get(address.key)
        if old == address:
            return old
        if old is not None:
            self._count(old, -1)
        self._count(address, 1)
        table[address.key] = address
        return old

    def pop(self, key: AddressKey) -> Address | None:
        """Forget an address and return it."""
        old = (self.addresses4 if key[0] == 4 else self.addresses6).pop(key, None)
        if old is not None:
            self._count(old, -1)
        return old

    def _count(self, address: Address, step: int) -> None:
        self.routable += step * is_routable(address)
        self.reachable += step * is_reachable(address)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All addresses in the order of a snapshot."""
        return (*self.addresses4.values(), *self.addresses6.values())
