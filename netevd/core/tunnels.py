"""
Routes of tunnels: when they are planned, and what users are told where nobody is to write them.

Composes core.tunnelplan and what core.wireguardwatch has read. What is written goes through
core.policyrouting with everything else of netevd's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from netevd.config.schema import Wireguard
from netevd.core.tunnelplan import (
    Around,
    Tunnel,
    TunnelPlan,
    TunnelState,
    make_tunnel_plan,
)
from netevd.core.wireguardwatch import WireguardWatch
from netevd.model.actions import Action, Kind, Note
from netevd.model.answers import TunnelRoutesObject
from netevd.model.inputs import Now
from netevd.model.link import IfIndex
from netevd.model.route import Route
from netevd.model.routing import END_ABOVE, TUNNELS_ABOVE, Ours
from netevd.model.rule import Rule
from netevd.model.shape import printable
from netevd.model.snapshot import Snapshot

SETTLE_S: Final = 2.0
"""A device is left alone for so long after it was found: who makes it may have more to do."""
DRIFT_S: Final = 5.0
"""What is missing for less than this is on its way."""
_SHOWN: Final = 5
"""Prefixes that a message names."""


class Drift(NamedTuple):
    """What of one device's routes is not as its peers imply."""

    ifindex: IfIndex
    reason: str


class _Told:
    """What was said of one device."""

    def __init__(self, found: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        self.known = found
        """Missing prefixes and strays that were told."""
        self.pending: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self.since = 0.0


class Tunnels:
    """What the devices' peers imply for routing."""

    def __init__(self, settings: Wireguard, watch: WireguardWatch) -> None:
        self._settings = settings
        self._watch = watch
        self._numbers: dict[IfIndex, int] = {}
        """Of the tables of devices."""
        self._told: dict[IfIndex, _Told] = {}
        self._hinted: frozenset[tuple[str, str]] = frozenset()
        self.states: tuple[TunnelState, ...] = ()
        """As they were found last."""
        self.due: float | None = None
        """When to look again, in monotonic seconds; None for when something happens."""

    @property
    def wanted(self) -> bool:
        """Whether routes over devices are looked at."""
        return self._settings.routed

    @property
    def manages(self) -> bool:
        """Whether routes over devices are made."""
        return self._settings.manages

    def has(self, ifindex: IfIndex) -> bool:
        """Tell whether a link is a device."""
        return self.wanted and self._watch.has(ifindex)

    def take_concern(self) -> bool:
        """Tell whether prefixes, endpoints or marks of devices have changed since the last call."""
        return self._watch.take_concern() and self.wanted

    def plan(
        self,
        snapshots: Iterable[Snapshot],
        routes: Sequence[Route],
        rules: Sequence[Rule],
        ours: Ours,
        now: Now,
    ) -> TunnelPlan:
        """Return what shall be there."""
        if not self.wanted:
            return TunnelPlan()
        links = {each.link.ifindex: each.link for each in snapshots}
        tunnels = []
        settled: list[IfIndex] = []
        self.due = None
        for found in self._watch.get_devices():
            if found.ifindex not in links:
                continue
            tunnels.append(Tunnel(links[found.ifindex], found.device))
            at = found.since + SETTLE_S
            if now.monotonic >= at:
                settled.append(found.ifindex)
            else:
                self.due = at if self.due is None else min(self.due, at)
        self._assign(settled, tunnels, routes, ours)
        numbers = {each: self._numbers.get(each, 0) for each in settled}
        return make_tunnel_plan(self._settings, tunnels, Around(routes, rules, ours, numbers))

    def _assign(
        self, settled: list[IfIndex], tunnels: list[Tunnel], routes: Sequence[Route], ours: Ours
    ) -> None:
        """Give each device a table: the one that has routes over it already, else a free one."""
        there = {each.link.ifindex for each in tunnels}
        self._numbers = {each: number for each, number in self._numbers.items() if each in there}
        if not self.manages:
            return
        if self._settings.routes.table_number:
            fixed = ours.find_tunnel(self._settings.routes.table_number)
            self._numbers = dict.fromkeys(settled, fixed)
            return
        for route in routes:
            number = ours.find_tunnel(route.table) if ours.has_route(route) else 0
            for hop in route.nexthops if number else ():
                if hop.ifindex in there and number not in self._numbers.values():
                    self._numbers.setdefault(hop.ifindex, number)
        for tunnel in sorted(tunnels, key=lambda each: each.link.name):
            ifindex = tunnel.link.ifindex
            used = set(self._numbers.values())
            free = (each for each in range(1, END_ABOVE - TUNNELS_ABOVE) if each not in used)
            number = self._numbers.get(ifindex) or next(free, 0)
            if number and ifindex in settled:
                self._numbers[ifindex] = number

    # --- what is told ----------------------------------------------------------------------------

    def tell(self, states: tuple[TunnelState, ...], now: Now, actions: list[Action]) -> list[Drift]:
        """Take in how devices are found; return what has become different, once it has stayed so."""
        self.states = states
        self._hint(states, actions)
        if self._settings.routes.mode != "observe":
            return []
        there = {state.ifindex for state in states}
        self._told = {each: told for each, told in self._told.items() if each in there}
        drifts = []
        for state in states:
            found = (state.missing, state.strays)
            told = self._told.get(state.ifindex)
            if told is None:
                told = self._told[state.ifindex] = _Told(((), ()))
            if found == told.known:
                told.pending = None
                continue
            if told.pending != found:
                told.pending, told.since = found, now.monotonic
            at = told.since + DRIFT_S
            if now.monotonic < at:
                self.due = at if self.due is None else min(self.due, at)
                continue
            told.known, told.pending = found, None
            drifts += self._describe(state, actions)
        return drifts

    def find_unrouted(self, name: str) -> frozenset[str]:
        """Return the prefixes of a device that were without a route when it was looked at last."""
        return frozenset(
            prefix for state in self.states if state.name == name for prefix in state.missing
        )

    def _describe(self, state: TunnelState, actions: list[Action]) -> list[Drift]:
        fields: dict[str, str | int | float | bool] = {"interface": state.name}
        if not state.missing and not state.strays:
            text = "Its routes are again as its peers' prefixes imply"
            actions.append(Note("info", text, fields, Kind.ROUTING))
            return []
        return [Drift(state.ifindex, describe_drift(state))]

    def _hint(self, states: Iterable[TunnelState], actions: list[Action]) -> None:
        """Say once why something is not written."""
        found = frozenset(
            (state.name, text)
            for state in states
            for text in ("" if state.passing else state.reason, state.advice)
            if text
        )
        for name, text in sorted(found - self._hinted):
            actions.append(
                Note("warn", f"Routes of its peers are not made: {text}", {"interface": name}, Kind.ROUTING)
            )  # fmt: skip
        self._hinted = found


def shape_tunnel(state: TunnelState) -> TunnelRoutesObject:
    """Return the object of what a device's peers imply."""
    return {
        "interface": printable(state.name),
        "table": state.table or None,
        "fwmark": state.fwmark or None,
        "prefixes": list(state.prefixes),
        "missing": list(state.missing),
        "strays": list(state.strays),
        "reason": state.reason or None,
        "advice": state.advice or None,
    }


def describe_drift(state: TunnelState) -> str:
    """Return in words how routes differ from what peers imply."""
    parts = []
    if state.missing:
        parts.append(f"no route over {state.name} to {_list(state.missing)}")
    if state.strays:
        parts.append(f"a route over {state.name} to {_list(state.strays)}, which no peer takes")
    return "; ".join(parts)


def _list(prefixes: Sequence[str]) -> str:
    more = len(prefixes) - _SHOWN
    return " ".join(prefixes[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
