"""The snapshot: one link with its addresses and what follows from them, at one moment."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from netevd.model.address import Address
from netevd.model.link import Link


class OperationalState(StrEnum):
    """networkctl(1)'s scale of a link's usefulness, lowest first."""

    OFF = "off"
    NO_CARRIER = "no-carrier"
    DORMANT = "dormant"
    DEGRADED_CARRIER = "degraded-carrier"
    CARRIER = "carrier"
    DEGRADED = "degraded"
    ENSLAVED = "enslaved"
    ROUTABLE = "routable"


@frozen(slots=True)
class Snapshot:
    """A link with all that is known of it; immutable, so an event can carry it."""

    link: Link
    addresses: tuple[Address, ...]
    """Ordered: IPv4 before IPv6, then as the kernel announced them."""
    state: OperationalState
    master_name: str = ""
    """Name of the link this one is enslaved to, "" for none or not known."""
