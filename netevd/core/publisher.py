"""
Events as users hear of them: each has the next number, and goes to the gate.

Belongs here: what of a finding becomes which field of an event. What is found is core.classify's and
the watches'; what becomes of an event is core.gate's.
"""

from __future__ import annotations

from netevd.core.backends import HostNews
from netevd.core.classify import Finding
from netevd.core.gate import Gate
from netevd.core.observe import Change, Observer
from netevd.core.policyanswers import RoutingNews
from netevd.core.routewatch import RouteNews
from netevd.core.wireguardwatch import News, WireguardWatch
from netevd.model.actions import Action
from netevd.model.event import HOST_LANE, Event, EventType
from netevd.model.inputs import Now
from netevd.model.snapshot import Snapshot


class Publisher:
    """Makes events, and remembers them until they are written."""

    def __init__(
        self, sequence: int, gate: Gate, observer: Observer, wireguard: WireguardWatch
    ) -> None:
        """sequence: number of the first event."""
        self.sequence = sequence
        """Number of the next event."""
        self._gate = gate
        self._observer = observer
        self._wireguard = wireguard
        self._events: list[Event] = []

    def take_memory(self) -> tuple[Event, ...]:
        """Return the events since the last call."""
        events, self._events = tuple(self._events), []
        return events

    def tell(self, finding: Finding, change: Change, now: Now, actions: list[Action]) -> None:
        """Tell what a change of a link means."""
        address = finding.address
        event = Event(
            self.sequence,
            finding.type,
            now.wall_ns,
            change.after,
            change.before,
            change.lane,
            finding.backend or _find_source(change.after),
            initial=finding.initial,
            address=address,
            family=finding.family if address is None else address.family,
            lease=finding.lease,
            reason=finding.reason,
        )
        self._add(event, now, actions)

    def tell_route(self, news: RouteNews, now: Now, actions: list[Action]) -> None:
        """Tell of a route that is new or gone."""
        route = news.change.route
        event = Event(
            self.sequence,
            EventType.ROUTES,
            now.wall_ns,
            news.link,
            news.link,
            news.lane,
            _find_source(news.link),
            route=route,
            gone=news.change.after is None,
            family=route.family,
        )
        self._add(event, now, actions)

    def tell_wireguard(
        self, news: News, now: Now, actions: list[Action], change: Change | None = None
    ) -> None:
        """Tell of a WireGuard device or peer. change: of its link, if the news come of one."""
        told = self._observer.find_told(news.ifindex) if change is None else None
        lane, after = (change.lane, change.after) if change is not None else told or (0, None)
        before = after if change is None else change.before
        event = Event(
            self.sequence, news.type, now.wall_ns, after, before, lane, _find_source(after),
            wireguard=news.fact,
        )  # fmt: skip
        self._add(event, now, actions)

    def tell_routing(self, news: RoutingNews, now: Now, actions: list[Action]) -> None:
        """Tell what became of rules and routes of ours; of those of one tunnel as its own event."""
        told = None if news.ifindex is None else self._observer.find_told(news.ifindex)
        lane, link = told or (HOST_LANE, None)
        fact = None if news.ifindex is None else self._wireguard.describe(news.ifindex)
        event = Event(
            self.sequence, news.type, now.wall_ns, link, link, lane, wireguard=fact,
            routing=news.outcome,
        )  # fmt: skip
        self._add(event, now, actions)

    def tell_host(self, news: HostNews, now: Now, actions: list[Action]) -> None:
        """Tell what a backend says of the host."""
        event = Event(
            self.sequence, news.type, now.wall_ns, None, None, HOST_LANE,
            backend=news.after.backend, reason=news.reason, host=news.after, host_before=news.before,
        )  # fmt: skip
        self._add(event, now, actions)

    def _add(self, event: Event, now: Now, actions: list[Action]) -> None:
        self.sequence += 1
        self._gate.add(event, now, actions)
        self._events.append(event)


def _find_source(snapshot: Snapshot | None) -> str:
    """Return who counts as the source of what happens to a link: whoever configures it."""
    return "kernel" if snapshot is None else snapshot.backend
