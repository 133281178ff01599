"""
What others may know of the daemon as it is: a read-only facade, asked by the API.

Everything is shaped when it is asked for; nothing here is ever waited for. What has happened is `past`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Literal

from netevd.config.schema import Configuration
from netevd.core.backends import Presence
from netevd.core.engine import Engine
from netevd.core.policydifference import order_rule
from netevd.core.policyhints import describe_change, shape_planned
from netevd.core.tunnels import shape_tunnel
from netevd.model.answers import HookObject, PolicyRoutingObject, ReloadObject, StatusObject
from netevd.model.backend import OF_THE_KERNEL
from netevd.model.event import Event
from netevd.model.inputs import Now
from netevd.model.objects import DetailedInterfaceObject, KnownPeerObject, RouteObject, RuleObject
from netevd.model.route import Route
from netevd.model.rule import Rule
from netevd.model.shape import (
    printable,
    shape_interface,
    shape_peer,
    shape_route,
    shape_rule,
    show_time,
)
from netevd.model.show import shape_described_event
from netevd.model.snapshot import Snapshot
from netevd.report.about import About
from netevd.report.configured import Shown, show_configuration
from netevd.report.drivers import find_driver
from netevd.report.gauges import Gauges
from netevd.report.journal import Entry, EventEntry, Journal, ReloadEntry
from netevd.report.metrics import Metrics
from netevd.report.past import Past
from netevd.report.tally import Tally


class View:
    """Answers questions about one worker's engine and journal."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        about: About,
        metrics: Metrics,
        gauges: Gauges,
        *,
        tally: Tally,
        configuration: Configuration,
    ) -> None:
        """tally: what is counted over all workers. configuration: the one in force."""
        self._configuration = configuration
        self._shown: Shown | None = None
        """The configuration as it is shown, once somebody has asked for it."""
        self.metrics = metrics
        """What is counted; its version grows whenever any answer may change."""
        self.gauges = gauges
        self._engine = engine
        self._insight = engine.insight
        self._about = about
        self._tally = tally
        self.past = Past(journal, engine)
        """What has happened."""
        self._last = self.past.find_last_event()
        self.listeners: set[Callable[[Entry], None]] = set()
        """Called with each new entry of the journal."""
        self.audit_trouble = ""
        """Why the audit log can't be written, "" if it can or is not wanted."""
        self.phase = ""
        """reloading or stopping, "" for neither."""

    def tell(self, entries: list[Entry]) -> None:
        """Tell everybody who listens of new entries of the journal."""
        for entry in entries:
            if isinstance(entry, EventEntry):
                self._last = entry.event
            for listener in list(self.listeners):
                listener(entry)

    # --- the daemon -------------------------------------------------------------------------------

    def get_last(self) -> int:
        """Return the sequence number of the last event."""
        return self._engine.numbers.sequence - 1

    def get_last_event(self) -> Event | None:
        """Return the last event that is known, None for none."""
        return self._last

    def get_uptime(self) -> float:
        """Return for how many seconds the daemon has been there, over all reloads."""
        return round(time.monotonic() - self._about.started, 3)

    def count_owned_rules(self) -> int:
        """Return how many rules netevd itself has made."""
        return sum(map(self._engine.ours.has_rule, self._engine.insight.get_rules()))

    def count_routes(self) -> int:
        """Return how many routes are known."""
        return self._insight.count_routes()

    def count_interfaces(self) -> int:
        """Return how many links there are."""
        return self._insight.count_links()

    def get_status(self) -> StatusObject:
        """Return the daemon's state in one object."""
        tally, last = self._tally, self._last
        states = self._insight.count_states()
        return {
            "state": self._find_state(),
            "version": self._about.version,
            "mode": "observe" if self._about.mode == "observe" else "privileged",
            "generation": self._about.generation,
            "loaded": show_time(tally.loaded_ns or self._about.loaded_ns),
            "uptime_seconds": self.get_uptime(),
            "backend": ", ".join(["kernel", *self._list_found()]),
            "interfaces": sum(states.values()),
            "interfaces_by_state": dict(sorted(states.items())),
            "routes": self._insight.count_routes(),
            "rules": len(self._engine.insight.get_rules()),
            "routing_rules": self.count_owned_rules(),
            "unrouted_prefixes": self._insight.count_unrouted(),
            "sequence": self.get_last(),
            "events_processed": tally.events,
            "scripts_executed": tally.executed,
            "scripts_failed": tally.failed,
            "runs_by_result": dict(sorted(tally.results.items())),
            "open_runs": self._insight.count_open_runs(),
            "paused_scripts": [printable(each) for each in self._engine.insight.get_paused()],
            "losses": tally.losses,
            "audit_trouble": self.audit_trouble or None,
            "last_event": None if last is None else shape_described_event(last),
            "last_reload": self.get_last_reload(),
        }

    def get_configuration(self) -> Shown:
        """Return the configuration in force."""
        if self._shown is None:
            self._shown = show_configuration(
                self._configuration,
                self._about.generation,
                show_time(self._tally.loaded_ns or self._about.loaded_ns),
            )
        return self._shown

    def _find_state(self) -> Literal["starting", "serving", "reloading", "stopping"]:
        if self.phase == "stopping":
            return "stopping"
        if not self._engine.started:
            return "starting"
        return "reloading" if self.phase == "reloading" else "serving"

    def get_last_reload(self) -> ReloadObject | None:
        """Return how the last reload ended, None where there was none."""
        last: ReloadEntry | None = self._tally.reload
        if last is None:
            return None
        return {
            "time": show_time(last.time_ns),
            "outcome": "refused" if last.problems else "in force",
            "generation": last.generation,
            "problems": [printable(each) for each in last.problems],
        }

    def get_backends(self) -> tuple[Presence, ...]:
        """Return which backends have said whether they are there."""
        return tuple(
            each for each in self._insight.get_backends() if each.backend not in OF_THE_KERNEL
        )

    def get_refusals(self) -> list[str]:
        """Return in words which services did not take what they were told of leases."""
        return self._insight.find_refusals()

    def _list_found(self) -> list[str]:
        return [each.backend for each in self.get_backends() if each.found]

    # --- what there is ----------------------------------------------------------------------------

    def find_interface(self, name: str) -> DetailedInterfaceObject | None:
        """Return the link of this name as it is shown, None for none."""
        found = self._insight.find_snapshot(name)
        return None if found is None else self._shape_interface(found)

    def iterate_interfaces(self) -> Iterator[DetailedInterfaceObject]:
        """Yield every link that exists, each as it is when its turn comes."""
        for each in self._insight.iterate_snapshots():
            yield self._shape_interface(each)

    def _shape_interface(self, snapshot: Snapshot) -> DetailedInterfaceObject:
        link = snapshot.link
        driver = None if link.kind else find_driver(link.name)
        return {
            **shape_interface(snapshot),
            "watched": self._insight.watches(link.ifindex),
            "driver": driver,
        }

    def get_routes(self) -> list[Route]:
        """Return every route that is known, by table."""
        return self._insight.get_routes()

    def find_index(self, name: str) -> int | None:
        """Return the ifindex of a link, None where there is none of this name."""
        found = self._insight.find_snapshot(name)
        return None if found is None else found.link.ifindex

    def shape_route(self, route: Route) -> RouteObject:
        """Return the object of a route, with the names of its links."""
        return shape_route(route, self._find_name, self._engine.ours)

    def _find_name(self, ifindex: int) -> str | None:
        name = self._insight.find_name(ifindex)
        return None if name is None else printable(name)

    def get_rules(self) -> list[Rule]:
        """Return every rule of the routing policy, by family and priority."""
        return self._engine.insight.get_rules()

    def get_routing(self) -> PolicyRoutingObject:
        """Return what policy routing wants, and how the kernel differs from it."""
        now = Now(time.monotonic(), time.time_ns())
        state = self._engine.insight.get_policy(now)
        rest = None if state.trial_until is None else state.trial_until - now.monotonic
        return {
            "enabled": state.enabled,
            "interfaces": [shape_planned(each) for each in state.plan.links],
            "rules": [self.shape_rule(each) for each in sorted(state.plan.rules, key=order_rule)],
            "routes": [self.shape_route(each) for each in sorted(state.plan.routes)],
            "tunnels": [shape_tunnel(each) for each in state.tunnels],
            "changes": [printable(describe_change(each)) for each in state.difference.changes],
            "contested": state.contested,
            "halted": state.halted or None,
            "trial_seconds": None if rest is None else round(max(0.0, rest), 1),
            "given_up": state.given_up,
        }

    def shape_rule(self, rule: Rule) -> RuleObject:
        """Return the object of a rule."""
        return shape_rule(rule, self._engine.ours)

    def get_peers(self) -> list[KnownPeerObject]:
        """Return every peer of WireGuard devices, as it was read last."""
        return [
            {
                **shape_peer(found.known.peer),
                "interface": printable(found.interface),
                "implementation": found.implementation,
                "name": found.name or None,
                "state": found.known.state,
                "expected": found.expected,
                "unrouted": self._insight.find_unrouted(
                    found.interface, found.known.peer.allowed_ips
                ),
            }
            for found in self._insight.get_peers()
        ]

    def get_hooks(self) -> list[HookObject]:
        """Return every file of the script directories."""
        paused = set(self._engine.insight.get_paused())
        return [
            {
                "event": each.event,
                "tree": each.tree or None,
                "name": printable(each.name),
                "path": printable(each.path),
                "runnable": each.runnable,
                "reason": each.reason or None,
                "paused": each.path in paused,
            }
            for each in self._insight.get_hooks()
        ]
