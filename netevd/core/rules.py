"""
What is known of rules: the kernel's list, kept by events and set right by each dump of links.

The kernel allows a rule twice, so they are counted. Nothing fires for a rule: routing policy is
netevd's own business, and rules of others are shown.
"""

from __future__ import annotations

from netevd.model.inputs import RuleGone, RuleSeen
from netevd.model.rule import Rule


class RuleTable:
    """All rules of both families."""

    def __init__(self) -> None:
        self._rules: dict[Rule, int] = {}
        self._dumped: dict[Rule, int] = {}
        self._told: set[Rule] = set()
        """Rules that events spoke of since the dump under way was asked for."""

    def get_rules(self) -> list[Rule]:
        """Return every rule as often as it is there, by family and priority."""
        ordered = sorted(self._rules.items(), key=lambda each: (each[0].family, each[0].priority))
        return [rule for rule, count in ordered for _ in range(count)]

    def begin_dump(self) -> None:
        """Get ready for a dump; an earlier one is void."""
        self._dumped = {}
        self._told = set()

    def handle(self, given: RuleSeen | RuleGone, dump: int) -> None:
        """Take in what the kernel says of a rule. `dump`: number of the dump under way."""
        rule = given.rule
        match given:
            case RuleSeen(dump=number) if number:
                if number == dump:
                    self._dumped[rule] = self._dumped.get(rule, 0) + 1
            case RuleSeen():
                self._told.add(rule)
                self._rules[rule] = self._rules.get(rule, 0) + 1
            case RuleGone():
                self._told.add(rule)
                count = self._rules.get(rule, 0) - 1
                if count > 0:
                    self._rules[rule] = count
                else:
                    self._rules.pop(rule, None)

    def merge(self) -> None:
        """Make the dump the truth, but for rules that events spoke of meanwhile. It is over."""
        told = {rule: count for rule, count in self._rules.items() if rule in self._told}
        found = {rule: count for rule, count in self._dumped.items() if rule not in self._told}
        self._rules = found | told
        self.begin_dump()
