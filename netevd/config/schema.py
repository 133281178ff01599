"""
Every setting: name, type, default and meaning. This module is the reference manual's source.

Values only, checked already; imports attrs and nothing else, since core and worker share it.
"""

from __future__ import annotations

from typing import Final, Literal, NewType

from attrs import field, frozen

Duration = NewType("Duration", float)
"""Seconds, more than 0. Written with a unit: 250ms, 30s, 5m, 1h."""
Size = NewType("Size", int)
"""Bytes. Written plain or with KiB, MiB, GiB."""
Count = NewType("Count", int)
"""A number from 1 to 200."""
Patterns = NewType("Patterns", tuple[str, ...])
"""Interface names or globs; "!glob" excludes. Written as a list or blank-separated."""
AbsolutePath = NewType("AbsolutePath", str)
"""A path that begins with /."""
Tables = NewType("Tables", tuple[str, ...])
"""Routing tables by name or number, or the word all. Written as a list or blank-separated."""
Protocols = NewType("Protocols", tuple[str, ...])
"""Who installs routes, by name or number. Written as a list or blank-separated."""
LeaseFiles = NewType("LeaseFiles", tuple[str, ...])
"""Absolute paths, at most 32; only their last part may be a glob. Written as a list or
blank-separated."""
UserName = NewType("UserName", str)
"""Name of a system user."""
Times = NewType("Times", int)
"""A number from 0 to 1000."""
Amount = NewType("Amount", int)
"""A number from 16 to 1048576."""
Bytes = NewType("Bytes", int)
"""Bytes, at most 1024 GiB. Written as a Size."""
FileSize = NewType("FileSize", int)
"""Bytes, from 64KiB to 1024 GiB. Written as a Size."""
MutexName = NewType("MutexName", str)
"""Letters, digits, dots, hyphens and underscores, at most 64."""
Pattern = NewType("Pattern", str)
"""An interface name or glob."""
InterfaceName = NewType("InterfaceName", str)
"""Name of an interface."""
EventTypes = NewType("EventTypes", tuple[str, ...])
"""Event types or globs of them. Written as a list or blank-separated."""
KindName = NewType("KindName", str)
"""Kind of a link as in `ip -details link`, "" for hardware."""
Expression = NewType("Expression", str)
"""A CEL expression that yields true or false, see `condition`."""
Wait = NewType("Wait", float)
"""Seconds, 0 or more. Written as a Duration, or 0s."""
EventLimit = NewType("EventLimit", int)
"""A number from 1 to 1000."""
SeriesLimit = NewType("SeriesLimit", int)
"""A number from 100 to 10000."""
Penalty = NewType("Penalty", int)
"""A number from 1 to 1000000; each event that runs scripts counts 1000."""
PublicKey = NewType("PublicKey", str)
"""32 octets as 44 characters of base64."""
PeerName = NewType("PeerName", str)
"""Letters, digits, blanks, dots, hyphens and underscores, at most 64."""
OwnProtocol = NewType("OwnProtocol", int)
"""A number from 64 to 255 that marks what is our own."""
Base = NewType("Base", int)
"""A multiple of 1000 from 2000 to 31000."""
Mark = NewType("Mark", int)
"""A number from 0 to 4294967295, decimal or hexadecimal as 0xff00."""
MarkAndMask = NewType("MarkAndMask", tuple[int, int])
"""Firewall mark and which of its bits count. Written as a Mark, or as MARK/MASK."""
Prefix = NewType("Prefix", str)
"""An address or address with prefix length; "" for any. Written as such, or the word any."""
TableName = NewType("TableName", int)
"""A routing table by name or number."""
TunnelTable = NewType("TunnelTable", str)
"""The number of a routing table, or auto. Written as a TableName, or auto."""
TunnelMark = NewType("TunnelMark", str)
"""A Mark as 0xff00, or auto. Written as a Mark, or auto."""
HostPort = NewType("HostPort", str)
"""A host name and a port, as vpn.example.org:51820."""
Interval = NewType("Interval", float)
"""Seconds, at least 1, or 0 for never. Written as a Duration, or off."""
Globs = NewType("Globs", tuple[str, ...])
"""Absolute paths and globs of them. Written as a list or blank-separated."""
Metric = NewType("Metric", int)
"""A number from 0 to 4294967295."""
FixedPriority = NewType("FixedPriority", int)
"""A number from 1 to 32765, see `FixedRule.priority`."""

Addresses = NewType("Addresses", tuple[str, ...])
"""IP addresses, at most 4. Written as a list or blank-separated."""
PortNumber = NewType("PortNumber", int)
"""A number from 1 to 65535."""
HostNames = NewType("HostNames", tuple[str, ...])
"""Host names; "*.example.org" is every name below it. Written as a list or blank-separated."""
UrlPaths = NewType("UrlPaths", tuple[str, ...])
"""Paths of URLs, with everything below them. Written as a list or blank-separated."""
SocketPath = NewType("SocketPath", str)
"""An absolute path of at most 107 octets, which is what a unix socket can have."""
TokenName = NewType("TokenName", str)
"""Letters, digits, dots, hyphens and underscores, at most 64."""
TokenHash = NewType("TokenHash", str)
"""sha256: and 64 hexadecimal digits."""
Fingerprint = NewType("Fingerprint", str)
"""SHA256: and 43 characters of base64, as `ssh-keygen -l` and `netevd sign init` print it."""
Url = NewType("Url", str)
"""An address that begins with https:// or http://, without user name or password."""

EXPRESSION_LIMIT: Final = 4096
"""Characters of an Expression at most."""

Backend = Literal["auto", "kernel", "systemd-networkd", "dhclient"]
Level = Literal["trace", "debug", "info", "warn", "error"]
Format = Literal["text", "json", "journal"]
Obsolete = Literal["run", "skip"]
RoleName = Literal["read", "operate", "admin"]
Source = Literal["kernel", "systemd-networkd", "NetworkManager", "dhclient", "dhcpcd"]
Expectation = Literal["always", "on-demand", "never"]
RoutesMode = Literal["off", "observe", "manage"]
Family = Literal["ipv4", "ipv6"]
FilterAction = Literal["execute", "ignore", "log"]
Primary = Literal["skip", "include"]
Sources = Literal["auto", "address", "prefix"]
ReturnPath = Literal["off", "conntrack-mark"]
OnExit = Literal["keep", "remove"]
Contested = Literal["backoff", "fail"]
SandboxMode = Literal["enforce", "log", "off"]
Capability = Literal[
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
    "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
]  # fmt: skip
"""Source: linux/capability.h, in its order."""


@frozen(slots=True)
class System:
    """How the daemon itself behaves."""

    backend: tuple[Backend, ...] = ("auto",)
    """Sources of knowledge beside the kernel, a word or a list. auto: whatever is there; kernel: none."""
    log_level: Level = "info"
    """Least level that is logged; trace shows every input of the core."""
    log_format: Format = "text"
    """text for people, json for machines: one object a line; journal: entries of systemd-journald."""


@frozen(slots=True)
class Network:
    """Which links are watched and what scripts are told of them."""

    links: Patterns = Patterns(())
    """Watched interfaces by name, alternative name or glob. Empty: all but lo, which counts only
    when it is named as such."""
    emit_json: bool = True
    """Whether scripts get the variable JSON."""


@frozen(slots=True)
class Limits:
    """
    What one script may use, soft and hard limit in one. Source: setrlimit(2).

    They hold for each process by itself, `processes` for all processes of the script's user.
    """

    open_files: Amount | None = None
    """Open file descriptors."""
    processes: Amount | None = None
    """Processes of this user at the same time, netevd's runner and those outside netevd included.
    The kernel does not hold root to it."""
    file_size: Bytes | None = None
    """Bytes that a file may grow to."""
    memory: Bytes | None = None
    """Bytes of address space, at least 64MiB: netevd's runner lives under it too."""
    locked_memory: Bytes | None = None
    """Bytes of memory that may be locked."""
    stack: Bytes | None = None
    """Bytes of stack, at least 1MiB."""


@frozen(slots=True)
class Rule:
    """What is different for one script."""

    path: AbsolutePath
    """The script as `netevd list hooks` names it."""
    user: UserName | None = None
    """User that it runs as instead of scripts.user; here root may be given."""
    capabilities: tuple[Capability, ...] | None = None
    """Capabilities that it has. Not given: none, and for user root all that netevd has."""
    timeout: Duration | None = None
    """How long it may run, instead of script_timeout."""
    detach: bool = False
    """Its run ends with its first process; what that left lives until the daemon stops."""
    mutex: MutexName | None = None
    """Of all scripts whose rules name the same mutex one runs at a time."""
    retries: Times = Times(0)
    """How often it is tried again after it has failed or was timed out."""
    retry_delay: Duration = Duration(1.0)
    """How long before it is tried again; twice as long each further time, at most 5 minutes."""
    limits: Limits = field(factory=Limits)
    """Resource limits, instead of those that the daemon was started with."""


@frozen(slots=True)
class Damping:
    """
    When events of one fact come too often to run scripts. Off by default.

    Names and idea are those of RFC 2439, which damps routes that flap.
    """

    enabled: bool = False
    half_life: Duration = Duration(60.0)
    """After this time half of a penalty is forgotten."""
    suppress: Penalty = Penalty(5000)
    """A penalty above this suppresses the scripts of its fact."""
    reuse: Penalty = Penalty(1500)
    """Once it has decayed to this they run again, the last event's at once."""
    max_suppress: Duration = Duration(600.0)
    """Scripts are never suppressed for longer than this after the last event."""


def find_ceiling(damping: Damping) -> float:
    """Return the highest penalty: what decays to `reuse` within `max_suppress`. Source: RFC 2439."""
    return float(damping.reuse * 2.0 ** min(damping.max_suppress / damping.half_life, 64.0))


@frozen(slots=True)
class Scripts:
    """Where scripts stand and how they run."""

    directory: AbsolutePath = AbsolutePath("/etc/netevd")
    """Root of the script directories `TYPE.d`; scripts in /usr/lib/netevd come after it."""
    user: UserName = UserName("netevd-script")
    """System user that scripts run as; not root. Without root: always the caller."""
    concurrency: Count = Count(8)
    """Scripts that run at the same time at most; those of one link always run one by one."""
    output_limit: Size = Size(65536)
    """Output of one run that is kept, both streams together; the rest is read and dropped."""
    initial: bool = True
    """Whether the events that tell the state at start run scripts."""
    obsolete: Obsolete = "run"
    """skip: a script of a state is passed over when one of a later state is waiting already."""
    pause_after: Times = Times(0)
    """Runs that fail in a row after which a script is paused until its file changes; 0 for never."""
    damping: Damping = field(factory=Damping)
    rules: tuple[Rule, ...] = ()
    """What is different for single scripts; one rule a script."""


@frozen(slots=True)
class Routes:
    """Which routes are known and told; what is not asked for is dropped by the kernel already."""

    tables: Tables = Tables(("main",))
    """Tables whose routes are known: all, main, local, default, or numbers. Empty: none."""
    default_routes: bool = True
    """Whether default routes of every other table are known too."""
    protocols: Protocols = Protocols(())
    """Whose routes these are: kernel, static, dhcp, ra, bird and so on, or numbers. Empty: all."""


@frozen(slots=True)
class Match:
    """Which events a filter is for: those of which everything that is given holds."""

    interface: InterfaceName | None = None
    """Name of the link, or one of its alternative names."""
    interface_pattern: Pattern | None = None
    """Glob of the same."""
    event_type: EventTypes | None = None
    """Type of the event: one of these."""
    ip_family: Family | None = None
    """Family of the address, route or gateway that the event is about; for other events whether the
    link has a usable address of it after the event, link-local ones not counted."""
    backend: Source | None = None
    """Source of the fact."""
    kind: KindName | None = None
    """Kind of the link: veth, bridge, wireguard and so on, "" for hardware."""
    condition: Expression | None = None
    """A CEL expression, asked last. Only exactly true holds."""


@frozen(slots=True)
class Origin:
    """Where something is written; not a setting. Line counts from 1; 0 for nowhere."""

    file: str = ""
    line: int = 0


@frozen(slots=True)
class Webhook:
    """Whom events are posted to, as JSON."""

    url: Url
    headers_file: AbsolutePath | None = None
    """File with headers to send, one `Name: value` a line; root's, group netevd-net, mode 0640."""
    retries: Times = Times(8)
    """How often an event is posted again that was not taken; after 1 s, then twice as long each time,
    at most 5 minutes."""


@frozen(slots=True)
class Filter:
    """What becomes of some events. Of all filters the first that matches decides."""

    action: FilterAction
    """execute: scripts run. ignore: none does, and the log tells of it at level debug only. log:
    none does."""
    match: Match = field(factory=Match)
    """Which events it is for; nothing given: all."""
    scripts: tuple[AbsolutePath, ...] | None = None
    """What runs, in this order, instead of the scripts of the event's directory; empty: nothing, where
    there are webhooks."""
    origin: Origin = field(factory=Origin)
    webhooks: tuple[Webhook, ...] | None = None
    """Whom the event is posted to besides, when its scripts are queued."""


@frozen(slots=True)
class Override:
    """What of debounce is different for some events; what is not given is as for all."""

    interface_pattern: Pattern | None = None
    """Glob of the link's name or alternative names; not given: all."""
    event_type: EventTypes | None = None
    """Types of the events; not given: all."""
    window: Wait | None = None
    """0s: these events don't wait."""
    max_events: EventLimit | None = None
    net_effect: bool | None = None
    up: Wait | None = None
    """Window of events that say that something came or got better, instead of `window`."""
    down: Wait | None = None
    """Window of events that say that something went or got worse, instead of `window`."""


@frozen(slots=True)
class Debounce:
    """Whether scripts wait for what follows their event. Off by default."""

    enabled: bool = False
    window: Duration = Duration(5.0)
    """How long after the first event of a fact the scripts of the last one run."""
    max_events: EventLimit = EventLimit(10)
    """So many events end the wait at once."""
    net_effect: bool = True
    """Whether nothing runs when the fact is back where it was."""
    overrides: tuple[Override, ...] = ()
    """What is different for some events; the first one that matches holds."""


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


@frozen(slots=True)
class Policy:
    """
    Whether traffic of each address leaves by the link that has the address. Off by default.

    Numbers of rules and tables are made of `base` and the slot of the link, 1 to 399.
    """

    enabled: bool = False
    interfaces: Patterns = Patterns(("eth*", "en*"))
    """Which links; those that a glob names must be hardware or veth, others have to be named."""
    primary: Primary = "skip"
    """skip: none of it for the link of the best default route, which has what is not bound anyway."""
    families: tuple[Family, ...] = ("ipv4", "ipv6")
    sources: Sources = "auto"
    """What rules select: each address, or the prefix it is in. auto: prefixes where IPv6 made the
    address itself and no other link has the prefix, else addresses."""
    protocol: OwnProtocol = OwnProtocol(110)
    """What marks rules and routes as our own; nothing else is ever changed or removed."""
    base: Base = Base(21000)
    """Rules have priorities, and routes tables, from here to 899 above; `routing.rules` 1000 below."""
    bind_device: bool = False
    """Whether sockets that are bound to a link, and to no address, use its table too."""
    strict: bool = False
    """Whether a link without gateway refuses what it can't reach, instead of what main says."""
    return_path: ReturnPath = "off"
    """conntrack-mark: connections that carry the mark of a link use its table."""
    mark_mask: Mark = Mark(0)
    """Which bits of the firewall mark hold the number of the link; needed for conntrack-mark."""
    on_exit: OnExit = "keep"
    """What becomes of rules and routes when the daemon stops."""
    resync: Duration = Duration(60.0)
    """How often all is read again, whatever the kernel told."""
    contested: Contested = "backoff"
    """When somebody keeps removing what is ours: try again less often, or stop until a reload."""


@frozen(slots=True)
class FixedRule:
    """A policy rule that is always there, as `ip rule` has it."""

    priority: FixedPriority
    """Within the 1000 below `policy.base`: 20000 to 20999."""
    table: TableName
    """Table that is looked up."""
    from_: Prefix = Prefix("")
    to: Prefix = Prefix("")
    iif: InterfaceName | None = None
    oif: InterfaceName | None = None
    fwmark: MarkAndMask | None = None
    family: Family | None = None
    """Not given: that of from and to, and both where neither says it."""


@frozen(slots=True)
class Routing:
    """Rules and routes that the daemon itself makes. None by default."""

    policy: Policy = field(factory=Policy)
    rules: tuple[FixedRule, ...] = ()
    """Rules that are always there."""
    confirm: Wait = Wait(0.0)
    """How long a changed routing section is on trial after a reload; 0s: it is in force at once."""

    @property
    def wanted(self) -> bool:
        """Whether any rule or route can be wanted."""
        return self.policy.enabled or bool(self.rules)


LEASE_FILES: Final = LeaseFiles(
    (
        "/var/lib/dhcp/dhclient*.leases",
        "/var/lib/dhclient/dhclient*.leases",
        "/var/lib/dhclient/dhclient*.lease",
        "/var/lib/NetworkManager/dhclient*.lease",
        "/run/netevd-leases/*.leases",
    )
)
"""Where dhclient keeps its leases on Debian, on Red Hat's systems and for NetworkManager, and where
netevd's hook for dhcpcd writes them."""


@frozen(slots=True)
class Dhclient:
    """Where DHCP clients write what they were granted."""

    lease_files: LeaseFiles = LeaseFiles(())
    """Lease files, in the form of dhclient.leases(5). What no pattern names is not read, and not
    watched. Empty: those of `LEASE_FILES`."""

    @property
    def patterns(self) -> LeaseFiles:
        """What is read."""
        return self.lease_files or LEASE_FILES


@frozen(slots=True)
class Backends:
    """What is to be known of single sources of knowledge; which there are is `system.backend`."""

    dhclient: Dhclient = field(factory=Dhclient)


@frozen(slots=True)
class Signer:
    """Whose signature scripts may have."""

    fingerprint: Fingerprint
    """Of the key, in OpenSSH's form."""
    name: TokenName | None = None
    """Who that is, for people."""


@frozen(slots=True)
class Security:
    """Which scripts may run at all, and how each role is held to what it needs."""

    verify_scripts: bool = False
    """Whether only scripts run that a signed manifest names, see docs/signing.md."""
    allowed_signers: tuple[Signer, ...] = ()
    """Whose signature a manifest needs; one of them is enough."""
    sandbox: SandboxMode = "enforce"
    """What becomes of a system call that a role does not need. enforce: it fails. log: the kernel
    logs it and lets it pass, and no file is closed by Landlock. off: neither."""


@frozen(slots=True)
class HookTree:
    """A tree of scripts in the convention of another dispatcher, which run as they would there."""

    enabled: bool = False
    """Whether it is looked at."""
    roots: tuple[AbsolutePath, ...] | None = None
    """Where it stands, the first place winning over later ones. Not given: where that dispatcher has it."""
    user: UserName | None = None
    """User that its scripts run as instead of scripts.user; here root may be given."""
    capabilities: tuple[Capability, ...] | None = None
    """Capabilities that they have. Not given: none, and for user root all that netevd has."""
    timeout: Duration | None = None
    """How long each may run. Not given: script_timeout, and 600s for networkmanager."""


@frozen(slots=True)
class StateTree(HookTree):
    """The tree of networkd-dispatcher."""

    assume_configured: bool = False
    """Whether links that systemd-networkd does not manage count as configured once they have an address,
    instead of unmanaged."""


@frozen(slots=True)
class CarrierTree(HookTree):
    """The tree of ifplugd."""

    delay_up: Wait = Wait(0.0)
    """How long a carrier has to be there."""
    delay_down: Wait = Wait(5.0)
    """How long it has to be gone."""


@frozen(slots=True)
class Compat:
    """Script trees of other dispatchers. None by default."""

    networkd_dispatcher: StateTree = field(factory=StateTree)
    networkmanager: HookTree = field(factory=HookTree)
    dhclient_hooks: HookTree = field(factory=HookTree)
    ifupdown: HookTree = field(factory=HookTree)
    ifplugd: CarrierTree = field(factory=CarrierTree)
    netplug: HookTree = field(factory=HookTree)


@frozen(slots=True)
class Configuration:
    """All settings. In a file there is one key more, `include`."""

    system: System = field(factory=System)
    network: Network = field(factory=Network)
    script_timeout: Duration = Duration(30.0)
    """How long one script may run; then TERM to all of its processes, 5 s later KILL."""
    scripts: Scripts = field(factory=Scripts)
    routes: Routes = field(factory=Routes)
    routing: Routing = field(factory=Routing)
    debounce: Debounce = field(factory=Debounce)
    metrics: MetricsSettings = field(factory=MetricsSettings)
    wireguard: Wireguard = field(factory=Wireguard)
    filters: tuple[Filter, ...] = ()
    """Which events run scripts, and which; none: all do."""
    audit: AuditLog = field(factory=AuditLog)
    api: Api = field(factory=Api)
    backends: Backends = field(factory=Backends)
    webhooks: Webhooks = field(factory=Webhooks)
    security: Security = field(factory=Security)
    compat: Compat = field(factory=Compat)

    @property
    def needs_routes(self) -> bool:
        """Whether routes have to be known that users need not hear of."""
        return self.routing.wanted or self.wireguard.routed
