"""The snapshot: one link with its addresses and what follows from them, at one moment."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from netevd.model.address import Address
from netevd.model.backend import Lease, LinkReport
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
    reports: tuple[LinkReport, ...] = ()
    """What backends know of it, the one that counts most first; see `backend.PRECEDENCE`."""

    @property
    def gateway4(self) -> str:
        """The IPv4 gateway that is used over this link, "" for none."""
        return next((each for each in self.gateways if ":" not in each), "")

    @property
    def gateway6(self) -> str:
        """The IPv6 gateway that is used over this link, "" for none."""
        return next((each for each in self.gateways if ":" in each), "")

    @property
    def backend(self) -> str:
        """Who configures the link; kernel where nobody does that we know."""
        return next((each.backend for each in self.reports if each.manages), "kernel")

    @property
    def setup_state(self) -> str:
        """systemd-networkd's setup state, "" for none."""
        return next((each.setup_state for each in self.reports if each.setup_state), "")

    @property
    def device_state(self) -> str:
        """NetworkManager's device state, "" for none."""
        return next((each.device_state for each in self.reports if each.device_state), "")

    @property
    def ssid(self) -> str:
        """Name of the wireless network that it is in, "" for none. Where the kernel tells, that counts."""
        told = next((each.ssid for each in self.reports if each.backend == "nl80211"), None)
        if told is not None:
            return told
        return next((each.ssid for each in self.reports if each.ssid), "")

    @property
    def bssid(self) -> str:
        """Address of the access point that it is connected to, "" for none or not told."""
        return next((each.bssid for each in self.reports if each.bssid), "")

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The lease of each family: of two that are reported, that of the backend that counts more."""
        found: dict[str, Lease] = {}
        for each in self.reports:
            for lease in each.leases:
                found.setdefault(lease.family, lease)
        return tuple(lease for _, lease in sorted(found.items()))

    def find_lease(self, family: int) -> Lease | None:
        """Return the lease of a family, 4 or 6; None where there is none."""
        return next((each for each in self.leases if each.family == f"ipv{family}"), None)

    @property
    def dns(self) -> tuple[str, ...]:
        """DNS servers in use for the link."""
        return tuple(dict.fromkeys(server for each in self.reports for server in each.dns))

    @property
    def domains(self) -> tuple[str, ...]:
        """Search domains of the link."""
        return tuple(dict.fromkeys(name for each in self.reports for name in each.domains))

    @property
    def hostname(self) -> str:
        """Name that this host shall have by what is known of the link: a lease's, or a report's; "" for none."""
        leased = next((each.hostname for each in self.leases if each.hostname), "")
        return leased or next((each.hostname for each in self.reports if each.hostname), "")
