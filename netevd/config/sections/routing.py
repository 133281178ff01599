"""Section `routing`: rules and routes that the daemon makes."""

from __future__ import annotations

from attrs import field, frozen

from netevd.config.kinds import (
    Base,
    Contested,
    Duration,
    Family,
    FixedPriority,
    InterfaceName,
    Mark,
    MarkAndMask,
    OnExit,
    OwnProtocol,
    Patterns,
    Prefix,
    Primary,
    ReturnPath,
    Sources,
    TableName,
    Wait,
)


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
