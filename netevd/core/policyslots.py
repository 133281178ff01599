"""
Slots: which numbers a link's rules and tables are made of.

Never the ifindex, which is another one after a reboot or a hot-plug. A slot belongs to the hardware
(permanent MAC) or, where there is none, to the name, and is kept for a week without its link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import evolve

from netevd.model.link import IfIndex, Link
from netevd.model.route import Route
from netevd.model.routing import SLOTS, Ours, Slot

KEPT_NS: Final = 7 * 24 * 3600 * 10**9
"""How long a slot is kept for a link that is not there."""


def find_keys(links: Iterable[Link]) -> dict[IfIndex, str]:
    """
    Return what each link's slot belongs to.

    Two links may tell the same permanent MAC (a virtual function and what stands above it): the
    second one has to do with its name.
    """
    found: dict[IfIndex, str] = {}
    used: set[str] = set()
    for link in sorted(links, key=lambda each: each.ifindex):
        key = f"mac:{link.permanent_mac}" if link.permanent_mac else f"name:{link.name}"
        if key in used:
            key = f"name:{link.name}"
        used.add(key)
        found[link.ifindex] = key
    return found


def assign(
    slots: Iterable[Slot], keys: Mapping[IfIndex, str], hints: Mapping[IfIndex, int], now_ns: int
) -> tuple[tuple[Slot, ...], dict[IfIndex, int]]:
    """
    Return the slots as they are now, and the number of each link.

    keys: of the links that need one. hints: numbers that links without a slot had according to the
    kernel. A link for which none is left has no number.
    """
    there = set(keys.values())
    kept: dict[str, Slot] = {}
    for slot in slots:
        if slot.key in there:
            kept[slot.key] = evolve(slot, absent_ns=0)
        elif not slot.absent_ns:
            kept[slot.key] = evolve(slot, absent_ns=now_ns)
        elif now_ns - slot.absent_ns < KEPT_NS:
            kept[slot.key] = slot
    used = {slot.number for slot in kept.values()}
    numbers: dict[IfIndex, int] = {}
    for ifindex, key in sorted(keys.items(), key=lambda each: (each[0] not in hints, each[0])):
        known = kept.get(key)
        if known is None:
            hint = hints.get(ifindex, 0)
            number = hint if hint and hint not in used else _find_free(used)
            if not number:
                continue
            used.add(number)
            known = kept[key] = Slot(key, number)
        numbers[ifindex] = known.number
    return tuple(sorted(kept.values(), key=lambda each: each.number)), numbers


def _find_free(used: set[int]) -> int:
    return next((number for number in range(1, SLOTS + 1) if number not in used), 0)


def find_hints(ours: Ours, routes: Iterable[Route]) -> dict[IfIndex, int]:
    """Return which slots links had, by the routes of ours that the kernel still has."""
    hints: dict[IfIndex, int] = {}
    for route in sorted(each for each in routes if ours.has_route(each) and not each.refuses):
        slot = ours.find_slot(route.table)
        for hop in route.nexthops:
            if slot and hop.ifindex:
                hints.setdefault(hop.ifindex, slot)
    return hints
