"""
The event that a test run is told of: the kernel's links of this moment, and one thing about them.

Uses the daemon's own tables, so that a script gets what it would get from the daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netevd.config.schema import Routes
from netevd.core.observe import Change, Observer
from netevd.core.routes import RouteTable
from netevd.core.wanted import make_filter
from netevd.model.address import RT_SCOPE_LINK, Address
from netevd.model.event import Event, EventType
from netevd.model.inputs import AddressSeen, Input, LinkSeen, RoutesDumped
from netevd.model.link import IfIndex
from netevd.model.route import Route
from netevd.model.snapshot import Snapshot

_OF_ADDRESSES = frozenset({
    EventType.ADDRESS_ADDED, EventType.ADDRESS_REMOVED,
    EventType.ADDRESS_USABLE, EventType.ADDRESS_DEPRECATED,
})  # fmt: skip


def read_snapshots(inputs: Sequence[Input]) -> tuple[Snapshot, ...]:
    """Return all links of a dump, in order of ifindex."""
    return _observe(inputs, Observer(lambda _: True), None).get_snapshots()


def rehearse(
    inputs: Sequence[Input], ifindex: IfIndex, kind: EventType, time_ns: int, routes: Routes
) -> Event:
    """
    Return an event of this type and link as the daemon would make it, with sequence number 1.

    An address or link that is said to come or go does so in the tables. For other types, what was
    before is not known: the event is that of a link that has just appeared as it is. `routes`:
    which ones are known; an event of a route is that of the first over the link, a default one if
    there is one.
    """
    address = _choose_address(inputs, ifindex) if kind in _OF_ADDRESSES else None
    coming = address if kind is EventType.ADDRESS_ADDED else None
    table = _read_routes(inputs, routes)
    watched = Observer(lambda link: link.ifindex == ifindex, table.find_gateways)
    observer = _observe(inputs, watched, coming)
    change = observer.introduce()[0]
    if address is not None and kind is EventType.ADDRESS_ADDED:
        change = _settle(observer, lambda: observer.see_address(address))
    elif address is not None and kind is EventType.ADDRESS_REMOVED:
        change = _settle(observer, lambda: observer.drop_address(ifindex, address.key))
    elif kind is EventType.LINK_REMOVED:
        change = _settle(observer, lambda: observer.drop_link(ifindex))
    route = _choose_route(table, ifindex) if kind is EventType.ROUTES else None
    family = 0
    if address is not None or route is not None:
        family = (address or route).family  # type: ignore[union-attr]
    elif kind is EventType.GATEWAY_CHANGED:
        family = 6 if change.after.gateway6 and not change.after.gateway4 else 4
    return Event(
        1,
        kind,
        time_ns,
        change.after,
        change.before,
        change.lane,
        address=address,
        route=route,
        family=family,
    )


def _read_routes(inputs: Sequence[Input], routes: Routes) -> RouteTable:
    table = RouteTable(make_filter(routes))
    table.begin_dump((4, 6))
    for given in inputs:
        if isinstance(given, RoutesDumped):
            table.keep(given.routes)
    table.merge(silently=True)
    return table


def _choose_route(table: RouteTable, ifindex: IfIndex) -> Route | None:
    over = [route for route in table if any(hop.ifindex == ifindex for hop in route.nexthops)]
    return next((route for route in over if route.is_default), next(iter(over), None))


def _observe(inputs: Sequence[Input], observer: Observer, without: Address | None) -> Observer:
    for given in inputs:
        if isinstance(given, LinkSeen):
            observer.see_link(given.link)
        elif isinstance(given, AddressSeen) and given.address != without:
            observer.see_address(given.address)
    return observer


def _settle(observer: Observer, happen: Callable[[], None]) -> Change:
    happen()
    return observer.settle()[0]


def _choose_address(inputs: Sequence[Input], ifindex: IfIndex) -> Address | None:
    """Return the address of a link that reaches furthest, the first of these; None for no address."""
    found = [
        given.address
        for given in inputs
        if isinstance(given, AddressSeen) and given.address.ifindex == ifindex
    ]
    wide = [address for address in found if address.scope < RT_SCOPE_LINK]
    return next(iter(wide or found), None)
