"""What of the section `routing` is fine by itself and not beside the rest, or can hardly be meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import evolve

from netevd.config.schema import FixedRule, Policy, Routing, Wireguard
from netevd.config.tree import Place, Places, Problem
from netevd.model.routing import END_ABOVE, FIXED_BELOW, MARKS_BELOW, TUNNELS_ABOVE
from privsep.variables import is_ifname

_RULES: Final = 900
"""Rules of a configuration at most."""

_USED: Final = {
    0xC000: "kube-proxy", 0xFF0000: "Tailscale", 0x0F00: "Cilium", 0x80: "the CNI of AWS",
    0x3F00: "mwan3",
}  # fmt: skip
"""Bits of the firewall mark that others use by default."""


def find_routing_conflicts(routing: Routing, places: Places) -> Iterator[Problem]:
    """Yield a problem for each setting that the helper, or the kernel, would refuse."""
    where, policy = ("routing", "policy"), routing.policy
    place = places.get(where, Place(""))
    marks = policy.return_path == "conntrack-mark"
    if marks and not policy.mark_mask:
        text = "return_path: conntrack-mark needs mark_mask: which bits of the mark are netevd's to use"
        yield Problem(places.get((*where, "return_path"), place), text)
    mask = policy.mark_mask
    if mask and (mask // (mask & -mask) + 1) & (mask // (mask & -mask)):
        text = f"mark_mask: expected bits side by side as 0xff00, found {mask:#x}"
        yield Problem(places.get((*where, "mark_mask"), place), text)
    if len(routing.rules) > _RULES:
        yield Problem(places["routing", "rules"], f"rules: expected at most {_RULES}")
    seen: dict[FixedRule, Place] = {}
    for index, rule in enumerate(routing.rules):
        at = places["routing", "rules", str(index)]
        keys = {key: places.get(("routing", "rules", str(index), key), at) for key in _KEYS}
        yield from _find_rule_faults(rule, policy, keys, at, marks=marks)
        first = seen.setdefault(rule, at)
        if first is not at:
            yield Problem(at, f"rules: the same rule stands at {first}; take one of the two out")


_KEYS: Final = ("priority", "table", "iif", "oif", "family", "to", "fwmark")


def _find_rule_faults(
    rule: FixedRule, policy: Policy, keys: dict[str, Place], at: Place, *, marks: bool
) -> Iterator[Problem]:
    low, high = policy.base - FIXED_BELOW, policy.base - 1 - (MARKS_BELOW if marks else 0)
    if not low <= rule.priority <= high:
        text = f"priority: expected {low} to {high}, found {rule.priority}"
        yield Problem(keys["priority"], text)
    if policy.base < rule.table < policy.base + END_ABOVE:
        text = f"table: {rule.table} is one of netevd's own; what is in it changes with the links"
        yield Problem(keys["table"], text)
    families = {6 if ":" in word else 4 for word in (rule.from_, rule.to) if word}
    if len(families) > 1:
        yield Problem(keys["to"], "to: is of another family than from")
    elif families and rule.family is not None and f"ipv{min(families)}" != rule.family:
        text = f"family: {rule.family} is not that of the addresses; leave it out"
        yield Problem(keys["family"], text)
    for name, value in (("iif", rule.iif), ("oif", rule.oif)):
        if value is not None and not is_ifname(value):
            text = f"{name}: expected the name of an interface, at most 15 octets, found {value[:80]!r}"
            yield Problem(keys[name], text)
    selectors = (rule.from_, rule.to, rule.iif, rule.oif)
    if not any(selectors) and (rule.fwmark is None or not rule.fwmark[1]):
        yield Problem(at, "rules: it selects nothing; give from, to, iif, oif or fwmark")


def find_tunnel_conflicts(
    wireguard: Wireguard, policy: Policy, places: Places
) -> Iterator[Problem]:
    """Yield a problem for a table that the helper would not write to."""
    low, high = policy.base + TUNNELS_ABOVE + 1, policy.base + END_ABOVE - 1
    routes = wireguard.routes
    if routes.mode == "manage" and routes.table_number and not low <= routes.table_number <= high:
        text = (
            f"table: with mode manage expected auto or {low} to {high}, found {routes.table}: netevd"
            " writes to no table of others"
        )
        yield Problem(places["wireguard", "routes", "table"], text)
    if wireguard.endpoint_reresolve and routes.mode != "manage":
        text = "endpoint_reresolve: needs wireguard.routes.mode: manage, since it changes devices"
        yield Problem(places["wireguard", "endpoint_reresolve"], text)


def find_tunnel_doubts(wireguard: Wireguard, places: Places) -> Iterator[Problem]:
    """Yield a doubt for each setting of tunnels' routes that has no effect."""
    where = ("wireguard", "routes")
    needs = {
        "off": ("table", "metric", "fwmark", "force"),
        "observe": ("metric", "fwmark", "force"),
    }
    for name in needs.get(wireguard.routes.mode, ()):
        if (*where, name) in places:
            text = f"{name}: has no effect with wireguard.routes.mode: {wireguard.routes.mode}"
            yield Problem(places[*where, name], text)
    for index, peer in enumerate(wireguard.peers):
        if peer.endpoint and not wireguard.endpoint_reresolve:
            place = places["wireguard", "peers", str(index), "endpoint"]
            yield Problem(place, "endpoint: has no effect without wireguard.endpoint_reresolve")


def find_routing_doubts(routing: Routing, places: Places) -> Iterator[Problem]:
    """Yield a doubt for each setting that has no effect, or gets in somebody's way."""
    policy = routing.policy
    where = ("routing", "policy")
    if where in places and not policy.enabled and (*where, "enabled") not in places:
        text = "policy: has no effect without routing.policy.enabled: true"
        yield Problem(places[where], text)
    mask = places.get((*where, "mark_mask"))
    if mask is not None:
        if policy.return_path == "off":
            yield Problem(mask, "mark_mask: has no effect without return_path: conntrack-mark")
        for bits, name in _USED.items():
            if policy.mark_mask & bits:
                yield Problem(mask, f"mark_mask: {name} uses {bits:#x} of the mark by default")
    confirm = places.get(("routing", "confirm"))
    if confirm is not None and not routing.wanted:
        yield Problem(confirm, "confirm: has no effect without routing.policy or routing.rules")
    for index, rule in enumerate(routing.rules):
        for other in routing.rules[:index]:
            same = evolve(rule, priority=other.priority, table=other.table)
            if same == other and other.priority < rule.priority and other.table == 254:
                text = f"rules: never asked for what priority {other.priority} has a route for"
                yield Problem(places["routing", "rules", str(index)], text)
                break
