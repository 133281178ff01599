"""Section `wireguard`."""

from __future__ import annotations

from attrs import field, frozen

from netevd.config.kinds import (
    Duration,
    Expectation,
    Globs,
    HostPort,
    Interval,
    Metric,
    Patterns,
    PeerName,
    PublicKey,
    RoutesMode,
    TunnelMark,
    TunnelTable,
)


@frozen(slots=True)
class WireguardPeer:
    """What is known of one peer beforehand."""

    public_key: PublicKey
    """Its public key, 44 characters as `wg show` prints it."""
    name: PeerName | None = None
    """Name that events, lists and metrics have for it."""
    expect: Expectation | None = None
    """Whether it is to be connected. Not given: always, if keepalives are sent to it, else on-demand."""
    endpoint: HostPort | None = None
    """The name that its endpoint has, see `Wireguard.endpoint_reresolve`."""


@frozen(slots=True)
class WireguardRoutes:
    """What becomes of the routes that the prefixes of peers imply. Nothing by default."""

    mode: RoutesMode = "off"
    """observe: it is told where they are missing. manage: those that nobody else makes are made."""
    table: TunnelTable = TunnelTable("auto")
    """Where routes are looked for, auto: everywhere; and written to, auto: a table for each device."""
    metric: Metric = Metric(0)
    """Of the routes that are made; 0: the kernel's own."""
    fwmark: TunnelMark = TunnelMark("auto")
    """Mark that devices are to have whose peers take everything, auto: any."""
    force: bool = False
    """Whether routes are made for devices that somebody else routes into too."""

    @property
    def table_number(self) -> int:
        """The table, 0 for auto."""
        return 0 if self.table == "auto" else int(self.table)

    @property
    def mark_number(self) -> int:
        """The mark, 0 for auto."""
        return 0 if self.fwmark == "auto" else int(self.fwmark, 16)


@frozen(slots=True)
class Wireguard:
    """Which WireGuard devices are read, and what their handshakes mean. Without a device nothing is."""

    enabled: bool = True
    interfaces: Patterns = Patterns(())
    """Of the watched links those that are read. Empty: every one."""
    poll_interval: Duration = Duration(5.0)
    """How often a device is read, at most; one that nobody uses four times less often."""
    handshake_timeout: Duration = Duration(180.0)
    """Age of a handshake from which on its keys are refused. Source: REJECT_AFTER_TIME."""
    grace: Duration = Duration(30.0)
    """How much older it may get before the peer counts as idle or disconnected."""
    peers: tuple[WireguardPeer, ...] = ()
    """What is known of peers beforehand; one entry a peer."""
    names_from: Globs = Globs(())
    """Files of WireGuard tools whose names of peers, and of endpoints, count too."""
    routes: WireguardRoutes = field(factory=WireguardRoutes)
    endpoint_reresolve: Interval = Interval(0.0)
    """How often the name of the endpoint of a peer that does not answer is looked up again."""

    @property
    def followed(self) -> tuple[WireguardPeer, ...]:
        """The peers whose endpoints are looked up again."""
        wanted = self.manages and self.endpoint_reresolve
        return tuple(each for each in self.peers if each.endpoint) if wanted else ()

    @property
    def routed(self) -> bool:
        """Whether routes over devices are looked at."""
        return self.enabled and self.routes.mode != "off"

    @property
    def manages(self) -> bool:
        """Whether routes over devices are made."""
        return self.enabled and self.routes.mode == "manage"
