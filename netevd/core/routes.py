"""
What is known of routes: the tables, the changes that inputs make, and what a dump sets right.

A slot holds every route to one destination in one table; IPv6 may have one twice. Facts go in one by
one (`see`, `drop`) or as a dump (`keep`, `merge`); `settle` returns what is different. Which link
hears of it, and which routes users want to hear of, is the engine's business.

The kernel does not tell every loss of an IPv4 route (fib_sync_down_dev() in
net/ipv4/fib_semantics.c). What a message replaced has to be guessed where a slot holds several; IPv6
does not tell that a route of several ways replaced another (ip6_route_multipath_add() in
net/ipv6/route.c), may hold a route twice, and its dump may leave out what stands between two ways of
one (rt6_dump_route()). In all of these `unsure` is set, and only a new dump can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from attrs import frozen

from netevd.model.link import IfIndex
from netevd.model.route import TABLE_MAIN, Route, RouteKey

Slot: TypeAlias = tuple[Route, ...]
_Slots: TypeAlias = dict[str, Slot | Route]
"""Destination to its routes. Nearly every slot holds one, which stands for itself."""

_EMPTY: Final[_Slots] = {}
"""What stands for a table that is not there; never written to."""


@frozen(slots=True)
class RouteChange:
    """A route that is new (`before` None), or gone (`after` None)."""

    before: Route | None
    after: Route | None

    @property
    def route(self) -> Route:
        """The route this is about."""
        found = self.after or self.before
        assert found is not None
        return found


class RouteTable:
    """All routes that `wants` lets in."""

    def __init__(
        self,
        wants: Callable[[Route], bool],
        *,
        tells: Callable[[Route], bool] | None = None,
        concerns: Callable[[Route], bool] | None = None,
    ) -> None:
        """
        tells: which of them users hear of; not given: all. concerns: which ones policy routing is made
        of; not given: none.
        """
        self._wants = wants
        self._tells = tells
        self._concerns = concerns
        self._concerning: dict[Route, None] = {}
        self.concerned = False
        """Whether any of these has changed since it was set to false."""
        self._tables: dict[tuple[int, int], _Slots] = {}
        """Family and table to its slots."""
        self._links: dict[tuple[int, IfIndex], int] = {}
        """Family and ifindex to the number of nexthops over it."""
        self._objects: dict[int, int] = {}
        """Nexthop object to the number of its routes."""
        self._defaults: dict[Route, None] = {}
        self._changes: list[RouteChange] = []
        self._gateways_of: set[IfIndex] = set()
        self._families: frozenset[int] | None = None
        """Families of the dump under way."""
        self._dumped: dict[tuple[int, int], _Slots] = {}
        self._told: dict[tuple[int, int], dict[str, dict[RouteKey, set[Route]]]] = {}
        """Keys that events spoke of since the dump under way was asked for, with the routes that
        are gone by that."""
        self.size = 0
        """Routes that are known."""
        self._twins: dict[RouteKey, int] = {}
        """How often IPv6 told of a route that is there already: its dump may show one of both."""
        self.unsure: set[int] = set()
        """Families of which only a dump can tell what is so."""

    def __iter__(self) -> Iterator[Route]:
        for slots in self._tables.values():
            for slot in slots.values():
                yield from _open(slot)

    def get_concerning(self) -> list[Route]:
        """Return the routes that policy routing is made of."""
        return list(self._concerning)

    def leads_over(self, ifindex: IfIndex, family: int) -> bool:
        """Tell whether a route of this family uses a link."""
        return (family, ifindex) in self._links

    def uses(self, nexthop_id: int) -> bool:
        """Tell whether a route uses this nexthop object."""
        return nexthop_id in self._objects

    def find_gateways(self, ifindex: IfIndex) -> tuple[str, ...]:
        """Return the gateways of default routes over a link: IPv4 first, of each the best first."""
        found = sorted(
            (route.family, route.table != TABLE_MAIN, route.priority, order, hop.gateway)
            for route in self._defaults
            for order, hop in enumerate(route.nexthops)
            if hop.ifindex == ifindex and hop.gateway
        )
        return tuple(dict.fromkeys(each[-1] for each in found))

    def restore(self, routes: Iterable[Route]) -> None:
        """Take routes that were remembered, as far as they are wanted; it changes nothing."""
        for route in routes:
            if self._wants(route):
                slots = self._find_slots(route)
                slot = (*_open(slots.get(route.destination, ())), route)
                _store(slots, route.destination, slot)
                self._count(route, 1)
        self._gateways_of.clear()

    # --- facts -----------------------------------------------------------------------------

    def see(self, route: Route, *, replace: bool) -> None:
        """Take in an RTM_NEWROUTE. `replace`: it took the place of the first one of its key."""
        self._note(route)
        slots = self._find_slots(route)
        slot = _open(slots.get(route.destination, ()))
        same = [each for each in slot if each.key == route.key]
        old = self._find_replaced(route, same, replace=replace)
        if old is not None:
            self._note(route, old)
        wanted = self._wants(route)
        if route.family == 6 and old is None and route in same:
            _add(self._twins, route.key, 1)
        if old == route or (old is None and (route in same or not wanted)):
            return
        rest = _without(slot, old)
        found = (*rest, route) if wanted and route not in rest else rest
        self._replace(slot, found)
        _store(slots, route.destination, found)

    def _find_replaced(self, route: Route, same: list[Route], *, replace: bool) -> Route | None:
        """Return which route of the same key a new one takes the place of, None for none."""
        if not same:
            return None
        if route.family == 6:
            plain = len(same) == 1 and len(route.nexthops) < 2 and len(same[0].nexthops) < 2
            if not (plain and replace and route.balances == same[0].balances):
                self.unsure.add(6)
        elif len(same) > 1:
            self.unsure.add(4)
        if route.balances:
            # such a message names every way: those that there were, and the new one
            joined = [each for each in same if each.balances]
            if joined:
                return joined[0]
        return same[0] if replace else None

    def drop(self, route: Route) -> None:
        """Take in an RTM_DELROUTE."""
        self._note(route, route)
        slots = self._find_slots(route)
        slot = _open(slots.get(route.destination, ()))
        same = [each for each in slot if each.key == route.key]
        if route.family == 6 and (len(same) > 1 or any(len(each.nexthops) > 1 for each in same)):
            self.unsure.add(6)
        if route.key in self._twins:
            _add(self._twins, route.key, -1)
            self.unsure.add(6)
        old, left = route, None
        if route not in slot:
            parts = [each for each in same if each.balances and _holds(each, route)]
            if not parts:
                if same:
                    self.unsure.add(route.family)
                return
            old, left = parts[0], _reduce(parts[0], route)
        self._note(route, old)
        rest = _without(slot, old)
        found = rest if left is None else (*rest, left)
        self._replace(slot, found)
        _store(slots, route.destination, found)

    def drop_link(self, ifindex: IfIndex) -> None:
        """Take in that a link is gone, and with it every route that leads over nothing else."""
        if not any(self.leads_over(ifindex, family) for family in (4, 6)):
            return
        doomed = [
            route
            for route in self
            if route.nexthops and all(hop.ifindex == ifindex for hop in route.nexthops)
        ]
        for route in doomed:
            self.drop(route)

    def settle(self) -> list[RouteChange]:
        """Return what changed since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def settle_gateways(self) -> set[IfIndex]:
        """Return the links whose default routes changed since the last call."""
        found, self._gateways_of = self._gateways_of, set()
        return found

    # --- dump and difference -------------------------------------------------------------------

    def begin_dump(self, families: Iterable[int]) -> None:
        """Get ready for a dump of these families; an earlier one is void."""
        self._families = frozenset(families)
        self._dumped = {}
        self._told = {}
        self.unsure.clear()

    def void_dump(self) -> None:
        """Forget the dump under way."""
        self._families = None
        self._dumped = {}
        self._told = {}

    def keep(self, routes: tuple[Route, ...]) -> None:
        """Keep a part of the dump; routes that are known take no memory twice."""
        if self._families is None:
            return
        place, known, kept = (0, 0), _EMPTY, _EMPTY
        wants = self._wants
        for route in routes:
            if not wants(route):
                continue
            if (route.family, route.table) != place:
                place = (route.family, route.table)
                known = self._tables.get(place, _EMPTY)
                kept = self._dumped.setdefault(place, {})
            destination = route.destination
            old = known.get(destination)
            if destination in kept:
                kept[destination] = (*_open(kept[destination]), route)
            else:
                kept[destination] = old if old is not None and old == route else route

    def merge(self, *, silently: bool) -> None:
        """
        Make the dump the truth, but for what events told since it was asked for. The dump is over.

        Where an event and the dump differ about routes of one key and there are several, neither
        is sure; nor where only an event knows an IPv4 route, which may be gone silently since.
        Then `unsure` asks for another dump. `silently`: nothing of it counts as a change.
        """
        families, dumped, told = self._families, self._dumped, self._told
        if families is None:
            return
        self.void_dump()
        for place in sorted({*self._tables, *dumped}):
            if place[0] not in families:
                continue
            known, fresh = self._tables.get(place, _EMPTY), dumped.get(place, {})
            spoken = told.get(place, {})
            if silently and not known and not spoken:
                self._tables[place] = fresh
                for slot in fresh.values():
                    if isinstance(slot, Route):
                        self._count(slot, 1)  # nearly all of them, at every start
                    else:
                        self._replace((), slot, silently=True)
                continue
            differing = [each for each in known if each not in fresh]
            differing += [each for each, slot in fresh.items() if known.get(each) != slot]
            self._tables[place] = fresh
            for destination in differing:
                old, new = _open(known.get(destination, ())), _open(fresh.get(destination, ()))
                if destination in spoken:
                    new = self._weigh(old, new, spoken[destination])
                    _store(fresh, destination, new)
                self._replace(old, new, silently=silently)
            if not fresh:
                del self._tables[place]

    def _weigh(self, old: Slot, new: Slot, keys: dict[RouteKey, set[Route]]) -> Slot:
        """Return a slot of which events told some keys and the dump the others."""
        for key, gone in keys.items():
            ours = [each for each in old if each.key == key]
            theirs = [each for each in new if each.key == key]
            if sorted(ours) != sorted(theirs) and (
                max(len(ours), len(theirs)) > 1 or (ours and key[0] == 4)
            ):
                self.unsure.add(key[0])
            if any(each not in ours and each not in gone for each in theirs):
                self.unsure.add(key[0])  # IPv6 hid it behind another one until now
        heard = tuple(each for each in old if each.key in keys)
        return heard + tuple(each for each in new if each.key not in keys)

    def _replace(self, old: Slot, new: Slot, *, silently: bool = False) -> None:
        """Count what differs from one slot to another, a route that is there twice once."""
        for route in _find_others(old, new):
            self._count(route, -1)
            if not silently:
                self._changes.append(RouteChange(route, None))
        for route in _find_others(new, old):
            self._count(route, 1)
            if not silently:
                self._changes.append(RouteChange(None, route))

    # --- inside ----------------------------------------------------------------------------------

    def _find_slots(self, route: Route) -> _Slots:
        return self._tables.setdefault((route.family, route.table), {})

    def _note(self, route: Route, gone: Route | None = None) -> None:
        """Remember that an event spoke of routes of this key, and which one is gone by it."""
        if self._families is not None and route.family in self._families:
            place = self._told.setdefault((route.family, route.table), {})
            found = place.setdefault(route.destination, {}).setdefault(route.key, set())
            if gone is not None:
                found.add(gone)

    def _count(self, route: Route, step: int) -> None:
        """Keep the counts and the default routes that follow from a route's presence."""
        self.size += step
        for hop in route.nexthops:
            _add(self._links, (route.family, hop.ifindex), step)
        if route.nexthop_id:
            _add(self._objects, route.nexthop_id, step)
        if self._concerns is not None and self._concerns(route):
            self.concerned = True
            if step > 0:
                self._concerning[route] = None
            else:
                self._concerning.pop(route, None)
        if route.is_default and (self._tells is None or self._tells(route)):
            if step > 0:
                self._defaults[route] = None
            else:
                self._defaults.pop(route, None)
            self._gateways_of.update(hop.ifindex for hop in route.nexthops)


_Key = TypeVar("_Key")


def _add(counts: dict[_Key, int], key: _Key, step: int) -> None:
    count = counts.get(key, 0) + step
    if count:
        counts[key] = count
    else:
        del counts[key]


def _find_others(slot: Slot, than: Slot) -> Iterable[Route]:
    """Return the routes of one slot that the other lacks, each once."""
    if not than and len(slot) < 2:
        return slot
    others = [route for route in slot if route not in than]
    return others if len(others) < 2 else dict.fromkeys(others)


def _without(slot: Slot, route: Route | None) -> Slot:
    """Return a slot with one route less."""
    if route not in slot:
        return slot
    place = slot.index(route)
    return slot[:place] + slot[place + 1 :]


def _open(slot: Slot | Route) -> Slot:
    """Return a slot as a tuple of routes."""
    return (slot,) if isinstance(slot, Route) else slot


def _store(slots: _Slots, destination: str, slot: Slot) -> None:
    if not slot:
        slots.pop(destination, None)
    else:
        slots[destination] = slot[0] if len(slot) == 1 else slot


def _holds(whole: Route, part: Route) -> bool:
    """Tell whether every way of one route is one of another's."""
    return all(hop[:2] in [each[:2] for each in whole.nexthops] for hop in part.nexthops)


def _reduce(whole: Route, part: Route) -> Route | None:
    """Return a route without the ways of another, None if none are left."""
    lost = [hop[:2] for hop in part.nexthops]
    rest = tuple(hop for hop in whole.nexthops if hop[:2] not in lost)
    return whole._replace(nexthops=rest) if rest else None
