"""
Every setting: name, type, default and meaning. This module is the reference manual's source.

Larger sections are modules of `sections`, the types of settings are in `kinds`. Values only, checked
already; none of it imports anything but attrs, since core and worker share it.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from netevd.config.kinds import (
    AbsolutePath,
    Amount,
    Backend,
    Bytes,
    Capability,
    Count,
    Duration,
    Fingerprint,
    Format,
    LeaseFiles,
    Level,
    MutexName,
    Obsolete,
    Patterns,
    Penalty,
    Protocols,
    SandboxMode,
    Size,
    Tables,
    Times,
    TokenName,
    UserName,
)
from netevd.config.sections.filters import Debounce, Filter, Match, Origin, Override, Webhook
from netevd.config.sections.routing import FixedRule, Policy, Routing
from netevd.config.sections.serving import Api, AuditLog, MetricsSettings, Tls, Token, Webhooks
from netevd.config.sections.trees import CarrierTree, Compat, HookTree, StateTree
from netevd.config.sections.wireguard import Wireguard, WireguardPeer, WireguardRoutes

__all__ = [
    "LEASE_FILES", "Api", "AuditLog", "Backends", "CarrierTree", "Compat", "Configuration",
    "Damping", "Debounce", "Dhclient", "Filter", "FixedRule", "HookTree", "Limits", "Match",
    "MetricsSettings", "Network", "Origin", "Override", "Policy", "Routes", "Routing", "Rule",
    "Scripts", "Security", "Signer", "StateTree", "System", "Tls", "Token", "Webhook", "Webhooks",
    "Wireguard", "WireguardPeer", "WireguardRoutes", "find_ceiling",
]  # fmt: skip


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
    use_dns: bool = False
    """Whether systemd-resolved is told the DNS servers of DHCP leases, of those links that no manager
    tells it of; taken back when the lease is over."""
    use_domain: bool = False
    """Whether it is told their domains, to be searched."""
    use_hostname: bool = False
    """Whether systemd-hostnamed is told the host name of a lease as the host's transient name. A static
    name counts more; a domain is never taken for a name."""


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
    """Of the key, in OpenSSH's form; or of an OpenPGP certificate, 40 or 64 hexadecimal digits, where
    pysequoia is installed."""
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
