"""When something is due: the earliest of several times, each of which may be never."""

from __future__ import annotations

from collections.abc import Iterable


def find_earliest(times: Iterable[float | None]) -> float | None:
    """Return the earliest of some times, None for never if there is none."""
    earliest = None
    for (
        each
    ) in times:  # asked after every packet: a loop takes half as long as min() of a generator
        if each is not None and (earliest is None or each < earliest):
            earliest = each
    return earliest
