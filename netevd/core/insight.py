"""
What others may ask of the engine's state beyond what it does: read only, and nothing is kept.

Belongs here: questions of view and health. What they cost is said where it is more than a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

from netevd.core.advising import Advising
from netevd.core.backends import Backends, Presence
from netevd.core.backoff import TOLD_AFTER
from netevd.core.deliveries import Deliveries
from netevd.core.gate import Gate
from netevd.core.hooks import HookTable
from netevd.core.observe import Observer
from netevd.core.policyrouting import PolicyRouting, PolicyState
from netevd.core.resync import Resync
from netevd.core.routes import RouteTable
from netevd.core.routewatch import RouteWatch
from netevd.core.rules import RuleTable
from netevd.core.runs import Runs
from netevd.core.tunnelplan import read_prefix
from netevd.core.tunnels import Tunnels
from netevd.core.wireguardwatch import FoundPeer, WireguardWatch
from netevd.model.backend import HostReport
from netevd.model.event import Event, EventType
from netevd.model.inputs import Hook, Now
from netevd.model.link import IfIndex
from netevd.model.memory import OpenDelivery, OpenRun
from netevd.model.route import Route
from netevd.model.rule import Rule
from netevd.model.snapshot import Snapshot
from netevd.model.waiting import Waiting


@frozen(slots=True)
class StuckRun:
    """A run that can't go on by itself, and its whole lane behind it."""

    run: int
    script: str
    awaits: str
    """What does not come: the runner's word, or its end."""


class Insight:
    """Looks at the parts of one engine."""

    def __init__(
        self,
        observer: Observer,
        table: RouteTable,
        routes: RouteWatch,
        *,
        rules: RuleTable,
        policy: PolicyRouting,
        gate: Gate,
        deliveries: Deliveries,
        resync: Resync,
        hooks: HookTable,
        runs: Runs,
        wireguard: WireguardWatch,
        backends: Backends,
        advising: Advising,
        tunnels: Tunnels,
    ) -> None:
        self._observer: Final = observer
        self._table: Final = table
        self._routes: Final = routes
        self._rules: Final = rules
        self._policy: Final = policy
        self._gate: Final = gate
        self._deliveries: Final = deliveries
        self._resync: Final = resync
        self._hooks: Final = hooks
        self._runs: Final = runs
        self._wireguard: Final = wireguard
        self._backends: Final = backends
        self._advising: Final = advising
        self._tunnels: Final = tunnels

    # --- links and routes ------------------------------------------------------------------------

    def iterate_snapshots(self) -> Iterator[Snapshot]:
        """Yield every link there is when its turn comes, in order of ifindex; made one by one."""
        for ifindex in sorted(self._observer.get_ifindexes()):
            found = self._observer.find_snapshot(ifindex)
            if found is not None:
                yield found

    def get_snapshots(self) -> tuple[Snapshot, ...]:
        """Return every link as it is known now, watched or not, in order of ifindex."""
        return self._observer.get_snapshots()

    def find_snapshot(self, name: str) -> Snapshot | None:
        """Return the link of this name, None for none."""
        ifindex = self._observer.get_holder(name)
        return None if ifindex is None else self._observer.find_snapshot(ifindex)

    def find_name(self, ifindex: int) -> str | None:
        """Return the name of a link, None where there is none."""
        return self._observer.find_name(IfIndex(ifindex))

    def watches(self, ifindex: IfIndex) -> bool:
        """Tell whether users hear of a link."""
        return self._observer.find_told(ifindex) is not None

    def count_links(self) -> int:
        """Return how many links there are."""
        return len(self._observer.get_ifindexes())

    def count_open_runs(self) -> int:
        """Return how many runs have not ended."""
        return self._runs.count_open()

    def count_states(self) -> dict[str, int]:
        """Return how many links are in each operational state; looks at every link."""
        return self._observer.count_states()

    def count_routes(self) -> int:
        """Return how many routes are known."""
        return self._table.size

    def get_routes(self) -> list[Route]:
        """Return every route as it is known now, by table; makes a list of all, and no more."""
        return list(self._table)

    def get_hooks(self) -> tuple[Hook, ...]:
        """Return every file of the script directories, runnable or not, in running order."""
        return self._hooks.get_all()

    def get_peers(self) -> list[FoundPeer]:
        """Return every WireGuard peer as it was read last, in order of interface."""
        return self._wireguard.get_peers()

    def get_backends(self) -> tuple[Presence, ...]:
        """Return which backends have said whether they are there, those that count most first."""
        return self._backends.get_presences()

    def find_refusals(self) -> list[str]:
        """Return in words which services did not take what they were told of leases."""
        return self._advising.find_troubles()

    def get_hosts(self) -> tuple[HostReport, ...]:
        """Return what backends say of the host, the report that counts most first."""
        return self._backends.get_hosts()

    def count_unrouted(self) -> int:
        """Return how many prefixes of peers had no route when they were looked at last."""
        return sum(len(state.missing) for state in self._tunnels.states)

    def find_unrouted(self, interface: str, prefixes: Iterable[str]) -> list[str]:
        """Return which of a peer's prefixes had no route over its device when that was looked at."""
        missing = self._tunnels.find_unrouted(interface)
        read = ((each, read_prefix(each)) for each in prefixes if missing)
        return [each for each, prefix in read if prefix is not None and prefix.text in missing]

    # --- what waits and runs ---------------------------------------------------------------------

    def get_waiting(self) -> Waiting:
        """Return what stands between events that were published and their scripts."""
        return self._gate.state()

    def get_open_runs(self) -> tuple[OpenRun, ...]:
        """Return every run that has not ended, in order of their numbers."""
        return self._runs.get_memory().runs

    def get_open_events(self) -> dict[int, Event]:
        """Return the events of all runs that have not ended, by sequence number."""
        return self._runs.get_events()

    def get_open_deliveries(self) -> tuple[OpenDelivery, ...]:
        """Return every delivery that has not ended, those of one webhook in their order."""
        return self._deliveries.get_memory()

    def get_paused(self) -> tuple[str, ...]:
        """Return the paths of scripts that are paused."""
        streaks = self._runs.get_memory().streaks or ()
        return tuple(each.path for each in streaks if each.paused)

    def find_hooks(self, event: EventType) -> tuple[Hook, ...]:
        """Return the scripts that an event of this type runs now."""
        return self._hooks.find(event)

    def get_skipped(self, event: Event) -> tuple[Hook, ...]:
        """Return the files that an event like this would run and that are not run now, with their reasons."""
        return (*self._hooks.find_skipped(event.type), *self._runs.find_skipped(event))

    def get_held(self, sequence: int) -> list[tuple[str, str]]:
        """Return what trees of other dispatchers run for an event once its delay is over."""
        return self._runs.find_held(sequence)

    # --- rules and policy routing ----------------------------------------------------------------

    def get_rules(self) -> list[Rule]:
        """Return every rule as it is known now, in the order in which the kernel asks them."""
        return self._rules.get_rules()

    def count_policy(self) -> tuple[dict[tuple[str, int], int], bool]:
        """Return how many rules and routes of ours there are, by family, and whether it is contested."""
        return self._policy.count(), self._policy.contested

    def get_policy_trial(self) -> float | None:
        """Return when the routing configuration is given up unless confirmed; None: it is not."""
        return self._policy.trial_due

    def get_policy(self, now: Now) -> PolicyState:
        """Return what policy routing wants, and how the kernel differs from it now."""
        return self._policy.get_state(now)

    # --- troubles --------------------------------------------------------------------------------

    def find_loss(self) -> str:
        """Return why kernel messages are being made up for, "" when nothing is missing."""
        failures = max(self._resync.backoff.failures, self._routes.failures)
        if failures >= TOLD_AFTER:
            return f"the kernel's links or routes could not be read {failures} times in a row"
        return self._routes.catching_up

    def find_full_lanes(self) -> int:
        """Return how many lanes take no more runs."""
        return self._runs.count_full_lanes()

    def find_stuck_runs(self) -> list[StuckRun]:
        """Return runs of which the runner says nothing more, although it should have."""
        return [
            StuckRun(each.run.number, each.hook.path, each.stage.value)
            for each in self._runs.get_active()
            if each.due is None
        ]
