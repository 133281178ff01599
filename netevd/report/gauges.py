"""
What metrics tell of now: looked up in the engine when somebody asks, and only if it may have changed.

Counters are `metrics`'.
"""

from __future__ import annotations

import platform
from collections import Counter
from typing import Final

from netevd.core.engine import Engine
from netevd.model.memory import RESTING, WAITING, Record
from netevd.model.shape import printable
from netevd.report import families
from netevd.report.about import About
from netevd.report.families import OTHER, Family
from netevd.report.metrics import Metrics
from netevd.report.series import Labels

_NAMED_PEERS: Final = 64
"""Peers of one WireGuard device that have series of their own, at most."""


class Gauges:
    """Keeps the series of one worker's engine up to date."""

    def __init__(self, engine: Engine, metrics: Metrics, about: About) -> None:
        self._engine = engine
        self._metrics = metrics
        self._omitted: set[str] = set()
        """Names of links that have no series, since too many have."""
        self._links_changed = self._routes_changed = True
        self.on_disk = False
        """Whether the journal is written to the state directory."""
        self._put(families.BUILD, {(about.version, platform.python_version(), about.mode): 1.0})
        self._put(families.GENERATION, {(): float(about.generation)})
        self._put(families.RELOAD_TIME, {(): metrics.before.loaded})

    def note_record(self, record: Record) -> None:
        """Take in what an input of the engine has changed."""
        self._links_changed |= bool(record.links or record.gone)

    def note_all(self) -> None:
        """Take in that everything may have changed."""
        self._links_changed = True

    def refresh(self, wall_s: float) -> None:
        """Bring every series up to date. wall_s: seconds since 1970."""
        self._metrics.fold()
        self._put_one(families.STARTED, self._metrics.start_time)
        self._put_one(families.RELOAD_OK, float(self._metrics.reload_ok))
        self._put_one(families.ON_DISK, float(self.on_disk))
        rules = self._engine.insight.get_rules()
        self._put_one(families.RULES, len(rules))
        self._put_one(families.OWN_RULES, sum(map(self._engine.ours.has_rule, rules)))
        entries, contested = self._engine.insight.count_policy()
        self._put(families.OURS, {(kind, f"ipv{n}"): float(c) for (kind, n), c in entries.items()})
        self._put_one(families.CONTESTED, float(contested))
        self._put_one(families.ROUTES, self._engine.insight.count_routes())
        stages = Counter(
            run.stage in {WAITING, RESTING} for run in self._engine.insight.get_open_runs()
        )
        self._put_one(families.RUNS_WAITING, stages[True])
        self._put_one(families.SCRIPTS_RUNNING, stages[False])
        self._put_one(families.SCRIPTS_PAUSED, len(self._engine.insight.get_paused()))
        self._refresh_peers()
        if self._links_changed:
            self._links_changed = False
            self._refresh_links(wall_s)
        self._metrics.forget_vanished(wall_s)

    def _refresh_peers(self) -> None:
        peers: Counter[Labels] = Counter()
        octets: Counter[Labels] = Counter()
        handshakes: dict[Labels, float] = {}
        found = self._engine.insight.get_peers()
        sizes = Counter(each.interface for each in found)
        for each in found:
            interface, peer = printable(each.interface), each.known.peer
            peers[interface, each.known.state.value] += 1
            octets[interface, "receive"] += peer.rx_bytes
            octets[interface, "transmit"] += peer.tx_bytes
            if peer.handshake_ns and sizes[each.interface] <= _NAMED_PEERS:
                label = each.name or peer.public_key
                handshakes[interface, label] = peer.handshake_ns / 1e9
        self._put(families.PEERS, {labels: float(count) for labels, count in peers.items()})
        self._put(families.PEER_BYTES, {labels: float(size) for labels, size in octets.items()})
        self._put(families.PEER_HANDSHAKE, handshakes)

    def _refresh_links(self, wall_s: float) -> None:
        states: Counter[Labels] = Counter()
        known: dict[Labels, float] = {}
        state: dict[Labels, float] = {}
        omitted: set[str] = set()
        names: set[str] = set()
        room = self._metrics.find_room(families.INTERFACE) or 0
        for each in self._engine.insight.get_snapshots():
            link = each.link
            states[(each.state,)] += 1
            label = self._metrics.label(link)
            names.add(printable(link.name))
            if label == OTHER:
                continue
            if len(known) >= room:
                omitted.add(label)
                continue
            known[label, str(link.ifindex), printable(link.kind)] = 1.0
            state[label, each.state] = 1.0
        dropped = self._metrics.series[families.SERIES_DROPPED.name]
        if omitted - self._omitted:
            dropped.count("links", amount=len(omitted - self._omitted))
        self._omitted = omitted
        self._put(families.INTERFACES, {labels: float(count) for labels, count in states.items()})
        self._put(families.INTERFACE, known)
        self._put(families.INTERFACE_STATE, state)
        self._metrics.keep_only(names, wall_s)

    def _put(self, family: Family, values: dict[Labels, float]) -> None:
        self._metrics.series[family.name].put(values)

    def _put_one(self, family: Family, value: float) -> None:
        self._put(family, {(): value})
