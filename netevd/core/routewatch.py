"""
Routes as users hear of them: which link a change belongs to, and when the kernel may be silent.

Composes core.routes (what is known) and core.routesync (when to dump). A change belongs to the first
watched link that the route leads over, one of a route without a link to the host. One over a link
that was not seen yet waits for it: links and routes come over two sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, assert_never

from netevd.core.observe import Observer
from netevd.core.routes import RouteChange, RouteTable
from netevd.core.routesync import BOTH, RouteSync
from netevd.model.actions import Action, RequestRoutes
from netevd.model.address import Address
from netevd.model.event import HOST_LANE
from netevd.model.inputs import (
    NexthopChanged,
    Now,
    RouteGone,
    RoutesDumped,
    RoutesDumpEnded,
    RouteSeen,
    RoutesOverran,
)
from netevd.model.link import IfIndex
from netevd.model.route import Route
from netevd.model.snapshot import Snapshot

RouteInput: TypeAlias = (
    RouteSeen | RouteGone | RoutesDumped | RoutesDumpEnded | RoutesOverran | NexthopChanged
)

_IPV4 = frozenset((4,))

_MANY = 256
"""Routes that nobody hears of are remembered by as many at once."""


class RouteNews(NamedTuple):
    """A change of a route, and whose it is."""

    lane: int
    link: Snapshot | None
    """None: the host's."""
    change: RouteChange


class RouteWatch:
    """Everything about routes; links and addresses are asked from the observer."""

    def __init__(
        self,
        table: RouteTable,
        observer: Observer,
        tells: Callable[[Route], bool],
        *,
        wanted: bool,
    ) -> None:
        """
        tells: of which routes users hear. wanted: whether any route is to be known; if not, none is
        ever asked for.
        """
        self._table = table
        self._observer = observer
        self._sync = RouteSync(table)
        self._tells = tells
        self._wanted = wanted
        self._parked: dict[IfIndex, dict[Route, None]] = {}
        """Routes that are new, over links that were not seen yet."""
        self._wanted_before: Callable[[Route], bool] | None = None
        """Until a first dump: what the configuration before this one let in."""
        self._remembered: list[tuple[bool, Route]] = []
        self._told = False
        """Whether users hear of any of these."""
        self.reread = ""
        """Of the dump that has just ended: the reason of the loss that it makes good, "" for none."""

    @property
    def settled(self) -> bool:
        """Whether nobody has to wait for the first dump any longer."""
        return self._sync.settled or not self._wanted

    @property
    def due(self) -> float | None:
        """When `begin` is wanted, in monotonic seconds; None for never."""
        return self._sync.due

    @property
    def catching_up(self) -> str:
        """Why all routes are read again, "" where nobody has to hear of it."""
        return self._sync.catching_up

    @property
    def failures(self) -> int:
        """How many dumps in a row ended in nothing."""
        return self._sync.failures

    @property
    def quiet(self) -> bool:
        """Whether what is known of routes is all that there is to know."""
        sync = self._sync
        return sync.last_end is not None and not sync.number and sync.due is None

    def resync(self, now: Now) -> None:
        """Have all routes dumped again, since it is time to."""
        self._sync.want(BOTH, now.monotonic)

    def begin(self, now: Now) -> RequestRoutes:
        """Return the request for the dump that is due."""
        return self._sync.begin(now.monotonic)

    def restart(self, now: Now, reason: str) -> None:
        """Have all routes dumped, from a new helper."""
        if self._wanted:
            self._sync.restart(now.monotonic, reason)

    def handle(self, given: RouteInput, now: Now, actions: list[Action]) -> None:
        """Take in what the kernel says of routes."""
        table, sync = self._table, self._sync
        match given:
            case RouteSeen(route=route, replace=replace):
                table.see(route, replace=replace)
            case RouteGone(route=route):
                table.drop(route)
            case RoutesDumped(routes=routes, dump=dump):
                if dump == sync.number:
                    table.keep(routes)
            case RoutesDumpEnded():
                self.reread = sync.end(given, now.monotonic, actions)
            case RoutesOverran(reason=reason):
                sync.lose(reason, now.monotonic, actions)
            case NexthopChanged(nexthop_id=number):
                if table.uses(number):
                    sync.want(BOTH, now.monotonic)
            case _:
                assert_never(given)
        if table.unsure:
            sync.want(frozenset(table.unsure), now.monotonic)
        gateways = table.settle_gateways()
        if gateways:
            self._observer.see_gateways(gateways)

    # --- where the kernel is silent ----------------------------------------------------------------

    def note_link_down(self, ifindex: IfIndex, now: Now) -> None:
        """
        Take in that a link was set down: the kernel drops its IPv4 routes and tells none of them.

        IPv6 tells them, unless net.ipv6.route.skip_notify_on_dev_down is set. That an IPv4 route is
        there may be on its way yet, over the other socket.
        """
        six = self._table.leads_over(ifindex, 6)
        self._want(BOTH if six else _IPV4, now)

    def note_link_gone(self, ifindex: IfIndex, now: Now) -> None:
        """Take in that a link is gone, and with it all routes that lead over nothing else."""
        self._parked.pop(ifindex, None)
        self.note_link_down(ifindex, now)
        self._table.drop_link(ifindex)
        self._table.settle_gateways()

    def note_address_gone(self, address: Address, now: Now) -> None:
        """Take in that an IPv4 address left: routes that prefer it or need its link leave unsaid."""
        if address.family == 4:
            self._want(_IPV4, now)

    def _want(self, families: frozenset[int], now: Now) -> None:
        if self._wanted and (self._sync.known or self._sync.number):
            self._sync.want(families, now.monotonic)

    # --- news ----------------------------------------------------------------------------------------

    def settle(self, now: Now) -> list[RouteNews]:
        """Return what users have to be told since the last call, and count it as told."""
        changes = self._table.settle()
        before = self._wanted_before
        if before is not None and self._sync.last_end is not None:
            self._wanted_before = None
        if not changes or not self._sync.known:
            return []
        told = changes if before is None else [each for each in changes if before(each.route)]
        found = [self._find_owner(change, now) for change in told]
        self._remembered += [
            (change.after is not None, change.route)
            for change in changes
            if change.after is None or not self._is_parked(change.route)
        ]
        news = [each for each in found if each is not None]
        self._told = self._told or bool(news)
        return news

    def introduce(self, ifindex: IfIndex) -> list[RouteNews]:
        """Return the routes that waited for this link."""
        waiting = self._parked.pop(ifindex, {})
        told = self._observer.find_told(ifindex)
        if told is None:
            return []
        self._remembered += [(True, route) for route in waiting]
        self._told = self._told or bool(waiting)
        return [RouteNews(*told, RouteChange(None, route)) for route in waiting]

    # --- what is remembered ------------------------------------------------------------------------

    def take_memory(self, *, along: bool) -> tuple[tuple[bool, Route], ...]:
        """
        Return the routes that are there, or not any more, since the last call, in order.

        What nobody hears of may wait for more of it: whoever lacks it sees it in a dump, and tells as
        little of it. along: something else is written anyway.
        """
        if not self._remembered or not (along or self._told or len(self._remembered) >= _MANY):
            return ()
        remembered, self._remembered, self._told = self._remembered, [], False
        return tuple(remembered)

    def get_memory(self) -> tuple[Route, ...] | None:
        """Return every route that is known, None before a first dump has ended."""
        if not self._sync.known:
            return None
        return tuple(route for route in self._table if not self._is_parked(route))

    def restore(
        self, routes: tuple[Route, ...] | None, wanted_before: Callable[[Route], bool]
    ) -> None:
        """
        Take what was remembered; the next dump then tells what has changed since.

        wanted_before: what was let in then. Other routes are nothing new, although they are now
        heard of for the first time.
        """
        if routes is None or not self._wanted:
            return
        self._table.restore(routes)
        self._sync.known = self._sync.settled = True
        self._wanted_before = wanted_before

    def discard(self) -> None:
        """Forget that there is anything to tell; for the time before the first announcement."""
        self._table.settle()
        self._parked.clear()

    def _find_owner(self, change: RouteChange, now: Now) -> RouteNews | None:
        """Return a change with the link it belongs to, None if nobody has to hear of it now."""
        route = change.route
        if not self._tells(route):
            return None
        if route.refuses or not route.nexthops:
            return RouteNews(HOST_LANE, None, change)
        for hop in route.nexthops:
            told = self._observer.find_told(hop.ifindex)
            if told is not None:
                return RouteNews(*told, change)
        for hop in route.nexthops:
            if hop.ifindex not in self._observer:
                self._park(hop.ifindex, change, now)
                break
        return None

    def _is_parked(self, route: Route) -> bool:
        if not self._parked:
            return False
        return any(route in self._parked.get(hop.ifindex, ()) for hop in route.nexthops)

    def _park(self, ifindex: IfIndex, change: RouteChange, now: Now) -> None:
        """Keep a change for a link that was not seen yet; or it is gone, and the kernel is silent."""
        waiting = self._parked.setdefault(ifindex, {})
        if change.after is None:
            waiting.pop(change.route, None)
        else:
            waiting[change.route] = None
            self._sync.want(_IPV4, now.monotonic)
        if not waiting:
            del self._parked[ifindex]
