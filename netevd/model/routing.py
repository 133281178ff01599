"""
What netevd itself writes into the kernel: rules and routes of its own, one change at a time.

Here are values; which of them are wanted is core.policyplan's, and which may be asked for
privsep.policy's.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import frozen

from netevd.model.route import PROTOCOL_OURS, Route, Table
from netevd.model.rule import Rule

LOOKUP: Final = 1
"""Action of a rule that looks a table up. Source: FR_ACT_TO_TBL, linux/fib_rules.h."""

UNREACHABLE: Final = 7
"""Type of a route that refuses. Source: RTN_UNREACHABLE, linux/rtnetlink.h."""

SLOTS: Final = 399
"""Links that can have tables of their own."""

FIXED_BELOW: Final = 1000
"""Rules of the configuration stand at most so far below the base."""
MARKS_BELOW: Final = 100
"""Rules of firewall marks stand so far below the base, plus the slot."""
SUPPRESS_ABOVE: Final = 400
"""The rule that looks all but default routes of main up stands so far above the base."""
DEFAULT_ABOVE: Final = 500
"""Rules and tables of default routes stand so far above the base, plus the slot."""
TUNNELS_ABOVE: Final = 900
"""Rules of tunnels stand from here on above the base, and their tables after it."""
END_ABOVE: Final = 950
"""From here on nothing is netevd's."""


@frozen(slots=True)
class Ours:
    """What marks rules and routes as netevd's: by both, protocol and range."""

    protocol: int = PROTOCOL_OURS
    base: int = 21000

    def has_rule(self, rule: Rule) -> bool:
        """Tell whether a rule is ours; we make none that does anything but look up a table."""
        mine = rule.protocol == self.protocol and self.has_priority(rule.priority)
        inverts = rule.invert and rule.priority < self.base + TUNNELS_ABOVE
        return mine and rule.action == LOOKUP and not (rule.tos or inverts)

    def has_priority(self, priority: int) -> bool:
        """Tell whether a priority of rules is in our range."""
        return self.base - FIXED_BELOW <= priority < self.base + END_ABOVE

    def has_route(self, route: Route) -> bool:
        """Tell whether a route is ours; we make none for a TOS, a source or a nexthop object."""
        mine = route.protocol == self.protocol and self.has_table(route.table)
        return mine and not (route.tos or route.source or route.nexthop_id)

    def made(self, route: Route) -> bool:
        """Tell whether netevd has made a route, be it for policy routing or for tunnels."""
        return route.protocol == self.protocol and 0 < route.table - self.base < FIXED_BELOW

    def has_table(self, table: int) -> bool:
        """Tell whether a table is in our range."""
        above = table - self.base
        return 0 < above < END_ABOVE and above != TUNNELS_ABOVE

    def find_tunnel(self, table: int) -> int:
        """Return the number of the tunnel that a table belongs to, 0 for none."""
        above = table - self.base - TUNNELS_ABOVE
        return above if self.has_table(table) and above > 0 else 0

    def tunnel_table(self, number: int) -> Table:
        """Return the table of a tunnel's routes."""
        return Table(self.base + TUNNELS_ABOVE + number)

    def find_slot(self, table: int) -> int:
        """Return the slot that a table belongs to, 0 for none."""
        above = table - self.base
        slot = above - DEFAULT_ABOVE if above > DEFAULT_ABOVE else above
        return slot if self.has_table(table) and 1 <= slot <= SLOTS else 0

    def connected_table(self, slot: int) -> Table:
        """Return the table of what is connected to a link; its rules have this priority."""
        return Table(self.base + slot)

    def default_table(self, slot: int) -> Table:
        """Return the table of a link's default routes; its rules have this priority."""
        return Table(self.base + DEFAULT_ABOVE + slot)


@frozen(slots=True)
class AddRule:
    """A rule of ours is to be there."""

    rule: Rule


@frozen(slots=True)
class DeleteRule:
    """A rule of ours is to be gone."""

    rule: Rule


@frozen(slots=True)
class AddRoute:
    """A route of ours, with one way, is to be there, whatever others its key has."""

    route: Route


@frozen(slots=True)
class DeleteRoute:
    """A route of ours, with one way, is to be gone."""

    route: Route


Change: TypeAlias = AddRule | DeleteRule | AddRoute | DeleteRoute


@frozen(slots=True)
class Slot:
    """The number that a link's tables are made of; it outlives the link, the daemon and boots."""

    key: str
    """What stays of the link: permanent MAC, or name."""
    number: int
    """1 to SLOTS."""
    absent_ns: int = 0
    """Wall clock when the link was missed first, 0 while it is there."""


@frozen(slots=True)
class RoutingMemory:
    """What of policy routing outlives the worker, and but for the trial also boots."""

    slots: tuple[Slot, ...] = ()
    confirmed: str = ""
    """The section of the configuration that is in force beyond doubt, as JSON; "" for none yet."""
    trial_until: float = 0.0
    """Monotonic seconds when the section of now is given up unless confirmed; 0: it is on no trial."""
    generation: int = 0
    """Of which configuration that was said."""
    given_up: bool = False
    """Whether the section of that generation was given up for the confirmed one."""


@frozen(slots=True)
class RoutingOutcome:
    """What an event of policy routing tells."""

    rules_added: int = 0
    rules_removed: int = 0
    routes_added: int = 0
    routes_removed: int = 0
    reason: str = ""
    """A few words for people."""

    def describe(self) -> str:
        """Return in words how many rules and routes came and went, and why."""
        parts = [
            f"{count} {what}"
            for count, what in (
                (self.rules_added, "rules made"), (self.routes_added, "routes made"),
                (self.rules_removed, "rules removed"), (self.routes_removed, "routes removed"),
            )
            if count
        ]  # fmt: skip
        if not parts:
            return self.reason
        return ", ".join(parts) + (f" ({self.reason})" if self.reason else "")
