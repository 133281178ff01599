"""
Dump and difference: how a dump that is read while events go on becomes the truth of its end.

The helper hands in every event that the kernel queued before the dump's end before it says that
the dump has ended. So whatever an event spoke of since the dump was requested is known from events,
and newer than the dump; everything else did not change meanwhile, and the dump is right about it,
also about what is not in it. Source: netlink(7) on ENOBUFS and NLM_F_DUMP_INTR.
"""

from __future__ import annotations

from netevd.core.backoff import Backoff
from netevd.core.observe import Observer
from netevd.model.address import Address, AddressKey
from netevd.model.link import IfIndex, Link


class Resync:
    """The dump that is under way, if any, and what events said meanwhile."""

    def __init__(self) -> None:
        self.number = 0
        """Number of the dump under way, 0 for none."""
        self.backoff = Backoff()
        """Of dumps in a row that ended in nothing."""
        self.due: float | None = None
        """Monotonic seconds when the next dump has to be requested."""
        self._last = 0
        self._links: dict[IfIndex, Link] = {}
        self._addresses: dict[tuple[IfIndex, AddressKey], Address] = {}
        self._told_links: set[IfIndex] = set()
        self._told_addresses: set[tuple[IfIndex, AddressKey]] = set()
        self._told_whole: set[IfIndex] = set()
        """Links whose removal was seen: all that is known of them is newer than the dump."""

    def begin(self) -> int:
        """Return the number of a new dump; any earlier one is void."""
        self._last += 1
        self.number = self._last
        self.due = None
        self._clear()
        return self.number

    def fail(self, now: float) -> None:
        """Void the dump under way and set `due`. `now`: monotonic seconds."""
        self.number = 0
        self._clear()
        if self.due is None:
            self.due = now + self.backoff.fail()

    def restart(self, now: float) -> None:
        """Have a dump requested at once, whatever failed before."""
        self.number = 0
        self.backoff.end()
        self.due = now

    # --- what the dump says ----------------------------------------------------------------------

    def keep_link(self, link: Link, dump: int) -> None:
        """Keep a link of a dump, unless that dump is void."""
        if dump == self.number:
            self._links[link.ifindex] = link

    def keep_address(self, address: Address, dump: int) -> None:
        """Keep an address of a dump, unless that dump is void."""
        if dump == self.number:
            self._addresses[address.ifindex, address.key] = address

    # --- what events say meanwhile ---------------------------------------------------------------

    def note_link(self, ifindex: IfIndex) -> None:
        """Remember that an event told of this link."""
        if self.number:
            self._told_links.add(ifindex)

    def note_removal(self, ifindex: IfIndex) -> None:
        """Remember that an event told that this link is gone, and its addresses with it."""
        if self.number:
            self._told_links.add(ifindex)
            self._told_whole.add(ifindex)

    def note_address(self, address: Address) -> None:
        """Remember that an event told of this address."""
        if self.number:
            self._told_addresses.add((address.ifindex, address.key))

    # --- the end ---------------------------------------------------------------------------------

    def merge(self, observer: Observer) -> None:
        """Hand the dump's truth to the observer. The dump is over."""
        for ifindex in observer.get_ifindexes():
            if ifindex not in self._links and ifindex not in self._told_links:
                observer.drop_link(ifindex)
        for ifindex, link in self._links.items():
            if ifindex not in self._told_links:
                observer.see_link(link)
        for place in observer.get_addresses():
            if place not in self._addresses and not self._is_told(place):
                observer.drop_address(*place)
        for place, address in self._addresses.items():
            if not self._is_told(place):
                observer.see_address(address)
        self.number = 0
        self.backoff.end()
        self._clear()

    def _is_told(self, place: tuple[IfIndex, AddressKey]) -> bool:
        return place[0] in self._told_whole or place in self._told_addresses

    def _clear(self) -> None:
        self._links = {}
        self._addresses = {}
        self._told_links = set()
        self._told_addresses = set()
        self._told_whole = set()
