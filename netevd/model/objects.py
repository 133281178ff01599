"""
Every object that users see as JSON, as a type: API, stream, scripts, log and command line share them.

Belongs here: keys and their meaning, nothing that makes them (model.shape, model.show). The OpenAPI
document is made of these types, so a key that is not here is not sent. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from netevd.model.event import EventType
from netevd.model.snapshot import OperationalState
from netevd.model.wireguard import Implementation, PeerState

Family = Literal["ipv4", "ipv6"]


# --- what there is -----------------------------------------------------------------------------


class AddressObject(TypedDict):
    """An address of an interface."""

    ip: str
    """Without prefix length."""
    prefix: int
    """Its length in bits."""
    family: Family
    scope: str
    """global, site, link, host or a number."""
    state: Literal["duplicate", "tentative", "deprecated", "usable"]
    """duplicate: somebody else has it; tentative: that is not known yet; deprecated: not for new
    connections."""
    peer: str | None
    """Address of the other end, for point-to-point links."""


class NexthopObject(TypedDict):
    """One way that a route leads."""

    index: int | None
    """Interface it leaves by."""
    interface: str | None
    """Name of it, null when it is not known."""
    gateway: str | None
    weight: int
    """Share of this way among several, 1 to 256."""


class RouteObject(TypedDict):
    """A route."""

    destination: str
    """Address with prefix length; 0.0.0.0/0 or ::/0 for a default route."""
    family: Family
    table: int
    """254 is main, 255 local, 253 default."""
    metric: int
    """The lowest is used."""
    type: str
    """unicast, blackhole, unreachable and so on, as ip-route(8) names them."""
    protocol: str
    """Who has installed it: kernel, static, dhcp and so on, or a number."""
    scope: str
    nexthops: list[NexthopObject]
    preferred_source: str | None
    """Address that local packets get as source."""
    source: str | None
    """Source prefix for which it counts (IPv6)."""
    nexthop_id: int | None
    """Number of its nexthop object."""
    metrics: dict[str, int]
    """mtu and others, as ip-route(8) names them."""
    owned: bool
    """Whether netevd has installed it."""


class RuleObject(TypedDict):
    """A rule of the routing policy. Selectors that are null, or false, do not select."""

    family: Family
    priority: int
    """Rules are asked lowest first."""
    action: str
    """lookup, blackhole, goto and so on, as ip-rule(8) names them."""
    table: int | None
    """Table that is looked up."""
    source: str | None
    destination: str | None
    invert: bool
    """Whether it holds for all that its selectors do not match."""
    input_interface: str | None
    output_interface: str | None
    mark: int | None
    mask: int | None
    """Bits of the firewall mark that count."""
    tos: int | None
    goto: int | None
    """Priority of the rule to go on with."""
    uids: list[int] | None
    """First and last user id."""
    ip_protocol: int | None
    source_ports: list[int] | None
    """First and last port."""
    destination_ports: list[int] | None
    suppress_prefix_length: int | None
    """Routes with at most this prefix length are passed over."""
    suppress_group: int | None
    """Routes over links of this group are passed over."""
    tunnel_id: int | None
    l3mdev: bool
    """Whether the table is that of the VRF a packet belongs to."""
    protocol: str
    """Who has installed it, as of routes."""
    owned: bool
    """Whether netevd has installed it."""


class StatisticsObject(TypedDict):
    """Counters of an interface since it was made, as of the kernel's last message about it."""

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


class LeaseObject(TypedDict):
    """A DHCP lease of an interface."""

    backend: str
    """Whose DHCP client holds it."""
    family: Family
    address: str
    prefix: int
    gateways: list[str]
    dns: list[str]
    domains: list[str]
    hostname: str | None
    """Name that the server gives this host."""
    server: str | None
    lifetime_seconds: int | None
    """How long it is valid from `obtained` on; null: for ever, or not told."""
    expires: str | None
    """When it is over unless it is renewed."""
    obtained: str | None
    """When it was granted or renewed."""
    options: dict[str, str]
    """Whatever else the server has sent, as the client writes it."""


class HostObject(TypedDict):
    """What a backend says of the host as a whole."""

    backend: str
    states: dict[str, str]
    """Words for the whole host by name: operational, online, connectivity and so on."""
    hostname: str | None
    dns: list[str]
    """DNS servers that belong to no interface."""
    domains: list[str]


class ConnectionObject(TypedDict):
    """NetworkManager's profile that an interface uses."""

    id: str
    uuid: str
    external: bool
    """Somebody else has configured the interface, and NetworkManager only looks on."""


class InterfaceObject(TypedDict):
    """An interface with its addresses."""

    name: str
    """Bytes that are no UTF-8 and control characters are escaped."""
    index: int
    state: OperationalState
    """networkctl(1)'s scale."""
    kind: str | None
    """veth, bridge and so on; null for hardware."""
    mac_address: str | None
    permanent_mac_address: str | None
    mtu: int
    flags: list[str]
    """As ip-link(8) shows them."""
    operstate: str
    """RFC 2863 state: up, down, dormant and so on."""
    carrier: bool
    master: str | None
    """Bridge, bond or VRF that it is enslaved to."""
    altnames: list[str]
    addresses: list[AddressObject]
    gateways: list[str]
    """Gateways of default routes over it: IPv4 first, of each the preferred one first."""
    backend: str
    """Who configures it; kernel where nobody does that is known."""
    setup_state: str | None
    """systemd-networkd's."""
    device_state: str | None
    """NetworkManager's."""
    connection: ConnectionObject | None
    ssid: str | None
    """Name of the wireless network; bytes that are no UTF-8 and control characters are escaped."""
    bssid: str | None
    """Link-layer address of its access point, where the kernel tells it."""
    leases: list[LeaseObject]
    dns: list[str]
    """DNS servers in use for it that a backend has told of; the kernel knows none."""
    domains: list[str]
    """Search domains."""
    ntp: list[str]
    statistics: StatisticsObject | None
    name_is_escaped: NotRequired[bool]
    """Only where the name is not what the kernel has."""


class DetailedInterfaceObject(InterfaceObject):
    """An interface as the API shows it: with what is looked up when somebody asks."""

    watched: bool
    """Whether its events are told."""
    driver: str | None
    """Kernel driver of the hardware; null for what is made of software, or when it can't be read."""


# --- what has happened ---------------------------------------------------------------------------


class PeerObject(TypedDict):
    """A WireGuard peer as its device tells it."""

    public_key: str
    endpoint: str | None
    """Address and port that it was heard from last, or that is configured."""
    allowed_ips: list[str]
    latest_handshake: str | None
    """null: there was none."""
    rx_bytes: int
    tx_bytes: int
    keepalive_seconds: int | None


class KnownPeerObject(PeerObject):
    """A WireGuard peer of one of the watched interfaces, and what is to be said of it."""

    interface: str
    implementation: Implementation
    name: str | None
    """As `wireguard.peers` of the configuration has it."""
    state: PeerState
    expected: Literal["always", "on-demand", "never"]
    unrouted: list[str]
    """Of `allowed_ips` those that no route over the interface covers; empty where nobody looks, see
    `wireguard.routes`."""


class WireguardObject(TypedDict):
    """What a WireGuard event is about: a device, and one of its peers if it is a peer's."""

    implementation: Implementation
    public_key: str | None
    """The device's own, where it tells it."""
    listen_port: int | None
    fwmark: int | None
    peers: int
    connected: int
    """How many of the peers are connected."""
    peer: PeerObject | None
    name: str | None
    """Of the peer, as `wireguard.peers` of the configuration has it."""
    state: PeerState | None
    previous_state: PeerState | None
    previous_endpoint: str | None
    expected: str | None
    """always, on-demand or never."""


class RoutingObject(TypedDict):
    """What an event of policy routing tells."""

    rules_added: int
    rules_removed: int
    routes_added: int
    routes_removed: int
    reason: str | None


class EventObject(TypedDict):
    """An event."""

    sequence: int
    """Grows by one, never used again."""
    type: EventType
    time: str
    interface: str | None
    """null for an event of the host."""
    index: int | None
    backend: str
    """Source of the fact."""
    initial: bool
    """Announced because the daemon started, not because something changed."""
    state: OperationalState | None
    """The interface's after the event."""
    previous_state: OperationalState | None
    family: Family | None
    """Of events of an address, a route, a gateway or a lease."""
    address: AddressObject | None
    """Subject of an address event."""
    route: RouteObject | None
    """Subject of a route event."""
    change: Literal["new", "del"] | None
    """What became of that route."""
    wireguard: WireguardObject | None
    """Subject of an event of a WireGuard device or peer."""
    routing: RoutingObject | None
    """Of events of policy routing."""
    lease: LeaseObject | None
    """Subject of a lease event; the last that was known where it is over."""
    reason: str | None
    """Of a lease event: bound, renew, rebind, expire or release; of systemd-logind's: suspend or resume."""
    host: HostObject | None
    """Of an event of the host that a backend tells."""
    coalesced: int | None
    """How many events it stands for, itself included; null for an event as it was published."""


class DescribedEventObject(EventObject):
    """An event, with a few words for people."""

    description: str


class ScriptObject(TypedDict):
    """What a script gets as JSON."""

    event: EventObject
    interface: InterfaceObject | None
    """After the event."""
    before: NotRequired[InterfaceObject | None]
    """Before it; not there if all of it was too long."""
    truncated: NotRequired[bool]
    """Only where something was too long."""


class VerdictObject(TypedDict):
    """What the filters say of an event."""

    action: Literal["execute", "ignore", "log"]
    filter: int | None
    """Number of the filter that decided, counted from 1; null: none matched."""
    reason: str
    scripts: list[str] | None
    """What runs instead of the scripts of the event's directory."""
    webhooks: list[str]
    """Where the event is posted to, without what may be secret of it."""


class DecisionObject(TypedDict):
    """What became of events that had waited for others, or were held back."""

    sequences: list[int]
    """The events, in order."""
    result: Literal["coalesced", "unchanged", "suppressed", "released"]
    """coalesced: another event ran in their place. unchanged: together they changed nothing.
    suppressed: held back by damping. released: after that their scripts were queued."""
    into: int | None
    """The event that ran for them."""
    reason: str


class OutputLineObject(TypedDict):
    """One line that a script printed."""

    stream: Literal["out", "err"]
    line: str


class RunObject(TypedDict):
    """A run of a script, or an attempt of it: one that has ended, or one that is open."""

    run: int
    sequence: int
    """Of its event."""
    event: str
    """Event type."""
    interface: str | None
    script: str
    result: str | None
    """ok, failed, timeout, refused, lost, dropped, obsolete or paused; null: it has not ended."""
    stage: str | None
    """waiting, resting (until its next attempt), starting, running, terminating or killed; null once
    it has ended."""
    reason: str | None
    """Why it was refused, lost, dropped, obsolete or paused."""
    status: int | None
    """Exit code, or minus the signal that ended it; null when it was never started."""
    duration_seconds: float | None
    cpu_seconds: float | None
    leftovers: int
    """Processes that outlived it and were killed."""
    attempt: int
    """Counts from 1."""
    final: bool
    """false: not ended, or failed and tried again under the same number."""
    time: str | None
    """When it ended."""
    output: list[OutputLineObject]
    output_is_incomplete: bool
    """A worker died with a part of it."""


class DeliveryObject(TypedDict):
    """A delivery to a webhook, or an attempt of it: one that has ended, or one that is open."""

    webhook: str
    """Where it goes, without what may be secret of it."""
    sequence: int
    """Of its event."""
    result: str | None
    """ok, failed and so on; null: it has not ended."""
    stage: str | None
    """waiting, resting (until its next attempt) or posting; null once it has ended."""
    status: int | None
    """HTTP status of the answer."""
    reason: str | None
    duration_seconds: float | None
    attempt: int
    """Counts from 1."""
    final: bool
    """false: not ended, or failed and tried again."""
    time: str | None
    """When it ended."""


class ExplanationObject(TypedDict):
    """What became of an event, and why."""

    event: DescribedEventObject
    verdict: VerdictObject
    decisions: list[DecisionObject]
    runs: list[RunObject]
    deliveries: list[DeliveryObject]
    """To webhooks."""
    explanation: list[str]
    """The same for people, a sentence a line."""


class SubscribedObject(TypedDict):
    """What a WebSocket hears of from here on."""

    type: list[str]
    """Globs of event types; none: all."""
    interface: list[str]
    """Globs of names; none: all."""


GapObject = TypedDict("GapObject", {"from": int, "to": int})
"""Events that are not known any more: the first and the last sequence number."""


class DecidedObject(TypedDict):
    """
    What was decided about events, as the stream tells it: at once by a filter, or after they waited.

    Of an event that no filter matched and that waits for nothing, nothing is said: its scripts run.
    """

    sequences: list[int]
    """The events, in order."""
    result: Literal["execute", "ignore", "log", "coalesced", "unchanged", "suppressed", "released"]
    """The first three are actions of a filter, the others as of a decision."""
    filter: int | None
    """Number of the filter that decided, counted from 1."""
    into: int | None
    """The event that ran for them."""
    reason: str
