"""Sections `api`, `webhooks`, `metrics` and `audit`: what is told to whom."""

from __future__ import annotations

from attrs import field, frozen

from netevd.config.kinds import (
    AbsolutePath,
    Addresses,
    Duration,
    FileSize,
    HostNames,
    Patterns,
    PortNumber,
    RoleName,
    SeriesLimit,
    SocketPath,
    Times,
    TokenHash,
    TokenName,
    UrlPaths,
)


@frozen(slots=True)
class AuditLog:
    """Where it is noted what was done or refused with privilege, and for whom. Off by default."""

    enabled: bool = False
    """Whether it is noted at all."""
    path: AbsolutePath = AbsolutePath("/var/log/netevd/audit.jsonl")
    """The file, one JSON object a line. Every directory above it belongs to root and none is a link;
    the last one, made if need be, and the file are writable by nobody else."""
    max_size: FileSize = FileSize(10 << 20)
    """Bytes of one file; then it is renamed to PATH.1 and a new one begun."""
    keep: Times = Times(10)
    """Renamed files that are kept, PATH.1 being the youngest."""


@frozen(slots=True)
class MetricsSettings:
    """What is told to Prometheus."""

    enabled: bool = True
    """Whether GET /metrics is answered."""
    port: PortNumber | None = None
    """TCP port that serves nothing but this and /health, beside that of the API."""
    bind_address: Addresses = Addresses(())
    """Where that port is; not given: at api.bind_address."""
    interfaces: Patterns = Patterns(("*",))
    """Interfaces with series of their own, as in network.links; all others are counted together as
    _other."""
    max_series: SeriesLimit = SeriesLimit(2000)
    """Series of single interfaces and scripts at most: half of them for events, a quarter each for
    the state of interfaces and for scripts. What has no place is counted together as _other."""


@frozen(slots=True)
class Tls:
    """Encryption of what goes over TCP; none without a certificate."""

    cert_file: AbsolutePath | None = None
    """Certificate in PEM, with the intermediate ones after it. Read again at each reload."""
    key_file: AbsolutePath | None = None
    """Its key in PEM, without a password; nobody but root and the group netevd-net should read it."""
    client_ca_file: AbsolutePath | None = None
    """Authorities in PEM; a client with a certificate of theirs has the role `client_role`."""
    client_role: RoleName = "operate"


@frozen(slots=True)
class Token:
    """What a client may do that shows a secret of which this is the hash."""

    name: TokenName
    """Who that is, for the log."""
    role: RoleName
    """read, operate: also reload and resume, admin: also change the configuration."""
    hash: TokenHash
    """Of the secret."""


@frozen(slots=True)
class Api:
    """Where and for whom HTTP is served. The socket in the runtime directory is always there."""

    enabled: bool = True
    """false: no TCP, no dashboard, no WebSocket."""
    bind_address: Addresses = Addresses(("127.0.0.1",))
    """Addresses to listen at; they need not be there yet. ::, for both families, and 0.0.0.0: all."""
    port: PortNumber = PortNumber(9090)
    socket: SocketPath | None = None
    """A second unix socket, for root and group netevd."""
    allowed_hosts: HostNames = HostNames(())
    """Names by which clients may call this host over TCP, beside localhost and IP addresses."""
    allow_plain: bool = False
    """Whether an address that others can reach may be served without TLS."""
    anonymous: UrlPaths = UrlPaths(())
    """What anybody who reaches a TCP listener may read, as /health and /metrics."""
    tls: Tls = field(factory=Tls)
    tokens: tuple[Token, ...] = ()
    """Who may do what over TCP."""
    tokens_file: AbsolutePath = AbsolutePath("/etc/netevd/tokens")
    """More of them, as `netevd token` keeps them; the default one may be absent."""
    config_writes: bool = False
    """Whether admins may replace the configuration file, as far as `writable` allows."""


@frozen(slots=True)
class Webhooks:
    """How events are posted to the webhooks that filters name."""

    allow_local: bool = False
    """Whether they may be at loopback and link-local addresses and at addresses of this machine."""
    timeout: Duration = Duration(10.0)
    """How long one attempt may take, from the name's look-up to the answer's head."""
