"""The event: something that means something to people, with the link before and after it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from attrs import frozen

from netevd.model.address import Address
from netevd.model.backend import HostReport, Lease
from netevd.model.route import Route
from netevd.model.routing import RoutingOutcome
from netevd.model.snapshot import Snapshot
from netevd.model.wireguard import WireguardFact


class EventType(StrEnum):
    """Every event type; each has a script directory `TYPE.d`."""

    LINK_ADDED = "link-added"
    LINK_REMOVED = "link-removed"
    LINK_RENAMED = "link-renamed"
    LINK_CHANGED = "link-changed"
    CARRIER = "carrier"
    NO_CARRIER = "no-carrier"
    OFF = "off"
    DORMANT = "dormant"
    DEGRADED_CARRIER = "degraded-carrier"
    DEGRADED = "degraded"
    ENSLAVED = "enslaved"
    ROUTABLE = "routable"
    OPERATIONAL_CARRIER = "operational-carrier"
    """The operational state is carrier. Told only where a tree of another dispatcher wants to know."""
    OPERATIONAL_NO_CARRIER = "operational-no-carrier"
    """As OPERATIONAL_CARRIER."""
    PENDING = "pending"
    INITIALIZED = "initialized"
    CONFIGURING = "configuring"
    CONFIGURED = "configured"
    FAILED = "failed"
    """Of systemd-networkd or NetworkManager: the event's backend says which."""
    UNMANAGED = "unmanaged"
    """As FAILED."""
    LINGER = "linger"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"
    DISCONNECTED = "disconnected"
    PREPARE = "prepare"
    CONFIG = "config"
    NEED_AUTH = "need-auth"
    IP_CONFIG = "ip-config"
    IP_CHECK = "ip-check"
    SECONDARIES = "secondaries"
    ACTIVATED = "activated"
    DEACTIVATING = "deactivating"
    ADDRESS_ADDED = "address-added"
    ADDRESS_REMOVED = "address-removed"
    ADDRESS_USABLE = "address-usable"
    ADDRESS_DEPRECATED = "address-deprecated"
    ROUTES = "routes"
    GATEWAY_CHANGED = "gateway-changed"
    SSID_CHANGED = "ssid-changed"
    ROAMED = "roamed"
    LEASE = "lease"
    DNS_CHANGED = "dns-changed"
    HOSTNAME_CHANGED = "hostname-changed"
    MANAGER = "manager"
    WG_UP = "wg-up"
    WG_DOWN = "wg-down"
    WG_PEER_ADDED = "wg-peer-added"
    WG_PEER_REMOVED = "wg-peer-removed"
    WG_PEER_CONNECTED = "wg-peer-connected"
    WG_PEER_IDLE = "wg-peer-idle"
    WG_PEER_DISCONNECTED = "wg-peer-disconnected"
    WG_PEER_ENDPOINT_CHANGED = "wg-peer-endpoint-changed"
    ROUTING_APPLIED = "routing-applied"
    ROUTING_DRIFT = "routing-drift"
    ROUTING_CONTESTED = "routing-contested"
    ROUTING_FAILED = "routing-failed"


HOST_LANE: Final = 0
"""Lane of events that no link has."""


@frozen(slots=True)
class Event:
    """One event of one link, or of the host."""

    sequence: int
    """Grows by one, never used again."""
    type: EventType
    time_ns: int
    """Wall clock when the kernel message was read, nanoseconds since 1970."""
    after: Snapshot | None
    """The link after the change; for link-removed the last that was known of it; None: no link's."""
    before: Snapshot | None
    """The link before the change; None when it was not known before."""
    lane: int
    """Number of the link's incarnation: the same ifindex after a removal has another lane."""
    backend: str = "kernel"
    """Source of the fact: who configures the link, or who alone can tell it."""
    initial: bool = False
    """Announced because the daemon started, not because something changed."""
    address: Address | None = None
    """Subject of an address event."""
    route: Route | None = None
    """Subject of a route event."""
    gone: bool = False
    """Whether that route is gone, not new."""
    family: int = 0
    """4 or 6 for events of an address, a route, a gateway or a lease, else 0."""
    wireguard: WireguardFact | None = None
    """Subject of an event of a WireGuard device or peer."""
    coalesced: int = 0
    """How many events of a fact it stands for, itself included; then `before` is that of the first.
    0 for an event as it was published."""
    routing: RoutingOutcome | None = None
    """What an event of policy routing tells."""
    lease: Lease | None = None
    """Subject of a lease event; the last that was known where it is over."""
    reason: str = ""
    """Of a lease event: bound, renew, rebind, expire or release. Of systemd-logind's `manager`: suspend
    or resume."""
    host: HostReport | None = None
    """What a backend says of the host, for an event that is about that."""
    host_before: HostReport | None = None
    """What it said before."""

    @property
    def name(self) -> str:
        """Name of the link, "" for an event of the host."""
        return "" if self.after is None else self.after.link.name
