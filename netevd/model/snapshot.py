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
    gateways: tuple[str, ...] = ()
    """Gateways of default routes over the link: IPv4 before IPv6, of each the preferred one first."""

    @property
    def gateway4(self) -> str:
        """The IPv4 gateway that is used over this link, "" for none."""
        return next((each for each in self.gateways if ":" not in each), "")

    @property
    def gateway6(self) -> str:
        """The IPv6 gateway that is used over this link, "" for none."""
        return next((each for each in self.gateways if ":" in each), "")
