"""
What is known of the kernel: tables of links and addresses, and the changes that inputs make.

Facts go in one by one (`see_link`, `drop_address`, ...); `settle` then returns what is different
for the links that are watched, as one change each, so that what came together is told together.
Nothing is rebuilt for a link that did not change. What a change means is core.classify's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import evolve, frozen

from netevd.core.operational import has_carrier, judge
from netevd.core.record import NONE, LinkRecord
from netevd.model.address import Address, AddressKey
from netevd.model.backend import LinkReport
from netevd.model.link import IfIndex, Link
from netevd.model.memory import KnownLink
from netevd.model.snapshot import Snapshot


@frozen(slots=True)
class Change:
    """The difference between what users were told of a link and what is so now."""

    lane: int
    """Number of the link's incarnation."""
    before: Snapshot | None
    """What users know; None for a link that is new to them."""
    after: Snapshot
    """What is so now; for a link that is gone, the last that was known, without addresses."""
    addresses: tuple[tuple[Address | None, Address | None], ...]
    """Old and new value of each address that differs, None where there is none."""
    gone: bool = False
    """The link does not exist any more, or its new name is not watched."""


class Observer:
    """Tables of one network namespace. `watches` tells whether users want to hear of a link."""

    def __init__(
        self,
        watches: Callable[[Link], bool],
        find_gateways: Callable[[IfIndex], tuple[str, ...]] = lambda _: (),
        find_reports: Callable[[IfIndex], tuple[LinkReport, ...]] = lambda _: (),
    ) -> None:
        """
        find_gateways: gateways of default routes over a link, as `Snapshot.gateways`. find_reports: what
        backends say of a link, as `Snapshot.reports`.
        """
        self._find_reports = find_reports
        self._watches = watches
        self._find_gateways = find_gateways
        self._known: dict[IfIndex, LinkRecord] = {}
        self._names: dict[str, IfIndex] = {}
        self._slaves: dict[IfIndex, set[IfIndex]] = {}
        self._weak: dict[IfIndex, int] = {}
        """Master to the number of its slaves that have less than a carrier."""
        self._parked: dict[IfIndex, dict[AddressKey, Address]] = {}
        """Addresses of links that were not seen yet."""
        self._dirty: dict[IfIndex, list[tuple[Address | None, Address | None]]] = {}
        self._gone: list[Change] = []
        self._touched: dict[IfIndex, None] = {}
        """Links of which something is to be remembered, see `take_memory`."""
        self._unannounced: set[IfIndex] = set()
        """Links that are watched since this configuration, and were there before it."""
        self.lane = 0
        """Number of the last incarnation."""

    def __contains__(self, ifindex: IfIndex) -> bool:
        return ifindex in self._known

    def get_ifindexes(self) -> list[IfIndex]:
        """Return the ifindex of every known link."""
        return list(self._known)

    def get_holder(self, name: str) -> IfIndex | None:
        """Return which link has this name, as far as is known."""
        return self._names.get(name)

    def find_told(self, ifindex: IfIndex) -> tuple[int, Snapshot] | None:
        """Return lane and snapshot of a link that users know, None if they don't."""
        known = self._known.get(ifindex)
        return None if known is None or known.told is None else (known.lane, known.told)

    def get_told(self) -> list[Snapshot]:
        """Return every link that users know as they know it, in order of ifindex."""
        return [known.told for _, known in sorted(self._known.items()) if known.told is not None]

    def is_up(self, ifindex: IfIndex) -> bool:
        """Tell whether a link is there and the administrator has set it up."""
        known = self._known.get(ifindex)
        return known is not None and known.link.up

    def get_addresses(self) -> list[tuple[IfIndex, AddressKey]]:
        """Return what identifies every known address, parked ones included."""
        found = [
            (ifindex, address.key)
            for ifindex, known in self._known.items()
            for address in known.addresses
        ]
        found += [(ifindex, key) for ifindex, parked in self._parked.items() for key in parked]
        return found

    def get_snapshots(self) -> tuple[Snapshot, ...]:
        """Return every link, watched or not, in order of ifindex."""
        return tuple(self._build(known) for _, known in sorted(self._known.items()))

    def find_snapshot(self, ifindex: IfIndex) -> Snapshot | None:
        """Return a link, watched or not, None where there is none."""
        known = self._known.get(ifindex)
        return None if known is None else self._build(known)

    def find_name(self, ifindex: IfIndex) -> str | None:
        """Return the name of a link, None where there is none."""
        known = self._known.get(ifindex)
        return None if known is None else known.link.name

    def count_states(self) -> dict[str, int]:
        """Return how many links, watched or not, are in each operational state."""
        counts: dict[str, int] = {}
        for known in self._known.values():
            told = known.told or self._build(known)
            counts[told.state] = counts.get(told.state, 0) + 1
        return counts

    # --- facts -----------------------------------------------------------------------------

    def see_link(self, link: Link) -> None:
        """Take in what the kernel says of a link."""
        known = self._known.get(link.ifindex)
        if known is None:
            self._add(link)
            return
        old = known.link
        if old == link:
            return
        known.link = link
        self._dirty.setdefault(link.ifindex, [])
        if old.name != link.name:
            if self._names.get(old.name) == link.ifindex:
                del self._names[old.name]
            self._names[link.name] = link.ifindex
            self._mark_slaves(link.ifindex)
        if old.name != link.name or old.altnames != link.altnames:
            known.watched = self._watches(link)
        if old.master != link.master:
            self._release(link.ifindex, old.master)
            self._enslave(link)
        self._weigh(known)

    def drop_link(self, ifindex: IfIndex) -> None:
        """Take in that a link does not exist any more, nor its addresses."""
        self._parked.pop(ifindex, None)
        self._dirty.pop(ifindex, None)
        self._unannounced.discard(ifindex)
        known = self._known.pop(ifindex, None)
        if known is None:
            return
        self._touched[ifindex] = None
        if self._names.get(known.link.name) == ifindex:
            del self._names[known.link.name]
        if known.told is not None:
            self._gone.append(_vanish(known.lane, known.told))
        self._release(ifindex, known.link.master)
        self._count_weak(known, NONE)
        self._mark_slaves(ifindex)

    def displace_link(self, ifindex: IfIndex) -> None:
        """
        Take in that a link is not what it was: it is gone, or has another name, or is another one.

        Its addresses wait, in case that it comes again: they may be newer than the doubt.
        """
        known = self._known.get(ifindex)
        self.drop_link(ifindex)
        for address in () if known is None else known.addresses:
            self._parked.setdefault(ifindex, {})[address.key] = address

    def see_address(self, address: Address) -> None:
        """Take in what the kernel says of an address; it waits if its link was not seen yet."""
        known = self._known.get(address.ifindex)
        if known is None:
            self._parked.setdefault(address.ifindex, {})[address.key] = address
            return
        old = known.put(address)
        if old != address:
            self._dirty.setdefault(address.ifindex, []).append((old, address))

    def drop_address(self, ifindex: IfIndex, key: AddressKey) -> None:
        """Take in that an address does not exist any more."""
        known = self._known.get(ifindex)
        if known is None:
            parked = self._parked.get(ifindex)
            if parked is not None and parked.pop(key, None) is not None and not parked:
                del self._parked[ifindex]
            return
        old = known.pop(key)
        if old is not None:
            self._dirty.setdefault(ifindex, []).append((old, None))

    def see_gateways(self, ifindexes: Iterable[IfIndex]) -> None:
        """Take in that default routes over these links changed."""
        for ifindex in ifindexes:
            known = self._known.get(ifindex)
            if known is not None:
                gateways = self._find_gateways(ifindex)
                if gateways != known.gateways:
                    known.gateways = gateways
                    self._dirty.setdefault(ifindex, [])

    def see_reports(self, ifindexes: Iterable[IfIndex]) -> None:
        """Take in that backends say something else of these links."""
        for ifindex in ifindexes:
            known = self._known.get(ifindex)
            if known is not None:
                known.reports = self._find_reports(ifindex)
                self._dirty.setdefault(ifindex, [])

    # --- changes -----------------------------------------------------------------------------

    def settle(self, *, by_ifindex: bool = False) -> list[Change]:
        """
        Return what users have to be told since the last call, and count it as told.

        Order: the link that a message spoke of, then its masters. With `by_ifindex`, for the end
        of a dump: links that are gone, links that changed, links that are new.
        """
        changes, self._gone = self._gone, []
        dirty, self._dirty = self._dirty, {}
        for ifindex, differences in dirty.items():
            change = self._settle(self._known[ifindex], differences)
            if change is not None:
                changes.append(change)
        if by_ifindex:
            changes.sort(key=lambda c: (not c.gone, c.before is None, c.after.link.ifindex))
        return changes

    def introduce(self) -> list[Change]:
        """
        Return every watched link that nobody was told of, in order of ifindex; it counts as told.

        What happened to it before is not a change.
        """
        changes = []
        for _, known in sorted(self._known.items()):
            if known.watched and known.told is None:
                known.told = self._build(known)
                self._touched[known.link.ifindex] = None
                changes.append(Change(known.lane, None, known.told, ()))
        self._unannounced.clear()
        return changes

    def discard(self) -> None:
        """Forget that there is anything to tell; for the time before `introduce`."""
        self._dirty.clear()
        self._gone.clear()

    def _settle(
        self, known: LinkRecord, differences: list[tuple[Address | None, Address | None]]
    ) -> Change | None:
        before = known.told
        ifindex = known.link.ifindex
        if not known.watched:
            known.told = None
            if before is None:
                return None
            self._touched[ifindex] = None
            return _vanish(known.lane, before)
        if before is None and ifindex in self._unannounced:
            return None
        after = known.told = self._build(known)
        self._touched[ifindex] = None
        if before is None:
            return Change(known.lane, None, after, tuple((None, each) for each in after.addresses))
        return Change(known.lane, before, after, tuple(differences))

    def _build(self, known: LinkRecord) -> Snapshot:
        link = known.link
        master = self._known.get(link.master) if link.master else None
        state = judge(
            link,
            weak_slaves=link.ifindex in self._weak,
            routable=known.routable > 0,
            reachable=known.reachable > 0,
        )
        addresses = known.addresses
        if known.told is not None and known.told.addresses == addresses:
            addresses = known.told.addresses
        name = "" if master is None else master.link.name
        return Snapshot(link, addresses, state, name, known.gateways, known.reports)

    # --- what is remembered --------------------------------------------------------------------

    def take_memory(self) -> tuple[tuple[KnownLink, ...], tuple[IfIndex, ...]]:
        """Return the links that are to be remembered otherwise since the last call, or no more."""
        if not self._touched:
            return (), ()
        touched, self._touched = self._touched, {}
        known = [self._known[each] for each in touched if each in self._known]
        gone = tuple(each for each in touched if each not in self._known)
        return tuple(KnownLink(each.lane, each.link, each.told) for each in known), gone

    def get_memory(self) -> tuple[KnownLink, ...]:
        """Return all that is to be remembered of links."""
        return tuple(KnownLink(each.lane, each.link, each.told) for each in self._known.values())

    def restore(self, links: tuple[KnownLink, ...], lane: int) -> None:
        """
        Take what was remembered; the next dump then tells what has changed since.

        A link that is watched only now waits for `introduce`; of one that is watched no longer
        nothing is told.
        """
        self.lane = lane
        for each in links:
            told = each.told
            link = each.link if told is None else told.link
            known = LinkRecord(link, each.lane, self._watches(link))
            for address in () if told is None else told.addresses:
                known.put(address)
            self._put(known)
            if told is None and known.watched:
                self._unannounced.add(link.ifindex)
            elif told is not None and known.watched:
                known.told = evolve(told, reports=known.reports)
        self._dirty.clear()

    # --- masters and slaves --------------------------------------------------------------------

    def _add(self, link: Link) -> None:
        self.lane += 1
        self._put(LinkRecord(link, self.lane, self._watches(link)))

    def _put(self, known: LinkRecord) -> None:
        link = known.link
        known.gateways = self._find_gateways(link.ifindex)
        known.reports = self._find_reports(link.ifindex)
        self._known[link.ifindex] = known
        self._names[link.name] = link.ifindex
        for address in self._parked.pop(link.ifindex, {}).values():
            known.put(address)
        self._dirty[link.ifindex] = []
        self._touched[link.ifindex] = None
        self._mark_slaves(link.ifindex)
        self._enslave(link)
        self._weigh(known)

    def _enslave(self, link: Link) -> None:
        if link.master:
            self._slaves.setdefault(link.master, set()).add(link.ifindex)

    def _release(self, ifindex: IfIndex, master: IfIndex) -> None:
        slaves = self._slaves.get(master)
        if slaves is not None:
            slaves.discard(ifindex)
            if not slaves:
                del self._slaves[master]

    def _mark_slaves(self, master: IfIndex) -> None:
        """Have snapshots of slaves rebuilt, because the name of their master is in them."""
        for slave in self._slaves.get(master, ()):
            if slave in self._known:
                self._dirty.setdefault(slave, [])

    def _weigh(self, known: LinkRecord) -> None:
        """Count a link at its master, and that at its own, if it has less than a carrier."""
        weak = not has_carrier(known.link) or known.link.ifindex in self._weak
        self._count_weak(known, known.link.master if weak else NONE)

    def _count_weak(self, known: LinkRecord, master: IfIndex) -> None:
        old, known.weak_at = known.weak_at, master
        if old == master:
            return
        for place, step in ((old, -1), (master, 1)):
            if not place:
                continue
            count = self._weak.get(place, 0) + step
            if count:
                self._weak[place] = count
            else:
                del self._weak[place]
            above = self._known.get(place)
            if above is not None and count == max(step, 0):  # it got its first or lost its last
                self._dirty.setdefault(place, [])
                self._weigh(above)


def _vanish(lane: int, told: Snapshot) -> Change:
    addresses = tuple((each, None) for each in told.addresses)
    return Change(lane, told, evolve(told, addresses=()), addresses, gone=True)
