"""The rule: one entry of the routing policy database as rtnetlink describes it."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from netevd.model.route import Table

_NO_TABLE: Final = Table(0)

RULE_ACTIONS: Final = (
    "unspec", "lookup", "goto", "nop", "res3", "res4", "blackhole", "unreachable", "prohibit",
)  # fmt: skip
"""Names of a rule's action by number. Source: FR_ACT_*, linux/fib_rules.h."""


@frozen(slots=True)
class Rule:
    """What one RTM_NEWRULE message says of a rule. Source: ip-rule(8), linux/fib_rules.h."""

    family: int
    """4 or 6."""
    priority: int
    """Rules are asked lowest first."""
    action: int
    """FR_ACT_*, an index into RULE_ACTIONS."""
    table: Table = _NO_TABLE
    """Table that is looked up, 0 for none."""
    source: str = ""
    """Source prefix, "" for any."""
    destination: str = ""
    """Destination prefix, "" for any."""
    invert: bool = False
    """Whether the rule holds for all that its selectors do not match."""
    iifname: str = ""
    oifname: str = ""
    mark: int = 0
    mask: int = 0
    """Firewall mark and which of its bits count; both 0 for any."""
    tos: int = 0
    goto: int = 0
    """Priority of the rule to go on with."""
    uids: tuple[int, int] | None = None
    """First and last user id."""
    ip_protocol: int = 0
    source_ports: tuple[int, int] | None = None
    destination_ports: tuple[int, int] | None = None
    """First and last port."""
    suppress_prefix_length: int = -1
    """Routes with at most this prefix length are passed over, -1 for none."""
    suppress_group: int = -1
    """Routes over links of this group are passed over, -1 for none."""
    tunnel_id: int = 0
    l3mdev: bool = False
    """Whether the table is that of the VRF the packet belongs to."""
    protocol: int = 0
    """Who installed it, see netevd.model.route.PROTOCOLS."""
